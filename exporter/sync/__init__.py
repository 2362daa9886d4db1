"""Keeping a ledger equal to the remote list: one sync, as a conversation. Nothing here sends or waits.

``replica`` is one sync. It begins with the ``head`` of the list, and continues in the way that the profile
of the server allows: ``by_order`` (by change, by submission) or ``by_scan``. ``calibration`` finds the profile,
except for the ``zone`` of its times. ``reader`` reads lists that move, ``verify`` checks that the ledger is
right, and ``reconcile`` corrects it where it is not. ``pages`` makes all queries, and ``context`` is what a
sync shares with all these parts. ``asking`` is what a sync and its caller say to each other. ``intake``
takes records into the ledger.
"""
