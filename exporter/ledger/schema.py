"""The tables of a ledger file."""

import sqlite3

from exporter.model import OUT_OF_WINDOW

APPLICATION_ID = 0x45485043  # "EHPC"
SCHEMA_VERSION = 2

FIXED_STATUSES = ("", "finished", "exited", "cancelled", "pending", "running")
"""Statuses whose ids are their places here, so that indexes and queries can name them.

The empty one marks a job that is no longer active and whose end has not been seen yet.
"""
SET_ASIDE_ID = 0
OUT_OF_WINDOW_ID = -1
"""Of ended jobs that are not wanted any longer: known, ranked, and not shown."""
LAST_END_STATUS_ID = 3
PENDING_ID = FIXED_STATUSES.index("pending")

JOB_COLUMNS = "uuid, status, queue, user, cores, submitted_at, started_at, modified_at"

# By row, not clustered by uuid nor with an index of it: identities are random, and jobs that are
# young together change together, so that a page of changes dirties few pages of the file. Where a
# job is, ``places`` knows. Ended jobs are ranked by an index to which new ones are added at one end;
# active ones, which change, have a small one of their own, so that a change need not look for its
# old place in the large one.
_JOBS = """
    uuid TEXT NOT NULL{unique},
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
CREATE TABLE jobs ({_JOBS.format(unique="")});
CREATE INDEX jobs_ended ON jobs (modified_at) WHERE status <= {LAST_END_STATUS_ID};
CREATE INDEX jobs_active ON jobs (status, queue, submitted_at, modified_at)
    WHERE status > {LAST_END_STATUS_ID};
CREATE TABLE gone ({_JOBS.format(unique=" UNIQUE")});
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

TEMPORARY_TABLES = f"CREATE TEMP TABLE suspects ({_JOBS.format(unique=' UNIQUE')})"
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
    know_hidden(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def know_hidden(connection: sqlite3.Connection) -> None:
    """Name the status that a ledger of an earlier version may not have yet."""
    known = connection.execute("SELECT 1 FROM statuses WHERE id = ?", (OUT_OF_WINDOW_ID,))
    if known.fetchone() is None:
        connection.execute(
            "INSERT INTO statuses (id, text) VALUES (?, ?)", (OUT_OF_WINDOW_ID, OUT_OF_WINDOW)
        )
