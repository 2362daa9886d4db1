"""The table of jobs: finding them by identity, adding, rewriting, removing, and counting them by time."""

import json
import sqlite3
import threading
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from itertools import islice
from operator import add, itemgetter
from typing import Final, Literal
from weakref import WeakSet

from exporter.errors import LedgerUnreadable
from exporter.ledger import schema
from exporter.ledger.proof import all_proven, checked
from exporter.ledger.row_hints import MOST_ROW_NUMBER, RowHints
from exporter.ledger.text_ids import TextIds
from exporter.ledger.totals import GroupKey
from exporter.model import PAGE_LIMIT, Job, hidden

TimeColumn = Literal["modified_at", "submitted_at"]
"""The moment by which jobs are ranked. If it is unknown, it counts as 0, the oldest."""

Row = tuple[str, int, int, int, int, int, int | None, int, int]
"""A job as it is written, with numbers for names: the ``schema.JOB_COLUMNS``."""
_NumberedRow = tuple[str, int, int, int, int, int, int | None, int, int, int]
"""The same, with its row number."""

MOST_RECENT = 10_000
"""How many jobs of all ledgers are kept in memory because they changed last: about 6 MB."""
LEAST_RECENT = PAGE_LIMIT
"""Each ledger may keep at least this many, however many ledgers there are."""
BATCH = 10_000
"""How many jobs are removed, or put back, at a time."""
MOST_STALE_HINTS = 5_000
"""If one look-up finds more hints than this that lead nowhere, all hints are made anew. Jobs that are
removed and put back again and again leave one each time."""

_COLUMNS = schema.JOB_COLUMNS
_INSERT = f"INSERT INTO jobs ({_COLUMNS}, rowid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REWRITE = (
    "UPDATE jobs SET status = ?2, queue = ?3, user = ?4, cores = ?5, submitted_at = ?6,"
    " started_at = ?7, modified_at = ?8, proof = ?9 WHERE rowid = ?10"
)
_SOME = "rowid IN (SELECT value FROM json_each(?))"
_BY_SUBMISSION = "CREATE INDEX IF NOT EXISTS jobs_submitted ON jobs (submitted_at)"
_ENDED = f"status <= {schema.LAST_END_STATUS_ID}"
_ACTIVE = f"status > {schema.LAST_END_STATUS_ID}"


_UUID: Final = 0
_PROOF: Final = 8
"""The indexes of a row's identity and proof."""

StoredJob = tuple[Job, int, int]
"""A job, its row number, and the row's proof."""


class CacheLimit:
    """How many jobs the ledgers of a process may keep in memory: they share one limit."""

    def __init__(self) -> None:
        self._tables: WeakSet[JobTable] = WeakSet()
        self._lock = threading.Lock()

    def enter(self, table: "JobTable") -> None:
        """Add a ledger that shares the limit."""
        with self._lock:
            self._tables.add(table)

    def jobs_each(self) -> int:
        """How many jobs each ledger may keep in memory."""
        with self._lock:
            part = MOST_RECENT // len(self._tables)
        return min(MOST_RECENT, max(LEAST_RECENT, part))


