"""One cluster's ledger: its jobs, counters and progress, in SQLite. ``store`` opens it.

A ledger belongs to one thread. What is written between ``begin`` and ``commit`` is kept as a whole or
not at all, even if the process is killed.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet, finalize

import msgspec

from exporter.errors import ExporterError, LedgerUnreadable, StateError
from exporter.ledger.connection import (
    closed_on_failure,
    connect,
    read_about,
    read_proofs,
    require_integrity,
    translated,
    tune,
    write_about,
    write_proofs,
)
from exporter.ledger.counters import PUBLISHED, CounterKey, Counters
from exporter.ledger.jobs import CacheLimit, JobTable, StoredJob, TimeColumn
from exporter.ledger.marks import Marks
from exporter.ledger.published import NOTHING, LedgerFile, Published
from exporter.ledger.records import Change, JobTotals, Progress, progress_of
from exporter.ledger.remembered import Activity, Shown
from exporter.ledger.suspects import Suspects
from exporter.ledger.totals import Move, Totals
from exporter.model import OUT_OF_WINDOW, SET_ASIDE, Job


class Ledger:
    """The jobs of one cluster. See the module's docstring."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        published: Published,
        cache_limit: CacheLimit,
    ) -> None:
        """Take over an open, laid-out connection; use ``open_ledger``."""
        self.in_memory = path is None
        self.on_damage: Callable[[str], None] = lambda reason: None
        """Called with the reason when the ledger turns out to be damaged while it is in use."""
        self._file = None if path is None else LedgerFile(path)
        self._connection = connection
        # This also closes a ledger that is simply dropped: newer Pythons warn of an open connection.
        # It does not run at the end of the process: a poller that hangs may still use the connection.
        self._close = finalize(self, connection.close)
        self._close.atexit = False
        self._cache_limit = cache_limit
        self._jobs = JobTable(connection, cache_limit)
        self.groups = Totals(self._jobs.groups())
        self._suspects = Suspects(connection, self._jobs)
        self.counters = Counters(connection)
        """What has happened; credited in the running transaction."""
        self._activity = Activity(connection)
        self._shown = Shown(connection)
        self._parts = (
            self._jobs, self.groups, self.counters, self._activity, self._shown, self._suspects,
        )  # fmt: skip
        self._saved_progress = self._load_progress()
        self.progress = self._saved_progress
        self.last_reading = object()
        """Set by the reader of ``groups.log`` when it has read all; if that is rolled back, so is this."""
        self._saved_reading = self.last_reading
        self._saved_proofs = self._proofs()
        if read_proofs(connection) != self._saved_proofs:
            raise LedgerUnreadable("its parts do not belong together")
        self._marks_made = 0
        self._marks: WeakSet[Marks] = WeakSet()
        self.rest()  # all of the file has just been read
        if self.counters.lacks(published.counters):
            self._go_on_from(published)
        elif self._published() != published:  # the process was killed before it was written
            self._remember(self._published())

    # -- transactions --------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside, or roll it back if it raises.

        Raises ``LedgerUnwritable`` or ``LedgerUnreadable`` if the file fails.
        """
        try:
            try:
                self.begin()
                yield
            except BaseException:
                self.rollback()
                raise
            self.commit()
        except sqlite3.Error as error:
            told = translated(error)
            self._note(told)
            raise told from error
        except ExporterError as error:
            self._note(error)
            raise
        except Exception as error:  # a mistake in this program, or damaged data
            self._require_whole(error)
            raise

    def begin(self) -> None:
        """Start a transaction. Raises ``LedgerUnwritable`` if the file is no longer in its place."""
        if self._file is not None:
            self._file.require()
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit what was written since ``begin``. If this raises ``LedgerUnwritable``, either nothing
        was committed, or everything but the file of published counters: use another file then."""
        progress, saved = self.progress, self._saved_progress
        try:
            if progress.complete and progress.synced_at != saved.synced_at:
                self.counters.catch_up()
            changed = self._changed()
            self.counters.write()
            self._activity.write()
            self._suspects.keep()
            if progress != saved:
                write_about(self._connection, "progress", msgspec.json.encode(progress).decode())
            proofs = self._proofs()
            if proofs != self._saved_proofs:
                write_proofs(self._connection, *proofs)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise translated(error) from error
        except BaseException:
            self.rollback()
            raise
        for part in self._parts:
            part.committed()
        self._saved_progress, self._saved_proofs = progress, proofs
        self._saved_reading = self.last_reading
        if changed != NOTHING:
            self._remember(changed)

    def rollback(self) -> None:
        """Undo what was written since ``begin``. Raises ``LedgerUnreadable`` if the earlier state cannot
        be read."""
        try:
            with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            for part in self._parts:
                part.rolled_back()
            for marks in self._marks:
                marks.recount()
        except (sqlite3.Error, ValueError) as error:
            raise translated(error) from error
        self.progress, self.last_reading = self._saved_progress, self._saved_reading

    def rest(self) -> None:
        """Give back the memory in which SQLite keeps parts of the file."""
        if not self._suspects.count and not self._marks:
            # This closes the temporary database, of which SQLite would keep 100 kB.
            self._connection.execute("PRAGMA temp_store = MEMORY")
            self._connection.execute("PRAGMA temp_store = FILE")
        self._connection.execute("PRAGMA shrink_memory")

    def close(self) -> None:
        """Close the file."""
        self._close()

    def copied_to(self, path: Path | None) -> "Ledger":
        """Copy the ledger to another file, or to memory for None, and open that. Raises ``StateError``."""
        connection = connect(path)
        with closed_on_failure(connection):
            self._connection.backup(connection)
            tune(connection)
            copy = Ledger(connection, path, self._published(), self._cache_limit)
            copy._remember(copy._published())
        return copy

    # -- taking in -----------------------------------------------------------------------------

    def apply(
        self, jobs: Sequence[Job], accept: Callable[[Job, Job], bool] = lambda old, new: True
    ) -> list[Change]:
        """Write records of the remote list; returns what that changed.

        A known job that differs, also one that seemed to be gone, is written only if
        ``accept(known, record)`` is true."""
        by_uuid = {job.uuid: job for job in jobs}
        known = self._jobs.find(by_uuid)
        rewritten: list[tuple[StoredJob, Job]] = []
        for uuid, kept in known.items():
            job = by_uuid.pop(uuid)
            if kept[0] != job and accept(kept[0], job):
                rewritten.append((kept, job))
        returned = self._suspects.take_back(by_uuid) if by_uuid else {}
        for uuid, before in returned.items():
            if before != by_uuid[uuid] and not accept(before, by_uuid[uuid]):
                by_uuid[uuid] = before  # it is there after all, and as it was known
        new = list(by_uuid.values())
        changes: list[Change] = [(kept[0], job) for kept, job in rewritten]
        changes += [(old, job) for job in new if (old := returned.get(job.uuid)) is not job]
        moves: Sequence[Move] = changes
        if returned:  # they were in no group
            moves = [*((kept[0], job) for kept, job in rewritten), *((None, job) for job in new)]
        self.groups.move(moves)
        if rewritten:
            self._jobs.rewrite(rewritten)
        if new:
            self._jobs.add(new)
        return changes

    def suspect(self, uuids: Collection[str]) -> None:
        """Take jobs out of the ledger, until ``forget_suspects``, ``restore_suspects``, or until they are
        applied again."""
        self._suspect(self._jobs.find(uuids).values())

    def suspect_between(
        self,
        newest_at: float,
        oldest_at: float,
        *,
        keep: Iterable[str],
        by: TimeColumn = "modified_at",
    ) -> int:
        """Suspect all jobs with a moment in [``oldest_at``, ``newest_at``], except those to ``keep``.

        Returns how many there were. The bounds may be infinite.
        """
        found = self._jobs.between(newest_at, oldest_at, by, but=frozenset(keep))
        return sum(map(self._suspect, found))

    @property
    def suspects(self) -> int:
        """How many jobs are suspected to be gone."""
        return self._suspects.count

    def forget_suspects(self, now_at: float) -> int:
        """Delete the suspects: they are gone. Returns how many there were."""
        return self._suspects.forget(now_at)

    def restore_suspects(self) -> int:
        """Put the suspects back: nothing proves that they are gone. Returns how many there were."""
        restored = 0
        for jobs in self._suspects.take_all():
            self._jobs.add(jobs)
            self.groups.move([(None, job) for job in jobs])
            restored += len(jobs)
        return restored

    def drop_unmarked(self, marks: Marks) -> int:
        """Suspect every job that a scan of the whole list has not seen. Returns how many there were."""
        return sum(self._suspect(batch) for batch in self._jobs.not_in(marks.table))

    def clear(self) -> None:
        """Delete all jobs, and empty the sets of jobs that scans have seen; the counters stay."""
        for batch in self._jobs.between(float("inf"), float("-inf"), "modified_at"):
            self._take_out(batch)
        self._suspects.clear()
        for marks in self._marks:
            marks.clear()

    def hide_before(self, before_at: float) -> None:
        """Hide the ended jobs whose last change lies before a moment."""
        for batch in self._jobs.ended_before(before_at):
            self.apply([job._replace(status=OUT_OF_WINDOW) for job, _, _ in batch])

    def set_aside(self, status: str, is_in_it: Callable[[Job], bool]) -> int:
        """Set aside the jobs of an active status that are no longer in it: they get the status ``SET_ASIDE``."""
        found = self._jobs.in_status(status)
        left = [job._replace(status=SET_ASIDE) for job, _, _ in found if not is_in_it(job)]
        self.apply(left)
        return len(left)

    def in_status(self, status: str) -> list[Job]:
        """All jobs in a status, newest change first."""
        return [job for job, _, _ in self._jobs.in_status(status)]

    def newest_in(self, status: str, by: TimeColumn = "modified_at") -> int | None:
        """The newest moment of the jobs in a status; None if there are none."""
        return self._jobs.newest_in(status, by)

    def marks(self) -> Marks:
        """A new, empty set of the jobs that a scan meets."""
        self._marks_made += 1
        marks = Marks(self._connection, self._marks_made)
        self._marks.add(marks)
        return marks

    # -- asking --------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many jobs are known."""
        return self.groups.size

    def known(self, uuids: Iterable[str]) -> dict[str, Job]:
        """Those of the jobs that are known, as the ledger has them."""
        return {uuid: job for uuid, (job, _, _) in self._jobs.find(set(uuids)).items()}

    def count_between(
        self,
        newest_at: float,
        oldest_at: float,
        *,
        by: TimeColumn = "modified_at",
        status: str | None = None,
    ) -> int:
        """How many jobs, of all or of one status, have a moment in [``oldest_at``, ``newest_at``]; the
        bounds may be infinite."""
        return self._jobs.count_between(newest_at, oldest_at, by, status)

    def count_status(self, status: str) -> int:
        """How many jobs are in a status."""
        return self.groups.in_status(status)

    def active_statuses(self) -> frozenset[str]:
        """The statuses of active jobs."""
        return self.groups.active_statuses()

    def active_jobs(self, by: TimeColumn = "modified_at") -> list[Job]:
        """Every active job, the one with the newest moment first."""
        return self._jobs.active(by)

    def totals(self) -> dict[tuple[str, str, str], JobTotals]:
        """Jobs and cores by (status, queue, user), for those that have a job."""
        return self.groups.by_group()

    def oldest_pending(self) -> dict[str, int]:
        """For each queue, the submit time of the job that has been pending longest."""
        return self._jobs.oldest_pending()

    # -- counters ------------------------------------------------------------------------------

    def tally(self, key: CounterKey, seconds: int = 0, bucket: int | None = None) -> None:
        """Count one event, and its duration where it has one, in the running transaction."""
        self.counters.add(key, seconds, bucket)

    def note_activity(self, queue: str, user: str, at: float) -> None:
        """A user had an active job in a queue at this moment."""
        self._activity.note(queue, user, at)

    def activity(self) -> Mapping[tuple[str, str], float]:
        """By (queue, user), when an active job was last known to have ended or gone."""
        return self._activity.last_active_at

    def forget_activity(self, before_at: float) -> None:
        """Drop the activity before a moment."""
        self._activity.forget(before_at)

    def shown(self, label: str) -> frozenset[str]:
        """The values of a label that have been shown under their own name."""
        return self._shown.values(label)

    def remember_shown(self, label: str, values: frozenset[str]) -> None:
        """Write which values of a label are shown, so that a restart shows the same."""
        self._shown.remember(label, values)

    # -- inside --------------------------------------------------------------------------------

    def _suspect(self, kept: Collection[StoredJob]) -> int:
        if kept:
            self._suspects.add([job for job, _, _ in kept])
        return self._take_out(kept)

    def _take_out(self, kept: Collection[StoredJob]) -> int:
        if kept:
            self._jobs.take_out(kept)
            self.groups.move([(job, None) for job, _, _ in kept])
        return len(kept)

    def _require_whole(self, cause: Exception) -> None:
        try:
            require_integrity(self._connection)
            self._jobs.require_whole()
        except (sqlite3.Error, ValueError, StateError) as error:
            told = LedgerUnreadable(str(error))
            self._note(told)
            raise told from cause

    def _note(self, error: ExporterError) -> None:
        if isinstance(error, LedgerUnreadable):
            self.on_damage(str(error))

    def _remember(self, changed: Published) -> None:
        if self._file is not None:
            self._file.remember(self._published, changed)

    def _changed(self) -> Published:
        """What has been credited in the running transaction, as it will be published."""
        counters = {account: self.counters.changed(account) for account in PUBLISHED}
        return Published(self._shown.changed(), counters)

    def _published(self) -> Published:
        counters = {account: self.counters[account] for account in PUBLISHED}
        return Published(self._shown.all(), counters)

    def _go_on_from(self, published: Published) -> None:
        """The ledger is older than what was published of it, so its shown names are, too."""
        with self.transaction():
            for label, values in published.names.items():
                self._shown.remember(label, values)
            self.counters.take_over(published.counters)
            if self.progress.began_at is None:  # nothing will be counted again
                self.counters.catch_up()

    def _proofs(self) -> list[int]:
        return [self._jobs.proofs, self.counters.proofs]

    def _load_progress(self) -> Progress:
        text = read_about(self._connection, "progress")
        try:
            return Progress() if text is None else progress_of(text)
        except msgspec.MsgspecError as error:
            raise LedgerUnreadable("its record of progress cannot be read") from error
