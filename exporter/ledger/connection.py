"""A connection to a ledger's file, and what its failures mean."""

import sqlite3
from pathlib import Path

from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger import schema

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
    """To a file, or, with None, to memory. Raises ``sqlite3.Error``."""
    return sqlite3.connect(
        ":memory:" if path is None else path,
        isolation_level=None,
        check_same_thread=False,
        timeout=0.5,
    )


def tune(connection: sqlite3.Connection) -> None:
    """Settings of one connection: small memory, and safe against a killed process."""
    connection.execute("PRAGMA journal_mode = WAL")
    # A power cut may take the last transactions, whole; jobs and counters go back together.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA cache_size = -8192")
    connection.execute("PRAGMA temp_store = FILE")
    connection.execute(schema.TEMPORARY_TABLES)


def lay_out_or_check(connection: sqlite3.Connection, identity: str) -> None:
    """Make an empty file a ledger; of any other, make sure that it is one, and whose.

    Raises ``LedgerUnreadable``, ``sqlite3.Error`` or ``ValueError``.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application:
        tune(connection)
        schema.create(connection)
        connection.execute("INSERT INTO about VALUES ('identity', ?)", (identity,))
        return
    if application != schema.APPLICATION_ID:
        raise LedgerUnreadable("it is not a ledger of this program")
    if version != schema.SCHEMA_VERSION:
        raise LedgerUnreadable(
            f"its format is version {version}; this program reads version {schema.SCHEMA_VERSION}"
        )
    check = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if check != "ok":
        raise LedgerUnreadable("it is damaged")
    row = connection.execute("SELECT value FROM about WHERE key = 'identity'").fetchone()
    if row is None or row[0] != identity:
        raise LedgerUnreadable("it belongs to another cluster")
    tune(connection)
    schema.know_hidden(connection)


def translated(error: sqlite3.Error | ValueError) -> StateError:
    """The error of ours for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNWRITABLE_CODES:
        return LedgerUnwritable(f"it cannot be written ({error})")
    return LedgerUnreadable(f"it cannot be read ({error})")
