"""One cluster's ledger: its jobs, counters and progress, in SQLite.

A ledger belongs to one thread. Everything that is written between ``begin`` and ``commit`` stands
together or not at all, also when the process is killed.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from weakref import WeakSet, finalize

import msgspec

from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger.connection import connect, lay_out_or_check, translated, tune
from exporter.ledger.counters import Activity, Counters
from exporter.ledger.jobs import JobTable, Kept, TimeColumn
from exporter.ledger.marks import Marks
from exporter.ledger.records import (
    Change,
    JobTotals,
    Progress,
    Tally,
    TallyKey,
    progress_of,
)
from exporter.ledger.suspects import GONE_KEPT_SECONDS, Suspects
from exporter.ledger.totals import Move, Totals
from exporter.model import OUT_OF_WINDOW, Job

__all__ = [
    "GONE_KEPT_SECONDS", "Ledger", "LedgerUnreadable", "LedgerUnwritable", "Marks", "TimeColumn",
    "open_ledger", "read_ledger",
]  # fmt: skip


class Ledger:
    """The jobs of one cluster. See the module's docstring."""

    def __init__(self, connection: sqlite3.Connection, *, in_memory: bool) -> None:
        """Take over an open, laid-out connection; use ``open_ledger``."""
        self.in_memory = in_memory
        self._connection = connection
        # Also for a ledger that is forgotten: newer Pythons complain of a connection left open.
        # Not at the process's end, where a poller that hangs may still be using it.
        self._close = finalize(self, connection.close)
        self._close.atexit = False
        self._jobs = JobTable(connection)
        self._totals = Totals(self._jobs.groups())
        self._suspects = Suspects(connection, self._jobs)
        self._counters = Counters(connection)
        self._activity = Activity(connection)
        self._parts = (self._jobs, self._totals, self._counters, self._activity, self._suspects)
        self._saved_progress = self._load_progress()
        self.progress = self._saved_progress
        self._marks_made = 0
        self._marks: WeakSet[Marks] = WeakSet()

    # -- transactions --------------------------------------------------------------------------

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

    def commit(self) -> None:
        """Keep what was written since ``begin``. Raises ``LedgerUnwritable`` and undoes it."""
        try:
            self._counters.write()
            self._activity.write()
            if self.progress != self._saved_progress:
                self._write_about("progress", msgspec.json.encode(self.progress).decode())
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.rollback()
            raise translated(error) from error
        for part in self._parts:
            part.keep()
        self._saved_progress = self.progress

    def rollback(self) -> None:
        """Undo what was written since ``begin``. Raises ``LedgerUnreadable`` if what was there
        before cannot be read."""
        try:
            with suppress(sqlite3.Error):  # a full disk may have undone it already
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            for part in self._parts:
                part.undo()
            for marks in self._marks:
                marks.recount()
        except (sqlite3.Error, ValueError) as error:
            raise translated(error) from error
        self.progress = self._saved_progress

    def close(self) -> None:
        """Close the file."""
        self._close()

    def copied_to(self, path: Path | None) -> "Ledger":
        """The same ledger in another file, or, with None, in memory. Raises ``StateError``."""
        try:
            connection = connect(path)
        except sqlite3.Error as error:
            raise translated(error) from error
        try:
            self._connection.backup(connection)
            tune(connection)
            return Ledger(connection, in_memory=path is None)
        except (sqlite3.Error, ValueError) as error:
            connection.close()
            raise translated(error) from error
        except BaseException:
            connection.close()
            raise

    # -- taking in -----------------------------------------------------------------------------

    def apply(
        self, jobs: Sequence[Job], accept: Callable[[Job, Job], bool] = lambda old, new: True
    ) -> list[Change]:
        """Make the ledger agree with records of the remote list; returns what that changed.

        ``accept`` is asked of each job that is known and differs: (as it is known, as it came)."""
        by_uuid = {job.uuid: job for job in jobs}
        known = self._jobs.find(by_uuid)
        new = [job for uuid, job in by_uuid.items() if uuid not in known]
        returned = self._suspects.take_back([job.uuid for job in new]) if new else {}
        changes: list[Change] = []
        rewritten: list[Kept] = []
        moves: list[Move] = []
        for uuid, job in by_uuid.items():
            if uuid in known:
                old, row_number = known[uuid]
                if old == job or not accept(old, job):
                    continue
                rewritten.append((job, row_number))
                moves.append((old, job))
                changes.append(Change(old, job))
            else:
                moves.append((None, job))
                changes.append(Change(returned.get(uuid), job))
        self._totals.move(moves)
        if rewritten:
            self._jobs.rewrite(rewritten)
        if new:
            self._jobs.add(new)
        return changes

    def suspect(self, uuids: Collection[str]) -> None:
        """Take jobs out of the list until ``forget_suspects`` or until they are applied again."""
        self._suspect(self._jobs.find(uuids).values())

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
        spared = set(keep)
        found = self._jobs.between(newest_at, oldest_at, by)
        return sum(
            self._suspect([kept for kept in batch if kept[0].uuid not in spared]) for batch in found
        )

    @property
    def suspects(self) -> int:
        """How many jobs are suspected to be gone."""
        return self._suspects.count

    def forget_suspects(self, now_at: float) -> int:
        """The suspects are gone. Returns how many they were."""
        return self._suspects.forget(now_at)

    def restore_suspects(self) -> int:
        """The suspects could not be proven gone: put them back. Returns how many."""
        restored = 0
        for jobs in self._suspects.take_all():
            self._jobs.add(jobs)
            self._totals.move([(None, job) for job in jobs])
            restored += len(jobs)
        return restored

    def drop_unmarked(self, marks: Marks) -> int:
        """Suspect every job that a walk through the whole list did not meet. Returns how many."""
        return sum(self._suspect(batch) for batch in self._jobs.not_in(marks.table))

    def clear(self) -> None:
        """Forget all jobs; what has been counted stands."""
        for batch in self._jobs.between(float("inf"), float("-inf"), "modified_at"):
            self._take_out(batch)
        self._suspects.clear()

    def age(self, before_at: float) -> None:
        """Ended jobs whose last change lies before a moment are no longer shown."""
        for batch in self._jobs.ended_before(before_at):
            self.apply([job._replace(status=OUT_OF_WINDOW) for job, _ in batch])

    def leave(self, status: str, is_in_it: Callable[[Job], bool]) -> int:
        """Set aside, in the empty status, the jobs of an active status that are no longer in it."""
        found = self._jobs.in_status(status)
        left = [job._replace(status="") for job, _ in found if not is_in_it(job)]
        self.apply(left)
        return len(left)

    def in_status(self, status: str) -> list[Job]:
        """All jobs in a status, newest change first."""
        return [job for job, _ in self._jobs.in_status(status)]

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
        return self._totals.size

    def known(self, uuids: Iterable[str]) -> dict[str, Job]:
        """Those of the jobs that are known, as they are known."""
        return {uuid: job for uuid, (job, _) in self._jobs.find(set(uuids)).items()}

    def count_between(
        self, newest_at: float, oldest_at: float, *, by: TimeColumn = "modified_at"
    ) -> int:
        """How many jobs changed within [``oldest_at``, ``newest_at``]; the bounds may be infinite."""
        return self._jobs.count_between(newest_at, oldest_at, by)

    def count_status(self, status: str) -> int:
        """How many jobs are in a status."""
        return self._totals.in_status(status)

    def active_statuses(self) -> frozenset[str]:
        """The statuses, other than end statuses, that some job is in."""
        return self._totals.active_statuses()

    def active_jobs(self, by: TimeColumn = "modified_at") -> list[Job]:
        """Every active job, that with the newest moment first."""
        return self._jobs.active(by)

    def totals(self) -> dict[tuple[str, str, str], JobTotals]:
        """Jobs and cores by (status, queue, user); only where there is a job."""
        return self._totals.by_group()

    def oldest_pending(self) -> dict[str, int]:
        """By queue, the submit time of the pending job that waits longest."""
        return self._jobs.oldest_pending()

    # -- counters ------------------------------------------------------------------------------

    def tally(self, key: TallyKey, *, seconds: float = 0.0, bucket: int | None = None) -> None:
        """Count one transition, and its duration where it has one, in the running transaction."""
        self._counters.count(key, seconds=seconds, bucket=bucket)

    def tallies(self) -> Mapping[TallyKey, Tally]:
        """All counters."""
        return self._counters.tallies

    def note_activity(self, queue: str, user: str, at: float) -> None:
        """A user had an active job in a queue at this moment."""
        self._activity.note(queue, user, at)

    def activity(self) -> Mapping[tuple[str, str], float]:
        """By (queue, user), when an active job was last known to have ended or gone."""
        return self._activity.last_active_at

    def forget_activity(self, before_at: float) -> None:
        """Drop what lies before a moment."""
        self._activity.forget(before_at)

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

    # -- inside --------------------------------------------------------------------------------

    def _suspect(self, kept: Collection[Kept]) -> int:
        if kept:
            self._suspects.add([job for job, _ in kept])
        return self._take_out(kept)

    def _take_out(self, kept: Collection[Kept]) -> int:
        if kept:
            self._jobs.take_out(kept)
            self._totals.move([(job, None) for job, _ in kept])
        return len(kept)

    def _load_progress(self) -> Progress:
        row = self._connection.execute("SELECT value FROM about WHERE key = 'progress'").fetchone()
        if row is None:
            return Progress()
        try:
            return progress_of(row[0])
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
        connection = connect(path)
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        lay_out_or_check(connection, identity)
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
        # With the log of the last transactions, if the files beside it let that be read.
        return _read_ledger(path, identity, "mode=ro")
    except StateError:
        # Immutable: not even the files beside it, which a reader would make, are asked for.
        return _read_ledger(path, identity, "mode=ro&immutable=1")


def _read_ledger(path: Path, identity: str, options: str) -> Ledger:
    try:
        connection = connect(None)
    except sqlite3.Error as error:
        raise translated(error) from error
    try:
        source = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=0.5)
        with closing(source):
            source.backup(connection)
        lay_out_or_check(connection, identity)
        return Ledger(connection, in_memory=True)
    except (sqlite3.Error, ValueError) as error:
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise
