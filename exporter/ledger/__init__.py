"""The jobs and counters of each cluster on disk, and the directory that holds them.

``store`` opens a ledger, and ``keeper`` keeps it on disk, or in memory while that cannot be written; ``ledger``
is the ledger itself. It consists of ``jobs`` (the table of jobs, in which
``row_hints`` finds a row, and ``text_ids`` replace names by numbers), ``totals``, ``suspects``, ``counters``,
``remembered`` and ``marks``. ``schema`` has the tables, ``former`` the counters of earlier formats,
``connection`` the file, ``proof`` the checksums of rows, ``records`` the values that go in and out.
``published`` keeps the counters as last published. ``directory`` has the ledgers of all clusters, and
``state_files`` writes the files in it. ``spending`` keeps the calls that accounts have made,
``discovered`` the clusters that were discovered.
"""
