"""What is shown of a ledger.

``publisher`` makes a frozen snapshot of it. ``naming`` says under which names queues and users are shown,
``counting`` adds up the jobs under these names, and ``usage_rows`` what users have used and waited. ``rows``
keeps the rows of both, of which only those that have changed are made anew. ``folding`` divides counters
between a queue and the sum of the others.
"""
