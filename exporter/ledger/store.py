"""One cluster's ledger: its jobs, counters and progress, in SQLite.

A ledger belongs to one thread. Everything that is written between ``begin`` and ``commit`` stands
together or not at all, also when the process is killed.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal
from weakref import WeakSet

import msgspec

from exporter.errors import StateError
from exporter.ledger import schema
from exporter.ledger.records import Change, JobTotals, Progress, Tally, TallyKey
from exporter.model import END_STATUSES, Job

_COLUMNS = "uuid, status, queue, user, cores, submitted_at, started_at, modified_at"
_Row = tuple[str, int, int, int, int, int, int | None, int]
_GroupKey = tuple[int, int, int]

_UPSERT = f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    "UPDATE jobs SET status = ?, queue = ?, user = ?, cores = ?, started_at = ?, modified_at = ?"
    " WHERE uuid = ?"
)
"""Leaves out what almost never changes, and so its index."""
_SUBMITTED = _COLUMNS.split(", ").index("submitted_at")
_SELECT_SOME = f"SELECT {_COLUMNS} FROM {{table}} WHERE uuid IN (SELECT value FROM json_each(?))"
_DELETE_SOME = "DELETE FROM {table} WHERE uuid IN (SELECT value FROM json_each(?))"


GONE_KEPT_SECONDS = 86400.0

TimeColumn = Literal["modified_at", "submitted_at"]
"""By which moment jobs are ranked; one that is not known counts as 0, the oldest."""


class LedgerUnreadable(StateError):  # noqa: N818 - says what is the matter
    """The file is damaged, of another program, of a newer version, or of another cluster."""


class LedgerUnwritable(StateError):  # noqa: N818 - says what is the matter
    """The disk is full or read-only: the transaction was undone, the file is as it was."""


class _Words:
    """A two-way dictionary between label texts and small numbers, kept in one table."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self.texts: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self.reload()

    def reload(self) -> None:
        """Read the table anew, as at the start or after an undone transaction."""
        rows = self._connection.execute(f"SELECT id, text FROM {self._table}")
        self.texts = dict(rows.fetchall())
        self._ids = {text: number for number, text in self.texts.items()}

    def id_of(self, text: str) -> int:
        """The number of a text; a new one is given where there is none."""
        known = self._ids.get(text)
        if known is not None:
            return known
        cursor = self._connection.execute(
            f"INSERT INTO {self._table} (text) VALUES (?)",
            (text,),
        )
        number = cursor.lastrowid
        assert number is not None  # noqa: S101 - an INSERT always has one
        self.texts[number] = text
        self._ids[text] = number
        return number


class Marks:
    """A set of job identities that a long walk has seen; on disk, so that a million cost nothing."""

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


