"""One cluster's jobs and counters on disk, and the directory that holds them.

``store`` opens a ledger; ``whole`` is it, the front of its parts: ``jobs`` (the table, found by identity through
``places``; names replaced by ``words``), ``totals``, ``suspects``, ``counters`` and ``marks``.
``schema`` has the tables, ``connection`` the file, ``proof`` what proves its rows, ``published`` what
must not be undone, ``records`` the values it takes and gives.
``directory`` holds the ledgers of all clusters, ``spending`` the calls that accounts have made.
"""
