"""Taking records of the remote list into the ledger, counting every transition once.

Time does not run backwards. A record is *stale* if it is older than the known one, by its last change or by
the life of a job: pending, running, ended. It is believed if it is still there after a while, like that of
a job that was queued again without a new time of change.
"""

from bisect import bisect_left
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.errors import SyncError
from exporter.ledger.counters import CounterKey
from exporter.ledger.records import Change
from exporter.ledger.store import Ledger, Marks
from exporter.model import END_STATUSES, NO_STATUS, OUT_OF_WINDOW, SET_ASIDE, Job
from exporter.snapshot import RECENT_SECONDS, WAIT_BUCKETS_SECONDS

LATE_SECONDS = 10
"""A change may be stamped so much before the newest known one: clocks differ a little, and times are in seconds."""

PATIENCE_SECONDS = 90.0
"""A stale record is believed after this time, if no lag is known: later than a replica that is a minute behind
shows it, in two syncs that take their time."""

LAGS = (5, 10, 20, 30, 60, 120, 300)
"""A lag is rounded up to one of these seconds, so that its value does not change all the time. A record that is
further behind than the last one does not show a lag."""

MOST_STALE_RECORDS = 10_000
"""If there are so many for that long, the whole list has gone back, as if restored: the ledger begins anew."""


@dataclass(slots=True)
class StaleRecords:
    """Stale records, at most ``MOST_STALE_RECORDS``, and when they were first seen. Kept from sync to sync."""

    since: dict[str, tuple[Job, float]] = field(default_factory=dict)

    def is_confirmed(self, job: Job, now_at: float, patience_seconds: float) -> bool:
        """Whether a stale record is old enough to be believed; else it is noted. ``SyncError`` if too many are."""
        known, since_at = self.since.get(job.uuid, (None, now_at))
        if known is None and len(self.since) >= MOST_STALE_RECORDS:
            raise SyncError(
                "payload",
                f"more than {MOST_STALE_RECORDS:,} jobs are older in the list than they were before",
                advice="Nothing is counted from it; if it stays so, the list is read anew.",
            )
        if known != job:
            self.since[job.uuid] = (job, now_at)
        if known != job or abs(now_at - since_at) < patience_seconds:
            return False  # the clocks of two servers may differ
        del self.since[job.uuid]
        return True

    def drop_superseded(self, jobs: Sequence[Job]) -> None:
        """Forget stale records of jobs that now come with another record."""
        for job in jobs:
            if job.uuid in self.since and self.since[job.uuid][0] != job:
                del self.since[job.uuid]

    def drop_unknown(self, ledger: Ledger) -> None:
        """Forget stale records of unknown jobs, because the whole list was just read. Otherwise they are looked up before
        that: a job that seems to be gone may be elsewhere in the list, with its older record."""
        for uuid in self.since.keys() - ledger.known(self.since).keys():
            del self.since[uuid]

    def show_that_list_went_back(self, now_at: float, patience_seconds: float) -> bool:
        """Whether there are so many, and most have been for long enough, that the list itself is older. Others take the
        places of jobs that change meanwhile."""
        many = len(self.since) >= MOST_STALE_RECORDS
        return many and len(self.due(now_at, patience_seconds)) > MOST_STALE_RECORDS // 2

    def due(self, now_at: float, patience_seconds: float) -> list[Job]:
        """The stale records that have been there long enough to be looked up."""
        return [job for job, at in self.since.values() if abs(now_at - at) >= patience_seconds]