class JobTable:
    """The known jobs, in the file. Those that changed last are in memory, too."""

    def __init__(self, connection: sqlite3.Connection, cache_limit: CacheLimit) -> None:
        self._connection = connection
        self._cache_limit = cache_limit
        cache_limit.enter(self)
        self._statuses = TextIds(connection, "statuses")
        self._queues = TextIds(connection, "queues")
        self._users = TextIds(connection, "users")
        self._recent: dict[str, StoredJob] = {}
        self._row_hints = RowHints()
        self._refilled = False
        self._next_row_number = 1
        self._kept_sum = self.proofs = 0
        """The sum of all rows' proofs. It shows whether rows are missing, or come from an earlier state."""
        self._groups: dict[tuple[int, int, int], list[int]] = {}
        self._active_at: array[int] | None = None
        """When each active job last changed, the earliest first; None before it is first asked for."""
        self._refill_hints(self._read_all)
        self._kept_sum = self.proofs

    # -- transactions --------------------------------------------------------------------------

    def committed(self) -> None:
        """The transaction was committed."""
        self._kept_sum = self.proofs
        self._refilled = False

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        for text_ids in (self._statuses, self._queues, self._users):
            text_ids.reload()
        self._recent.clear()
        self._active_at = None
        self.proofs = self._kept_sum
        if self._refilled:  # the hints may lack rows that are back now
            self._refill_hints()
            self._refilled = False

    def require_whole(self) -> None:
        """Raises ``LedgerUnreadable`` if a row is damaged or missing."""
        for _ in self._read_all():
            pass
        self._groups.clear()
        if self.proofs != self._kept_sum:
            raise LedgerUnreadable("rows of it are missing")

    # -- changing ------------------------------------------------------------------------------

    def add(self, jobs: Sequence[Job]) -> None:
        """Add jobs that are not in the table."""
        first = self._next_row_number
        self._next_row_number += len(jobs)
        if self._next_row_number > MOST_ROW_NUMBER:
            raise LedgerUnreadable("its row numbers are used up")
        rows = self.rows(jobs)
        self._note_active((), jobs)
        numbers = range(first, self._next_row_number)
        self._connection.executemany(_INSERT, map(add, rows, zip(numbers)))
        proofs = list(map(itemgetter(_PROOF), rows))
        self.proofs += sum(proofs)
        if self._has_room(len(jobs)):
            self._row_hints.add(zip(map(itemgetter(_UUID), rows), numbers, strict=True))
        else:
            self._refilled = True
            self._refill_hints()
        self._remember(list(zip(jobs, numbers, proofs, strict=True)))

    def rewrite(self, changed: Sequence[tuple[StoredJob, Job]]) -> None:
        """Replace stored jobs; ``changed`` has each one with its new values."""
        rows = self.rows(job for _, job in changed)
        self._note_active((kept[0] for kept, _ in changed), (job for _, job in changed))
        rewritten = [
            (job, number, row[_PROOF])
            for ((_, number, _), job), row in zip(changed, rows, strict=True)
        ]
        self._connection.executemany(
            _REWRITE, [(*row, kept[1]) for row, kept in zip(rows, rewritten, strict=True)]
        )
        self.proofs += sum(
            row[_PROOF] - old[2] for row, (old, _) in zip(rows, changed, strict=True)
        )
        for job, _, _ in rewritten:
            self._recent.pop(job.uuid, None)  # moves it to the end
        self._remember(rewritten)

    def take_out(self, kept: Collection[StoredJob]) -> None:
        """Delete jobs."""
        numbers = [number for _, number, _ in kept]
        self._note_active((job for job, _, _ in kept), ())
        self._connection.execute(f"DELETE FROM jobs WHERE {_SOME}", (json.dumps(numbers),))
        for job, _, proof in kept:
            self._recent.pop(job.uuid, None)
            self.proofs -= proof

    # -- finding -------------------------------------------------------------------------------

    def find(self, uuids: Collection[str]) -> dict[str, StoredJob]:
        """Those of the jobs that are in the table."""
        recent = self._recent
        found = {uuid: recent[uuid] for uuid in uuids if uuid in recent}
        if len(found) < len(uuids):
            wanted = set(uuids).difference(found)
            hints = self._row_hints.hints(wanted)
            if len(hints) > len(wanted) + MOST_STALE_HINTS:
                self._refilled = True
                self._refill_hints()
                hints = self._row_hints.hints(wanted)
            if hints:
                for kept in self._select(_SOME, json.dumps(hints)):
                    uuid = kept[0][0]
                    if uuid in wanted:
                        found[uuid] = kept
        return found

    def ended_before(self, at: float) -> Iterator[list[StoredJob]]:
        """In batches, the jobs in an end status whose last change lies before a moment."""
        shown = f"{_ENDED} AND status > {schema.SET_ASIDE_ID}"
        return self._batches([f"{shown} AND modified_at < ?"], at)

    def between(
        self, newest_at: float, oldest_at: float, by: TimeColumn, but: Collection[str] = ()
    ) -> Iterator[list[StoredJob]]:
        """In batches, all jobs with a moment in [``oldest_at``, ``newest_at``], except those in ``but``.
        The bounds may be infinite."""
        span = f"{by} BETWEEN ? AND ?"
        bounds = (_integral(oldest_at), _integral(newest_at))
        wheres = [span]
        if by == "modified_at" and oldest_at != float("-inf"):
            # This uses both indexes, which have a part of the jobs each: every sync asks for the newest few.
            parts = [_ENDED, _ACTIVE] if self._active_between(newest_at, oldest_at) else [_ENDED]
            wheres = [f"{part} AND {span}" for part in parts]
        # Most jobs in ``but`` have just been taken in: their rows need not be read. Mostly there are no
        # others, which a count shows in less time.
        known = [self._recent[uuid] for uuid in but if uuid in self._recent]
        inside = sum(oldest_at <= (getattr(job, by) or 0) <= newest_at for job, _, _ in known)
        if inside and inside == self.count_between(newest_at, oldest_at, by):
            return
        numbers = {number for _, number, _ in known}
        for batch in self._batches(wheres, *bounds, but=numbers):
            yield [kept for kept in batch if kept[0].uuid not in but]

    def not_in(self, table: str) -> Iterator[list[StoredJob]]:
        """In batches, the jobs that are not in a table of identities."""
        return self._batches([f"uuid NOT IN (SELECT uuid FROM {table})"])

    def in_status(self, status: str) -> list[StoredJob]:
        """All jobs in a status, newest change first."""
        number = self._statuses.get(status)
        if number is None:
            return []
        where = f"{self._index_of(status)} AND status = ? ORDER BY modified_at DESC"
        return list(self._select(where, number))

    def newest_in(self, status: str, by: TimeColumn) -> int | None:
        """The newest moment of the jobs in a status; None if there are none."""
        found = self._connection.execute(
            f"SELECT MAX({by}) FROM jobs WHERE status = ?", (self._statuses.get(status),)
        )
        newest_at: int | None = found.fetchone()[0]
        return newest_at

    def active(self, by: TimeColumn) -> list[Job]:
        """Every active job, the one with the newest moment first."""
        found = self._select(f"{_ACTIVE} ORDER BY +{by} DESC")  # +: by no index, as they are few
        return [job for job, _, _ in found if not hidden(job.status)]

    # -- counting ------------------------------------------------------------------------------

    def count_between(
        self, newest_at: float, oldest_at: float, by: TimeColumn, status: str | None = None
    ) -> int:
        """How many jobs, of all or of one status, have a moment in [``oldest_at``, ``newest_at``]; the
        bounds may be infinite. For one status, every row between them is read."""
        where, active = f"{by} BETWEEN ? AND ?", 0
        values: tuple[int | None, ...] = (_integral(oldest_at), _integral(newest_at))
        if by == "submitted_at":  # only lists that are followed by submission need this index
            self._connection.execute(_BY_SUBMISSION)
        elif status is None:
            where, active = f"{_ENDED} AND {where}", self._active_between(newest_at, oldest_at)
        else:
            where = f"{self._index_of(status)} AND {where}"
        if status is not None:
            where, values = f"{where} AND status = ?", (*values, self._statuses.get(status))
        found = self._connection.execute(f"SELECT COUNT(*) FROM jobs WHERE {where}", values)
        ended: int = found.fetchone()[0]
        return ended + active

    def _index_of(self, status: str) -> str:
        """The condition of the index that has the jobs of a status."""
        return _ACTIVE if self._statuses.get(status, 0) > schema.LAST_END_STATUS_ID else _ENDED

    def _active_between(self, newest_at: float, oldest_at: float) -> int:
        """How many active jobs changed last between two moments. Their index is not by change: all of it would
        be read, for each page of a history."""
        if self._active_at is None:
            found = self._connection.execute(f"SELECT modified_at FROM jobs WHERE {_ACTIVE}")
            self._active_at = array("q", sorted(at for (at,) in found))
        moments = self._active_at
        return bisect_right(moments, newest_at) - bisect_left(moments, oldest_at)

    def _note_active(self, gone: Iterable[Job], new: Iterable[Job]) -> None:
        """Note which jobs are about to be replaced by others."""
        if (moments := self._active_at) is None:
            return
        for job in gone:
            if self._statuses[job.status] > schema.LAST_END_STATUS_ID:
                moments.pop(bisect_left(moments, job.modified_at or 0))
        for job in new:
            if self._statuses[job.status] > schema.LAST_END_STATUS_ID:
                insort(moments, job.modified_at or 0)

    def oldest_pending(self) -> dict[str, int]:
        """For each queue, the submit time of the job that has been pending longest."""
        rows = self._connection.execute(
            "SELECT queue, MIN(submitted_at) FROM jobs INDEXED BY jobs_active"
            f" WHERE {_ACTIVE} AND status = {schema.PENDING_ID} AND submitted_at > 0"
            " GROUP BY queue"
        )
        return {self._queues.texts[queue]: oldest for queue, oldest in rows}

    def groups(self) -> Iterator[tuple[GroupKey, int, int]]:
        """(status, queue, user), jobs and cores of each group, as the table was read at the start; works
        once. Raises ``LedgerUnreadable``."""
        statuses, queues, users = self._statuses.texts, self._queues.texts, self._users.texts
        fixed = [statuses.get(number) for number in range(len(schema.FIXED_STATUSES))]
        if fixed != list(schema.FIXED_STATUSES):
            raise LedgerUnreadable("it is damaged")
        # A new one, as a dict that is emptied keeps its size.
        groups, self._groups = self._groups, {}
        while groups:
            (status, queue, user), (jobs, cores) = groups.popitem()
            yield (statuses[status], queues[queue], users[user]), jobs, cores

    # -- rows ----------------------------------------------------------------------------------

    def rows(self, jobs: Iterable[Job]) -> list[Row]:
        """The rows of jobs."""
        statuses, queues, users = self._statuses, self._queues, self._users
        return all_proven([
            (
                uuid, statuses[status], queues[queue], users[user], cores,
                submitted_at or 0, started_at, modified_at or 0,
            )
            for uuid, status, queue, user, cores, submitted_at, started_at, modified_at in jobs
        ])  # fmt: skip

    def jobs(self, rows: Iterable[Row]) -> Iterator[Job]:
        """The jobs of rows. Raises ``LedgerUnreadable`` if a row is damaged."""
        return (job for job, _, _ in self._stored((*row, 0) for row in rows))

    def _stored(self, rows: Iterable[_NumberedRow]) -> Iterator[StoredJob]:
        statuses, queues, users = self._statuses.texts, self._queues.texts, self._users.texts
        # fmt: off
        for (
            uuid, status, queue, user, cores, submitted_at, started_at, modified_at, proof, number,
        ) in checked(rows, _PROOF):
            job = Job(
                uuid, statuses[status], queues[queue], users[user], cores,
                submitted_at or None, started_at, modified_at or None,
            )
            yield job, number, proof
        # fmt: on

    def _select(self, where: str, *values: float | str) -> Iterator[StoredJob]:
        return self._stored(
            self._connection.execute(f"SELECT {_COLUMNS}, rowid FROM jobs WHERE {where}", values)
        )

    def _batches(
        self, wheres: Iterable[str], *values: float, but: Container[int] = ()
    ) -> Iterator[list[StoredJob]]:
        """Yields jobs in batches. They are looked up before the first batch, so they may be changed
        meanwhile."""
        numbers = array("Q")  # a million jobs would take half a gigabyte
        for where in wheres:
            rows = self._connection.execute(f"SELECT rowid FROM jobs WHERE {where}", values)
            numbers.extend(number for (number,) in rows if number not in but)
        for first in range(0, len(numbers), BATCH):
            batch = numbers[first : first + BATCH].tolist()
            yield list(self._select(_SOME, json.dumps(batch)))

    def _remember(self, kept: Sequence[StoredJob]) -> None:
        recent, most = self._recent, self._cache_limit.jobs_each()
        # If there are more, the first of them have no room.
        recent.update({each[0].uuid: each for each in kept[-most:]})
        for uuid in list(islice(recent, max(0, len(recent) - most))):  # the oldest ones
            del recent[uuid]

    def _has_room(self, jobs: int) -> bool:
        """Whether hints of this many more jobs can be added. Lets the hints grow if that makes room."""
        if not self._row_hints.has_room(jobs):
            (known,) = self._connection.execute("SELECT COUNT(*) FROM jobs").fetchone()
            if not self._row_hints.is_small_for(known):
                return False
            self._row_hints.grow()
        return self._row_hints.has_room(jobs)

    def _refill_hints(self, read: Callable[[], Iterable[tuple[str, int]]] | None = None) -> None:
        ask = self._connection.execute
        jobs, first, last = ask("SELECT COUNT(*), MIN(rowid), MAX(rowid) FROM jobs").fetchone()
        if jobs and not 1 <= first <= last <= MOST_ROW_NUMBER:
            raise LedgerUnreadable("its row numbers are used up")
        self._next_row_number = max(self._next_row_number, (last or 0) + 1)
        self._row_hints.refill(jobs, read() if read else ask("SELECT uuid, rowid FROM jobs"))

    def _read_all(self) -> Iterator[tuple[str, int]]:
        """Yields the identity and row number of each job. Meanwhile, every row is checked and counted."""
        groups, proofs = self._groups, 0
        rows = self._connection.execute(f"SELECT {_COLUMNS}, rowid FROM jobs")
        for row in checked(rows, _PROOF):
            proofs += row[_PROOF]
            key = row[1:4]  # status, queue, user
            try:
                group = groups[key]
            except KeyError:
                group = groups[key] = [0, 0]
            group[0] += 1
            group[1] += row[4]
            yield row[0], row[-1]
        self.proofs = proofs


def _integral(at: float) -> int:
    """A bound that SQLite can compare with its 64-bit integers."""
    if at == float("inf"):
        return 2**62
    return -(2**62) if at == float("-inf") else int(at)
