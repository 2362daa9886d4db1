"""Making snapshots of a ledger, which are what is published.

``publisher`` makes a frozen snapshot. ``naming`` decides which queues and users are shown, and under which names.
Under these names, ``rows`` adds up the jobs and the counters.
"""