@dataclass(slots=True)
class Intake:
    """Takes the records of one sync into the ledger."""

    ledger: Ledger
    began_at: float
    """The server's time when the ledger began."""
    now_at: float
    """The server's time now, as well as it is known."""
    stale_records: StaleRecords = field(default_factory=StaleRecords)
    patience_seconds: float = PATIENCE_SECONDS
    """How long a stale record must have been there before it is believed."""
    window_from_at: float = float("-inf")
    """Ended jobs that changed before this are outside the wanted history: they are known, but not shown."""
    was_complete: bool = False
    """Whether the ledger was complete when the sync began: only then does a check find faults."""
    known_up_to_at: int | None = None
    """Every change with a stamp before this had been seen when the sync began."""
    by_change: bool = False
    """Whether that is so because the list is followed by change: then a change before that was stamped late."""
    also_mark: Marks | None = None
    """The jobs that a scan in the background has seen; those that come in here are added."""
    corrections: dict[str, int] = field(default_factory=dict)
    changes: int = 0
    timed: bool = True
    """Whether the zone of times is known. Otherwise no duration is counted."""
    last_look_at: float = 0.0
    """The server's time at the last sync; 0 at the first one."""
    changed_from_at: float = float("inf")
    """When the oldest change happened, of those since the last sync that this one has found."""
    moved_at: list[int] = field(default_factory=list)
    """The times of change of jobs that have changed since the last sync, if they carry no zone: of known jobs
    with a new one, and of unknown ones if all jobs were known."""
    stale_seconds: float = 0.0
    """How far the answers of this sync were behind, as stale records show, and changes that were stamped late."""

    def take(
        self, jobs: Sequence[Job], *, audit: bool = False, bare: Container[str] = ()
    ) -> list[Change]:
        """Take in records; returns what they have changed. With ``audit``, changes that an earlier sync
        should have found are counted as corrections. ``bare`` are the jobs whose times carry no zone."""
        came = {}
        if self.window_from_at != float("-inf"):
            came = {job.uuid: job for job in jobs}
            jobs = [self._as_wanted(job) for job in jobs]
        if self.stale_records.since:
            self.stale_records.drop_superseded(jobs)
        if self.also_mark is not None:
            self.also_mark.add_seen_elsewhere(job.uuid for job in jobs)
        changes = self.ledger.apply(jobs, accept=self._accept)
        recent_from_at = self.now_at - RECENT_SECONDS
        for old, new in changes:
            self._count(old, came.get(new.uuid, new))
            at = new.modified_at or 0
            if self.last_look_at <= at < self.changed_from_at:
                self.changed_from_at = at
            moved = self.was_complete if old is None else old.modified_at != at
            if moved:
                self._note_late(at)
                if at and new.uuid in bare:
                    self.moved_at.append(at)
            if at >= recent_from_at and new.ended:
                self.ledger.note_activity(new.queue, new.user, at)
        self.changes += len(changes)
        if audit and self.was_complete and self.known_up_to_at is not None:
            self._judge(changes, self.known_up_to_at)
        return changes

    def correct(self, kind: str, jobs: int) -> None:
        """Count jobs that a check has corrected."""
        if jobs:
            self.corrections[kind] = self.corrections.get(kind, 0) + jobs

    def hide_out_of_window(self) -> None:
        """Hide the ended jobs that are now too old for the wanted history."""
        if self.window_from_at != float("-inf"):
            self.ledger.hide_before(self.window_from_at)

    def _count(self, old: Job | None, new: Job) -> None:
        times = (new.submitted_at or 0, new.started_at or 0, new.modified_at or 0)
        if old is None and max(times) < self.began_at:
            return  # most of a history
        for counted in transitions(old, new, began_at=self.began_at):
            if counted.bucket is None:
                self.ledger.tally(counted.key)
            elif self.timed:
                self.ledger.tally(*counted)
                self.ledger.tally(*used(counted, new))

    def _as_wanted(self, job: Job) -> Job:
        if job.ended and (job.modified_at or 0) < self.window_from_at:
            return job._replace(status=OUT_OF_WINDOW)
        return job

    def _accept(self, old: Job, new: Job) -> bool:
        if not older(old, new):
            self.stale_records.since.pop(new.uuid, None)
            return True
        known_at, at = old.modified_at or 0, new.modified_at or 0
        if at < known_at - LATE_SECONDS:  # otherwise it may only have been stamped late
            self.stale_seconds = max(self.stale_seconds, self.now_at - known_at)
        return self.stale_records.is_confirmed(new, self.now_at, self.patience_seconds)

    def _note_late(self, at: int) -> None:
        """Note how much earlier a change is stamped than others that were known before it."""
        if self.by_change and self.was_complete and self.known_up_to_at is not None:
            late_seconds = float(self.known_up_to_at + LATE_SECONDS - at)
            if LATE_SECONDS < late_seconds <= LAGS[-1]:
                self.stale_seconds = max(self.stale_seconds, late_seconds)

    def _judge(self, changes: Sequence[Change], known_up_to_at: int) -> None:
        for old, new in changes:
            if (new.modified_at or 0) < known_up_to_at:
                if old is not None and (old.status == SET_ASIDE or older(old, new)):
                    continue  # it was known to have changed, but not to what; or time has gone back
                self.correct("missing" if old is None else "changed", 1)


