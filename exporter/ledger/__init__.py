"""One cluster's jobs and counters on disk, and the directory that holds them.

``store`` opens a ledger, and ``ledger`` is the ledger itself. Its parts are ``jobs`` (the table; ``row_hints``
finds a job's row, ``text_ids`` replaces names by numbers), ``totals``, ``suspects``, ``counters``, ``usage`` and
``marks``. ``schema`` has the tables, ``connection`` the file, ``proof`` the checksums of rows, ``records``
the values that go in and out. ``published`` keeps the counters as last published, and ``floors`` holds
the ledger's own to them. ``directory`` has the ledgers of all clusters, ``state_files`` sets one aside that
cannot be used; ``spending`` has the calls that accounts have made, ``discovered`` the clusters that were
discovered.
"""
