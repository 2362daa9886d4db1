"""Which jobs a long walk through the list has met."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress


class Marks:
    """A set of job identities; on disk, so that a million cost no memory."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self.table = f"temp.marks_{number}"
        connection.execute(
            f"CREATE TABLE {self.table} (uuid TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID"
        )
        self.count = 0

    def add(self, uuids: Iterable[str]) -> None:
        """Mark these jobs as seen."""
        cursor = self._connection.executemany(
            f"INSERT OR IGNORE INTO {self.table} (uuid) VALUES (?)",
            ((uuid,) for uuid in uuids),
        )
        self.count += max(0, cursor.rowcount)

    def has(self, uuid: str) -> bool:
        """Whether the job was seen."""
        row = self._connection.execute(
            f"SELECT 1 FROM {self.table} WHERE uuid = ?",
            (uuid,),
        ).fetchone()
        return row is not None

    def recount(self) -> None:
        """A transaction was undone: count what is left."""
        try:
            row = self._connection.execute(f"SELECT COUNT(*) FROM {self.table}").fetchone()
        except sqlite3.OperationalError:
            self.count = 0  # the set itself was made in that transaction
        else:
            self.count = int(row[0])

    def drop(self) -> None:
        """Forget the set."""
        with suppress(sqlite3.Error):  # the file may have been closed before
            self._connection.execute(f"DROP TABLE IF EXISTS {self.table}")
