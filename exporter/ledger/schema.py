"""The tables of a ledger file."""

import sqlite3

APPLICATION_ID = 0x45485043  # "EHPC"
SCHEMA_VERSION = 1

FIXED_STATUSES = ("", "finished", "exited", "cancelled", "pending", "running")
"""Statuses whose ids are their places here, so that indexes and queries can name them.

The empty one marks a job that is no longer active and whose end has not been seen yet.
"""
LAST_END_STATUS_ID = 3
PENDING_ID = FIXED_STATUSES.index("pending")

# By row, not clustered by uuid: identities are random, and jobs that are young together change
# together, so that a page of changes dirties few pages of the file.
_JOB_COLUMNS = """
    uuid TEXT NOT NULL UNIQUE,
    status INTEGER NOT NULL,
    queue INTEGER NOT NULL,
    user INTEGER NOT NULL,
    cores INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    started_at INTEGER,
    modified_at INTEGER NOT NULL
"""

_TABLES = f"""
CREATE TABLE about (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE statuses (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE queues (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE users (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE jobs ({_JOB_COLUMNS});
CREATE INDEX jobs_by_change ON jobs (modified_at);
CREATE INDEX jobs_active ON jobs (status, queue, submitted_at) WHERE status > {LAST_END_STATUS_ID};
CREATE TABLE gone ({_JOB_COLUMNS});
CREATE TABLE tallies (
    kind TEXT NOT NULL, queue TEXT NOT NULL, status TEXT NOT NULL,
    count INTEGER NOT NULL, sum_seconds REAL NOT NULL, buckets TEXT NOT NULL,
    PRIMARY KEY (kind, queue, status)
) WITHOUT ROWID;
CREATE TABLE activity (
    queue TEXT NOT NULL, user TEXT NOT NULL, last_active_at REAL NOT NULL,
    PRIMARY KEY (queue, user)
) WITHOUT ROWID;
CREATE TABLE shown (label TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (label, value))
    WITHOUT ROWID;
"""

TEMPORARY_TABLES = f"CREATE TEMP TABLE suspects ({_JOB_COLUMNS})"
"""Jobs taken out of the list of jobs until it is proven that they are gone, not moved."""


def create(connection: sqlite3.Connection) -> None:
    """Lay out an empty ledger."""
    statements = [part for part in _TABLES.split(";") if part.strip()]
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO statuses (id, text) VALUES (?, ?)", enumerate(FIXED_STATUSES)
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def tune(connection: sqlite3.Connection) -> None:
    """Settings of one connection: small memory, and safe against a killed process."""
    connection.execute("PRAGMA journal_mode = WAL")
    # A power cut may take the last transactions, whole; jobs and counters go back together.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA temp_store = FILE")
    connection.execute(TEMPORARY_TABLES)