def older(old: Job, new: Job) -> bool:
    """Whether a record is stale: older than the known one of its job. Pure."""
    if new.modified_at is None or old.modified_at is None:
        return False
    if new.modified_at != old.modified_at:
        return new.modified_at < old.modified_at
    return old.status != SET_ASIDE and _life(new) < _life(old)


def _life(job: Job) -> int:
    if job.status == "pending":
        return 0
    return 2 if job.ended or job.status == OUT_OF_WINDOW else 1


class Counted(NamedTuple):
    """One transition: its counter, and, if it has a duration, the seconds and their bucket."""

    key: CounterKey
    seconds: int = 0
    bucket: int | None = None


def transitions(old: Job | None, new: Job, *, began_at: float) -> list[Counted]:
    """The transitions of a job since it was last seen, or, if it was unknown, since ``began_at``. Pure.

    Each transition is counted once, even if there were several since then. Nothing that happened before the
    ledger began is counted.
    """
    if old is not None and old.status == OUT_OF_WINDOW:
        old = old._replace(status="finished")  # in one end status or another
    found: list[Counted] = []
    if old is None and (new.submitted_at or new.modified_at or 0) >= began_at:
        found.append(Counted(CounterKey("submitted", new.queue, "")))
    if _started(old, new, began_at):
        found.append(Counted(CounterKey("started", new.queue, "")))
        found += _duration("waits", new.queue, "", new.submitted_at, new.started_at)
    if _ended(old, new, began_at):
        found.append(Counted(CounterKey("ended", new.queue, new.status)))
        found += _duration("runs", new.queue, new.status, new.started_at, new.modified_at)
    return found


def used(counted: Counted, job: Job) -> tuple[CounterKey, int]:
    """What a wait or a run adds to the usage of the job's user. Pure."""
    if counted.key.kind == "waits":
        return CounterKey("wait", job.queue, job.user), counted.seconds
    return CounterKey("cores", job.queue, job.user), counted.seconds * job.cores


def _started(old: Job | None, new: Job, began_at: float) -> bool:
    if new.status == "pending":
        return False  # its record may have an earlier start
    if new.started_at is None:
        # Without a start time, only the change to running shows the start.
        return old is not None and new.status == "running" and old.status == "pending"
    if old is None:
        return new.started_at >= began_at
    if old.started_at is None:
        # If the job was running, its start was counted when it was first seen running.
        return old.status != "running"
    return old.started_at != new.started_at or old.status == "pending"


def _ended(old: Job | None, new: Job, began_at: float) -> bool:
    if not new.ended:
        return False
    if old is None:
        return (new.modified_at or 0) >= began_at
    if old.status == NO_STATUS:
        return old.modified_at != new.modified_at  # otherwise it may have ended before
    # It had ended before. If it has a new start, it was queued again in between, and this is another end.
    return old.status not in END_STATUSES or (
        old.started_at != new.started_at and old.modified_at != new.modified_at
    )


def _duration(
    kind: str, queue: str, status: str, from_at: int | None, to_at: int | None
) -> list[Counted]:
    if from_at is None or to_at is None:
        return []
    seconds = max(0, to_at - from_at)  # the clocks of two machines may differ a little
    bucket = bisect_left(WAIT_BUCKETS_SECONDS, seconds)
    return [Counted(CounterKey(kind, queue, status), seconds, bucket)]
