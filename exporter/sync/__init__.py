"""Keeping a ledger equal to the remote list: one sync, as a conversation. Nothing here sends or waits.

``replica`` is one sync: it begins with the ``head`` of the list, and goes on by the way that the profile
of the server allows: ``by_change``, ``by_submission`` or ``by_scan``. ``calibration`` finds the profile,
but for the ``zone`` of its times. ``reader`` reads lists that move, ``verify`` proves that the ledger is
right, and ``reconcile`` mends it where it is not. ``pages`` is the door of all calls, ``context`` what
they share, with ``asking`` between a sync and its calls. ``intake`` takes records into the ledger.
"""
