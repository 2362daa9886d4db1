"""Which jobs a scan of the whole list has seen."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress


class Marks:
    """A set of job identities, on disk: a million of them would need much memory.

    It tells the jobs that the scan itself has seen from those that were seen elsewhere meanwhile. Only the
    former show how far the scan has come.
    """

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self.table = f"temp.marks_{number}"
        connection.execute(
            f"CREATE TABLE {self.table} (uuid TEXT NOT NULL PRIMARY KEY, walked INTEGER)"
            " WITHOUT ROWID"
        )
        self.count = 0
        """How many jobs are in the set, wherever they were seen."""

    def add(self, uuids: Iterable[str]) -> None:
        """Add jobs that the scan has seen."""
        names = list(uuids)
        self._insert(names, walked=True)
        self._connection.executemany(
            f"UPDATE {self.table} SET walked = 1 WHERE uuid = ? AND NOT walked",
            ((uuid,) for uuid in names),
        )

    def add_seen_elsewhere(self, uuids: Iterable[str]) -> None:
        """Add jobs that another query has shown to be in the list."""
        self._insert(uuids, walked=False)

    def _insert(self, uuids: Iterable[str], *, walked: bool) -> None:
        cursor = self._connection.executemany(
            f"INSERT OR IGNORE INTO {self.table} (uuid, walked) VALUES (?, ?)",
            ((uuid, walked) for uuid in uuids),
        )
        self.count += max(0, cursor.rowcount)

    def has(self, uuid: str) -> bool:
        """Whether the scan itself has seen the job."""
        row = self._connection.execute(
            f"SELECT 1 FROM {self.table} WHERE uuid = ? AND walked",
            (uuid,),
        ).fetchone()
        return row is not None

    def recount(self) -> None:
        """Count again, after a transaction was rolled back."""
        try:
            row = self._connection.execute(f"SELECT COUNT(*) FROM {self.table}").fetchone()
        except sqlite3.OperationalError:
            self.count = 0  # the set itself was created in that transaction
        else:
            self.count = int(row[0])

    def clear(self) -> None:
        """Empty the set."""
        with suppress(sqlite3.OperationalError):  # the set was deleted
            self._connection.execute(f"DELETE FROM {self.table}")
        self.count = 0

    def drop(self) -> None:
        """Delete the set."""
        with suppress(sqlite3.Error):  # the file may be closed already
            self._connection.execute(f"DROP TABLE IF EXISTS {self.table}")
