"""The tables of a ledger file."""

import sqlite3
from collections.abc import Iterable

from exporter.ledger.former import join_counters
from exporter.ledger.proof import proof_of, proven
from exporter.model import OUT_OF_WINDOW

APPLICATION_ID = 0x45485043  # "EHPC"
SCHEMA_VERSION = 6
FORMER_VERSIONS = (2, 3, 4, 5)

FIXED_STATUSES = ("", "finished", "exited", "cancelled", "pending", "running")
"""Statuses whose ids are their indexes here, so that indexes and queries can use them.

The empty status is for jobs that are set aside: they have left their active status, and it is not yet
known what became of them.
"""
SET_ASIDE_ID = 0
OUT_OF_WINDOW_ID = -1
"""The status of ended jobs that are older than the wanted history: known and ranked, but not shown."""
LAST_END_STATUS_ID = 3
PENDING_ID = FIXED_STATUSES.index("pending")

_JOB_VALUES = "uuid, status, queue, user, cores, submitted_at, started_at, modified_at"
JOB_COLUMNS = f"{_JOB_VALUES}, proof"

_STRICT = "STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
"""Makes SQLite reject values of other types than the columns', where it is new enough."""
_KEYED = "STRICT, WITHOUT ROWID" if _STRICT else "WITHOUT ROWID"

# Rows are in the order of insertion, and there is no index of uuids, because these are random. Jobs that
# are new at the same time change at the same time, so a page of changes writes few pages of the file.
# ``row_hints`` finds the row of a job. The index of ended jobs grows at one end only. Active jobs have a
# small index of their own, because they change their place in it.
_JOBS = """
    uuid TEXT NOT NULL{unique},
    status INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    user INTEGER NOT NULL,
    cores INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    started_at INTEGER,
    modified_at INTEGER NOT NULL,
    proof INTEGER NOT NULL
"""
_TEXT_IDS = "id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, proof INTEGER NOT NULL"

_COUNTERS = f"""
CREATE TABLE counters (
    account INTEGER NOT NULL, kind TEXT NOT NULL, queue TEXT NOT NULL, of TEXT NOT NULL,
    times INTEGER NOT NULL CHECK (times >= 0), seconds INTEGER NOT NULL CHECK (seconds >= 0),
    buckets TEXT NOT NULL, proof INTEGER NOT NULL,
    PRIMARY KEY (account, kind, queue, of)
) {_KEYED};
"""
"""New in format 6; ``account`` is its number."""

_TABLES = f"""
CREATE TABLE about (
    key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, proof INTEGER NOT NULL
) {_KEYED};
CREATE TABLE statuses ({_TEXT_IDS}) {_STRICT};
CREATE TABLE queues ({_TEXT_IDS}) {_STRICT};
CREATE TABLE users ({_TEXT_IDS}) {_STRICT};
CREATE TABLE jobs ({_JOBS.format(unique="")}) {_STRICT};
CREATE INDEX jobs_ended ON jobs (modified_at) WHERE status <= {LAST_END_STATUS_ID};
CREATE INDEX jobs_active ON jobs (status, queue, submitted_at, modified_at)
    WHERE status > {LAST_END_STATUS_ID};
CREATE TABLE gone ({_JOBS.format(unique=" UNIQUE")}) {_STRICT};
{_COUNTERS}CREATE TABLE activity (
    queue TEXT NOT NULL, user TEXT NOT NULL, last_active_at REAL NOT NULL, proof INTEGER NOT NULL,
    PRIMARY KEY (queue, user)
) {_KEYED};
CREATE TABLE shown (
    label TEXT NOT NULL, value TEXT NOT NULL, proof INTEGER NOT NULL, PRIMARY KEY (label, value)
) {_KEYED};
"""

SUSPECTS = f"CREATE TEMP TABLE IF NOT EXISTS suspects ({_JOBS.format(unique=' UNIQUE')})"
"""Jobs that are suspected to be gone: taken out of ``jobs`` until this is proven or refuted."""

_FORMAT_2 = {
    "about": "key, value",
    "statuses": "id, text",
    "queues": "id, text",
    "users": "id, text",
    "jobs": _JOB_VALUES,
    "gone": _JOB_VALUES,
    "activity": "queue, user, last_active_at",
    "shown": "label, value",
}
"""The columns of the tables of format 2, which had neither types nor proofs. Its counters are joined, as those of
later formats are."""


def create(connection: sqlite3.Connection) -> None:
    """Create the tables of an empty ledger, within a transaction."""
    _execute(connection, _TABLES)
    _set_version(connection)
    _name_statuses(connection, enumerate(FIXED_STATUSES))
    _know_hidden(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def migrate(connection: sqlite3.Connection) -> None:
    """Convert a ledger of an earlier format, within a transaction. Nothing is lost. Raises
    ``sqlite3.Error``, also if a value does not have the type of its column, or ``LedgerUnreadable``.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 2:
        _rewrite(connection)
    else:
        _execute(connection, _COUNTERS)
    join_counters(connection, version)
    _set_version(connection)
    _know_hidden(connection)


def _rewrite(connection: sqlite3.Connection) -> None:
    """Rewrite the tables of format 2 with types and proofs."""
    connection.create_function("proof_of", -1, lambda *values: proof_of(values))
    for table in _FORMAT_2:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for index in ("jobs_ended", "jobs_active"):
        connection.execute(f"DROP INDEX {index}")
    _execute(connection, _TABLES)
    for table, columns in _FORMAT_2.items():
        connection.execute(
            f"INSERT INTO {table} ({columns}, proof)"
            f" SELECT {columns}, proof_of({columns}) FROM old_{table}"
        )
        connection.execute(f"DROP TABLE old_{table}")


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)


def _set_version(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _know_hidden(connection: sqlite3.Connection) -> None:
    """Add the hidden status that ledgers of early versions do not have."""
    known = connection.execute("SELECT 1 FROM statuses WHERE id = ?", (OUT_OF_WINDOW_ID,))
    if known.fetchone() is None:
        _name_statuses(connection, [(OUT_OF_WINDOW_ID, OUT_OF_WINDOW)])


def _name_statuses(connection: sqlite3.Connection, named: Iterable[tuple[int, str]]) -> None:
    connection.executemany("INSERT INTO statuses VALUES (?, ?, ?)", map(proven, named))
