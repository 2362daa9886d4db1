"""One cluster's jobs and counters on disk, and the directory that holds them.

``store`` is the ledger itself; ``schema`` its tables; ``records`` the values it takes and gives.
"""
