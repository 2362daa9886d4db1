"""Making snapshots of a ledger, which are what is published.

``publisher`` makes a frozen snapshot. ``naming`` decides which queues and users are shown, and under which names.
``counting`` adds up the jobs under these names, ``usage_rows`` what users have used and how long they
waited; both keep their rows in ``rows``, which makes only those anew that have changed. ``folding`` divides
the counters of a queue between its own name and ``_other``.
"""