class Ledger:
    """The jobs of one cluster. See the module's docstring."""

    def __init__(self, connection: sqlite3.Connection, *, in_memory: bool) -> None:
        """Take over an open, laid-out connection; use ``open_ledger``."""
        self.in_memory = in_memory
        self._connection = connection
        self._statuses = _Words(connection, "statuses")
        self._queues = _Words(connection, "queues")
        self._users = _Words(connection, "users")
        self._groups: dict[_GroupKey, list[int]] = {}
        self._undo: list[tuple[_GroupKey, int, int]] = []
        self._size = 0
        self._load_groups()
        self._tallies = dict(self._load_tallies())
        self._touched_tallies: set[TallyKey] = set()
        self._activity = self._load_activity()
        self._touched_activity: set[tuple[str, str]] = set()
        self._saved_progress = self._load_progress()
        self.progress = self._saved_progress
        self._suspects = 0
        self._marks_made = 0
        self._marks: WeakSet[Marks] = WeakSet()

    # -- transactions ------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is kept together, or, if it raises, undone together.

        Raises ``LedgerUnwritable`` or ``LedgerUnreadable`` for what the file does not let be done.
        """
        try:
            self.begin()
            yield
        except sqlite3.Error as error:
            self.rollback()
            raise translated(error) from error
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def begin(self) -> None:
        """Start a transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._undo.clear()

    def commit(self) -> None:
        """Keep what was written since ``begin``. Raises ``LedgerUnwritable`` and undoes it."""
        try:
            self._write_tallies()
            self._write_activity()
            if self.progress != self._saved_progress:
                self._write_about("progress", msgspec.json.encode(self.progress).decode())
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise translated(error) from error
        self._touched_tallies.clear()
        self._touched_activity.clear()
        self._undo.clear()
        self._saved_progress = self.progress

    def rollback(self) -> None:
        """Undo what was written since ``begin``. Raises ``LedgerUnreadable`` if what was there
        before cannot be read."""
        try:
            self._roll_back()
        except sqlite3.Error as error:
            raise translated(error) from error

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # a full disk may have undone it already
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for key, jobs, cores in reversed(self._undo):  # else a group could vanish on the way
            self._shift_group(key, -jobs, -cores)
        self._undo.clear()
        for words in (self._statuses, self._queues, self._users):
            words.reload()
        if self._touched_tallies:
            self._tallies = dict(self._load_tallies())
            self._touched_tallies.clear()
        if self._touched_activity:
            self._activity = self._load_activity()
            self._touched_activity.clear()
        for marks in self._marks:
            marks.recount()
        self.progress = self._saved_progress
        self._suspects = 0

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def copied_to(self, path: Path | None) -> "Ledger":
        """The same ledger in another file, or, with None, in memory. Raises ``StateError``."""
        try:
            connection = _connect(path)
            self._connection.backup(connection)
            schema.tune(connection)
            return Ledger(connection, in_memory=path is None)
        except sqlite3.Error as error:
            raise translated(error) from error

    # -- taking in -----------------------------------------------------------------------------

    def apply(self, jobs: Sequence[Job]) -> list[Change]:
        """Make the ledger agree with records of the remote list; returns what that changed."""
        status_id, queue_id, user_id = self._statuses.id_of, self._queues.id_of, self._users.id_of
        by_uuid = {job.uuid: job for job in jobs}
        rows: dict[str, _Row] = {
            uuid: (
                uuid,
                status_id(job.status),
                queue_id(job.queue),
                user_id(job.user),
                job.cores,
                job.submitted_at or 0,
                job.started_at,
                job.modified_at or 0,
            )
            for uuid, job in by_uuid.items()
        }
        asked = json.dumps(list(rows))
        known: dict[str, _Row] = {
            row[0]: row
            for row in self._connection.execute(_SELECT_SOME.format(table="jobs"), (asked,))
        }
        changed = [job for uuid, job in by_uuid.items() if known.get(uuid) != rows[uuid]]
        if not changed:
            return []
        self._store([rows[job.uuid] for job in changed], known)
        if self._suspects:
            known |= self._take_back(asked, "suspects")
        if any(job.uuid not in known for job in changed):
            known |= self._take_back(asked, "gone")
        return [
            Change(self._job(known[job.uuid]) if job.uuid in known else None, job)
            for job in changed
        ]

    def suspect(self, uuids: Sequence[str]) -> None:
        """Take jobs out of the list until ``forget_suspects`` or until they are applied again."""
        asked = json.dumps(list(uuids))
        rows = self._connection.execute(_SELECT_SOME.format(table="jobs"), (asked,)).fetchall()
        self._connection.executemany(
            f"INSERT OR REPLACE INTO suspects ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._connection.execute(_DELETE_SOME.format(table="jobs"), (asked,))
        for row in rows:
            self._count(row, -1)
        self._suspects += len(rows)

    def suspect_between(
        self,
        newest_at: float,
        oldest_at: float,
        *,
        keep: Iterable[str],
        by: TimeColumn = "modified_at",
    ) -> int:
        """Suspect all jobs changed in [``oldest_at``, ``newest_at``] but those to ``keep``.

        Returns how many. The bounds may be infinite.
        """
        kept = set(keep)
        found = self._connection.execute(
            f"SELECT uuid FROM jobs WHERE {by} BETWEEN ? AND ?",
            (_integral(oldest_at), _integral(newest_at)),
        )
        gone = [uuid for (uuid,) in found if uuid not in kept]
        if gone:
            self.suspect(gone)
        return len(gone)

    @property
    def suspects(self) -> int:
        """How many jobs are suspected to be gone."""
        return self._suspects

    def forget_suspects(self, now_at: float) -> int:
        """The suspects are gone. Returns how many they were.

        Those that changed within the last day are remembered for as long: an answer that left them
        out may be followed by one that has them again, and they are not new then.
        """
        gone, self._suspects = self._suspects, 0
        if gone:
            kept_from_at = int(now_at - GONE_KEPT_SECONDS)
            self._connection.execute("DELETE FROM gone WHERE modified_at < ?", (kept_from_at,))
            self._connection.execute(
                f"INSERT OR REPLACE INTO gone ({_COLUMNS}) SELECT {_COLUMNS} FROM suspects"
                " WHERE modified_at >= ?",
                (kept_from_at,),
            )
            self._connection.execute("DELETE FROM suspects")
        return gone

    def restore_suspects(self) -> int:
        """The suspects could not be proven gone: put them back. Returns how many."""
        if not self._suspects:
            return 0
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM suspects").fetchall()
        self._connection.execute("DELETE FROM suspects")
        self._connection.executemany(_UPSERT, rows)
        for row in rows:
            self._count(row, +1)
        self._suspects = 0
        return len(rows)

    def drop_unmarked(self, marks: Marks) -> int:
        """Suspect every job that a walk through the whole list did not meet."""
        found = self._connection.execute(
            f"SELECT uuid FROM jobs WHERE uuid NOT IN (SELECT uuid FROM {marks.table})"
        )
        gone = [uuid for (uuid,) in found]
        if gone:
            self.suspect(gone)
        return len(gone)

    def drop_older(self, before_at: float) -> int:
        """Forget ended jobs whose last change lies before a moment. Returns how many."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE modified_at < ? AND status <= ?",
            (before_at, schema.LAST_END_STATUS_ID),
        ).fetchall()
        if rows:
            self._connection.execute(
                "DELETE FROM jobs WHERE modified_at < ? AND status <= ?",
                (before_at, schema.LAST_END_STATUS_ID),
            )
            for row in rows:
                self._count(row, -1)
        return len(rows)

    def leave(self, status: str, is_in_it: Callable[[str], bool]) -> int:
        """Set aside, in the empty status, the jobs of a status that are no longer in it."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE status > {schema.LAST_END_STATUS_ID}"
            " AND status = ?",
            (self._statuses.id_of(status),),
        )
        left = [self._job(row)._replace(status="") for row in rows if not is_in_it(row[0])]
        self.apply(left)
        return len(left)

    def in_status(self, status: str) -> list[Job]:
        """All jobs in a status, newest change first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE status = ? ORDER BY modified_at DESC",
            (self._statuses.id_of(status),),
        )
        return [self._job(row) for row in rows]

    def marks(self) -> Marks:
        """A new, empty set of seen jobs."""
        self._marks_made += 1
        marks = Marks(self._connection, self._marks_made)
        self._marks.add(marks)
        return marks

    # -- asking --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many jobs are known."""
        return self._size

    def known(self, uuids: Iterable[str]) -> dict[str, Job]:
        """Those of the jobs that are known, as they are known."""
        rows = self._connection.execute(
            _SELECT_SOME.format(table="jobs"), (json.dumps(list(uuids)),)
        )
        return {row[0]: self._job(row) for row in rows}

    def count_between(
        self, newest_at: float, oldest_at: float, *, by: TimeColumn = "modified_at"
    ) -> int:
        """How many jobs changed within [``oldest_at``, ``newest_at``]; the bounds may be infinite."""
        row = self._connection.execute(
            f"SELECT COUNT(*) FROM jobs WHERE {by} BETWEEN ? AND ?",
            (_integral(oldest_at), _integral(newest_at)),
        ).fetchone()
        return int(row[0])

    def count_status(self, status: str) -> int:
        """How many jobs are in a status."""
        wanted = self._statuses.id_of(status)
        return sum(jobs for (s, _, _), (jobs, _) in self._groups.items() if s == wanted)

    def active_statuses(self) -> frozenset[str]:
        """The statuses, other than end statuses, that some job is in."""
        texts = self._statuses.texts
        found = {texts[s] for (s, _, _), (jobs, _) in self._groups.items() if jobs}
        return frozenset(found - END_STATUSES - {""})

    def active_jobs(self) -> Iterator[tuple[str, str, int]]:
        """(uuid, status, modified_at) of every active job, newest change first."""
        texts = self._statuses.texts
        rows = self._connection.execute(
            "SELECT uuid, status, modified_at FROM jobs WHERE status > ? ORDER BY modified_at DESC",
            (schema.LAST_END_STATUS_ID,),
        )
        return ((uuid, texts[status], modified_at) for uuid, status, modified_at in rows)

    def totals(self) -> dict[tuple[str, str, str], JobTotals]:
        """Jobs and cores by (status, queue, user); only where there is a job."""
        statuses, queues, users = self._statuses.texts, self._queues.texts, self._users.texts
        return {
            (statuses[s], queues[q], users[u]): JobTotals(jobs, cores)
            for (s, q, u), (jobs, cores) in self._groups.items()
            if jobs
        }

    def oldest_pending(self) -> dict[str, int]:
        """By queue, the submit time of the pending job that waits longest."""
        rows = self._connection.execute(
            "SELECT queue, MIN(submitted_at) FROM jobs INDEXED BY jobs_active"
            f" WHERE status > {schema.LAST_END_STATUS_ID} AND status = {schema.PENDING_ID}"
            " AND submitted_at > 0 GROUP BY queue"
        )
        return {self._queues.texts[queue]: oldest for queue, oldest in rows}

    # -- counters --------------------------------------------------------------------------------

    def tally(self, key: TallyKey, *, seconds: float = 0.0, bucket: int | None = None) -> None:
        """Count one transition, and its duration where it has one, in the running transaction."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        tally.count += 1
        tally.sum_seconds += seconds
        if bucket is not None:
            if len(tally.buckets) <= bucket:
                tally.buckets.extend([0] * (bucket + 1 - len(tally.buckets)))
            tally.buckets[bucket] += 1
        self._touched_tallies.add(key)

    def tallies(self) -> Mapping[TallyKey, Tally]:
        """All counters."""
        return self._tallies

    def note_activity(self, queue: str, user: str, at: float) -> None:
        """A user had an active job in a queue at this moment."""
        key = (queue, user)
        if at > self._activity.get(key, 0.0):
            self._activity[key] = at
            self._touched_activity.add(key)

    def activity(self) -> Mapping[tuple[str, str], float]:
        """By (queue, user), when an active job was last known to have ended or gone."""
        return self._activity

    def forget_activity(self, before_at: float) -> None:
        """Drop what lies before a moment."""
        gone = [key for key, at in self._activity.items() if at < before_at]
        for key in gone:
            del self._activity[key]
            self._touched_activity.add(key)

    def shown(self, label: str) -> frozenset[str]:
        """The values of a label that have been shown under their own name."""
        rows = self._connection.execute("SELECT value FROM shown WHERE label = ?", (label,))
        return frozenset(value for (value,) in rows)

    def remember_shown(self, label: str, values: frozenset[str]) -> None:
        """Keep which values of a label are shown, so that a restart shows the same."""
        before = self.shown(label)
        if values == before:
            return
        self._connection.executemany(
            "DELETE FROM shown WHERE label = ? AND value = ?",
            [(label, value) for value in before - values],
        )
        self._connection.executemany(
            "INSERT INTO shown (label, value) VALUES (?, ?)",
            [(label, value) for value in values - before],
        )

    # -- inside ----------------------------------------------------------------------------------

    def _job(self, row: _Row) -> Job:
        uuid, status, queue, user, cores, submitted_at, started_at, modified_at = row
        return Job(
            uuid,
            self._statuses.texts[status],
            self._queues.texts[queue],
            self._users.texts[user],
            cores,
            submitted_at or None,
            started_at,
            modified_at or None,
        )

    def _store(self, rows: Sequence[_Row], known: Mapping[str, _Row]) -> None:
        new, updated = [], []
        for row in rows:
            old = known.get(row[0])
            if old is None:
                new.append(row)
            else:
                self._count(old, -1)
                if old[_SUBMITTED] == row[_SUBMITTED]:
                    updated.append((*row[1:_SUBMITTED], *row[_SUBMITTED + 1 :], row[0]))
                else:
                    new.append(row)
            self._count(row, +1)
        self._connection.executemany(_UPSERT, new)
        self._connection.executemany(_UPDATE, updated)

    def _count(self, row: _Row, jobs: int) -> None:
        key = (row[1], row[2], row[3])
        cores = row[4] * jobs
        self._shift_group(key, jobs, cores)
        self._undo.append((key, jobs, cores))

    def _shift_group(self, key: _GroupKey, jobs: int, cores: int) -> None:
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = [0, 0]
        group[0] += jobs
        group[1] += cores
        self._size += jobs
        if not group[0]:
            del self._groups[key]

    def _take_back(self, asked: str, table: Literal["suspects", "gone"]) -> dict[str, _Row]:
        rows = self._connection.execute(_SELECT_SOME.format(table=table), (asked,)).fetchall()
        if rows:
            self._connection.execute(_DELETE_SOME.format(table=table), (asked,))
            if table == "suspects":
                self._suspects -= len(rows)
        return {row[0]: row for row in rows}

    def _load_groups(self) -> None:
        rows = self._connection.execute(
            "SELECT status, queue, user, COUNT(*), SUM(cores) FROM jobs GROUP BY 1, 2, 3"
        )
        self._groups = {(s, q, u): [jobs, cores] for s, q, u, jobs, cores in rows}
        self._check_words()
        self._size = sum(jobs for jobs, _ in self._groups.values())

    def _check_words(self) -> None:
        statuses, queues, users = self._statuses.texts, self._queues.texts, self._users.texts
        fixed = [statuses.get(number) for number in range(len(schema.FIXED_STATUSES))]
        known = all(s in statuses and q in queues and u in users for s, q, u in self._groups)
        if fixed != list(schema.FIXED_STATUSES) or not known:
            raise LedgerUnreadable("it is damaged")

    def _load_tallies(self) -> Iterator[tuple[TallyKey, Tally]]:
        rows = self._connection.execute(
            "SELECT kind, queue, status, count, sum_seconds, buckets FROM tallies"
        )
        for kind, queue, status, count, sum_seconds, buckets in rows:
            yield TallyKey(kind, queue, status), Tally(count, sum_seconds, json.loads(buckets))

    def _write_tallies(self) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*key, tally.count, tally.sum_seconds, json.dumps(tally.buckets))
                for key in self._touched_tallies
                for tally in (self._tallies[key],)
            ],
        )

    def _load_activity(self) -> dict[tuple[str, str], float]:
        rows = self._connection.execute("SELECT queue, user, last_active_at FROM activity")
        return {(queue, user): at for queue, user, at in rows}

    def _write_activity(self) -> None:
        for queue, user in self._touched_activity:
            at = self._activity.get((queue, user))
            if at is None:
                self._connection.execute(
                    "DELETE FROM activity WHERE queue = ? AND user = ?", (queue, user)
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO activity VALUES (?, ?, ?)", (queue, user, at)
                )

    def _load_progress(self) -> Progress:
        row = self._connection.execute("SELECT value FROM about WHERE key = 'progress'").fetchone()
        if row is None:
            return Progress()
        try:
            return msgspec.json.decode(row[0], type=Progress)
        except msgspec.MsgspecError as error:
            raise LedgerUnreadable("its record of progress cannot be read") from error

    def _write_about(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))


def open_ledger(path: Path | None, identity: str) -> Ledger:
    """Open, or lay out, the ledger in a file; None keeps it in memory.

    ``identity`` names the remote list that it is of. Raises ``LedgerUnreadable`` if the file is
    not such a ledger, ``LedgerUnwritable`` if it cannot be written.
    """
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        _lay_out_or_check(connection, identity)
        return Ledger(connection, in_memory=path is None)
    except (sqlite3.Error, ValueError) as error:  # damaged text is told of by UnicodeDecodeError
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise


def read_ledger(path: Path, identity: str) -> Ledger:
    """The ledger of a file on a disk that cannot be written, in memory. Raises ``StateError``."""
    try:
        # Immutable: not even the files beside it, which a reader would make, are asked for.
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        connection = _connect(None)
        with closing(source):
            source.backup(connection)
        _lay_out_or_check(connection, identity)
        return Ledger(connection, in_memory=True)
    except (sqlite3.Error, ValueError) as error:
        raise translated(error) from error


def _connect(path: Path | None) -> sqlite3.Connection:
    return sqlite3.connect(
        ":memory:" if path is None else path,
        isolation_level=None,
        check_same_thread=False,
        timeout=0.5,
    )


def _lay_out_or_check(connection: sqlite3.Connection, identity: str) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if not tables and not application:
        schema.tune(connection)
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
    schema.tune(connection)


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


def translated(error: sqlite3.Error | ValueError) -> StateError:
    """The error of ours for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _UNWRITABLE_CODES:
        return LedgerUnwritable(f"it cannot be written ({error})")
    return LedgerUnreadable(f"it cannot be read ({error})")


def _integral(at: float) -> int:
    """A bound that SQLite can compare with its 64-bit integers."""
    if at == float("inf"):
        return 2**62
    return -(2**62) if at == float("-inf") else int(at)
