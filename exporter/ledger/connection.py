"""Opens and checks a ledger's file, and translates SQLite's errors."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger import schema
from exporter.ledger.proof import checked, proven
from exporter.ledger.state_files import open_private

_MOST_BYTES = 64 << 20
"""SQLite tries to stay within this much memory."""

_STATEMENTS = 24
"""Kept ready, 3 kB each. A sync uses about 20; those that a ledger is opened with are not needed again."""

_UNWRITABLE_CODES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
    }
)


def connect(path: Path | None) -> sqlite3.Connection:
    """Connect to a file, or to memory for None. Raises ``StateError``."""
    if path is not None:
        try:  # created by SQLite, it would be readable for others
            os.close(open_private(path, os.O_RDWR | os.O_CREAT))
        except OSError as error:
            raise LedgerUnwritable(f"it cannot be opened ({error.strerror})") from error
    try:
        return sqlite3.connect(
            ":memory:" if path is None else path,
            isolation_level=None,
            check_same_thread=False,
            timeout=0.5,
            cached_statements=_STATEMENTS,
        )
    except sqlite3.Error as error:
        raise translated(error) from error


@contextmanager
def closed_on_failure(connection: sqlite3.Connection) -> Iterator[None]:
    """Close the connection if the block fails. Raises ``StateError`` for SQLite's errors."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, (sqlite3.Error, ValueError)):  # damaged text: UnicodeDecodeError
            raise translated(error) from error
        raise


def tune(connection: sqlite3.Connection) -> None:
    """Settings of a connection: little memory, and no loss if the process is killed."""
    connection.execute("PRAGMA journal_mode = WAL")
    # A power cut may undo the last transactions, but only as a whole: jobs and counters still fit.
    connection.execute("PRAGMA synchronous = NORMAL")
    # Its log grows to this many pages and stays so large: 1 MB, of hundreds of ledgers that are smaller.
    connection.execute("PRAGMA wal_autocheckpoint = 250")
    connection.execute("PRAGMA cache_size = -8192")
    # For the whole process: with hundreds of ledgers, each keeps less of its file in memory.
    connection.execute(f"PRAGMA soft_heap_limit = {_MOST_BYTES}")
    connection.execute("PRAGMA temp_store = FILE")


def lay_out(connection: sqlite3.Connection, identity: str) -> None:
    """Create the tables of an empty ledger. Raises ``sqlite3.Error``."""
    connection.execute("BEGIN IMMEDIATE")
    schema.create(connection)
    write_about(connection, "identity", identity)
    write_proofs(connection, 0, 0)
    connection.execute("COMMIT")  # before there is a write-ahead log that could be lost
    tune(connection)


def check(connection: sqlite3.Connection, identity: str) -> None:
    """Check that a file is an undamaged ledger of the right cluster, and convert an older format.
    Raises ``LedgerUnreadable``, ``sqlite3.Error`` or ``ValueError``."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != schema.APPLICATION_ID:
        tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        raise LedgerUnreadable(
            "it is not a ledger of this program" if tables or application else "it is empty"
        )
    if version not in (schema.SCHEMA_VERSION, *schema.FORMER_VERSIONS):
        raise LedgerUnreadable(
            f"its format is version {version}; this program reads version {schema.SCHEMA_VERSION}"
        )
    require_integrity(connection)
    if version != schema.SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        _convert(connection, version)
        connection.execute("COMMIT")
    if read_about(connection, "identity") != identity:
        raise LedgerUnreadable("it belongs to another cluster")
    tune(connection)


def _convert(connection: sqlite3.Connection, version: int) -> None:
    """Convert a ledger of an earlier format, within a transaction, with the sums of its proofs."""
    tables = {2: (), 3: ("tallies",)}.get(version, ("tallies", "usage"))  # those that had a sum
    counters = [_sum_of_proofs(connection, table) for table in tables]
    schema.migrate(connection)
    jobs, *written = read_proofs(connection) or [_sum_of_proofs(connection, "jobs")]
    if written != counters:
        raise LedgerUnreadable("its parts do not belong together")
    write_proofs(connection, jobs, _sum_of_proofs(connection, "counters"))


def _sum_of_proofs(connection: sqlite3.Connection, table: str) -> int:
    # Not TOTAL: that is a float, which is not exact for a million jobs.
    found = connection.execute(f"SELECT COALESCE(SUM(proof), 0) FROM {table}").fetchone()
    return int(found[0])


def require_integrity(connection: sqlite3.Connection) -> None:
    """Raises ``LedgerUnreadable`` if SQLite finds damage."""
    if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        raise LedgerUnreadable("it is damaged")


def read_about(connection: sqlite3.Connection, key: str) -> str | None:
    """A value of the table ``about``; None if there is none. Raises ``LedgerUnreadable``."""
    rows = connection.execute("SELECT key, value, proof FROM about WHERE key = ?", (key,))
    return next((value for _, value, _ in checked(rows)), None)


def write_about(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write a value of the table ``about``, in the running transaction."""
    connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?, ?)", proven((key, value)))


def read_proofs(connection: sqlite3.Connection) -> list[int]:
    """The sums of the proofs of all jobs and of all counters, as last written."""
    text = read_about(connection, "proofs")
    return [] if text is None else [int(part) for part in text.split()]


def write_proofs(connection: sqlite3.Connection, *sums: int) -> None:
    """Write the sums of the proofs. They show whether a row is missing, or comes from an earlier state."""
    write_about(connection, "proofs", " ".join(map(str, sums)))


def translated(error: sqlite3.Error | ValueError) -> StateError:
    """The ``StateError`` for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNWRITABLE_CODES:
        return LedgerUnwritable(f"it cannot be written ({error})")
    return LedgerUnreadable(f"it cannot be read ({error})")
