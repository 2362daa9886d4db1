"""Long lists, ledgers that equal them, and what happens to a list in a steady state."""

import random
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from exporter.ledger.records import Progress
from exporter.ledger.store import open_ledger
from exporter.model import Job
from exporter.simulator import (
    DOCUMENTED,
    Dialect,
    JobList,
    ListedJob,
    Order,
    fill,
    spell_dialect,
)
from tests.bench.followed import CLUSTER_ID, START_AT, Followed

BATCH = 5_000
QUEUES = tuple(f"queue-{number:02d}" for number in range(12))
USERS = tuple(f"usr-{number:04d}" for number in range(60))
ENDS = ("finished",) * 8 + ("exited", "cancelled")


def as_known(job: ListedJob) -> Job:
    """A job of the list as a ledger knows it."""
    return Job(
        job.uuid, job.status, job.queue, job.user, job.cores,
        job.submitted_at, job.started_at, job.modified_at,
    )  # fmt: skip


class Stock:
    """Made once, used by many parts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._copies = 0
        self._learned: dict[Dialect, Progress] = {}

    def jobs(self, count: int, active: int) -> JobList:
        """A list of so many jobs; the same ones each time."""
        jobs = JobList()
        fill(jobs, count, active=active, now_at=START_AT)
        return jobs

    def new_path(self) -> Path:
        """For a ledger that begins empty."""
        self._copies += 1
        return self._directory / f"{self._copies}.ledger"

    def ledger(self, jobs: JobList, count: int, active: int, dialect: Dialect = DOCUMENTED) -> Path:
        """A ledger of a list as ``jobs(count, active)`` gave it, which the caller may change."""
        name = spell_dialect(dialect)
        kept = self._directory / f"kept-{count}-{active}-{name}.ledger"
        if not kept.exists():
            fill_ledger(kept, CLUSTER_ID, jobs, self.learned(dialect))
        path = self.new_path()
        shutil.copy(kept, path)
        return path

    def ledger_with_profile(self, dialect: Dialect = DOCUMENTED) -> Path:
        """A ledger that knows a server's profile and none of its jobs."""
        path = self.new_path()
        ledger = open_ledger(path, CLUSTER_ID)
        with ledger.transaction():
            ledger.progress = Progress(profile=self.learned(dialect).profile)
        ledger.close()
        return path

    def learned(self, dialect: Dialect = DOCUMENTED) -> Progress:
        """What a poller knows about a server after it has followed a short list for a while."""
        if dialect not in self._learned:
            followed = Followed(self.jobs(2_000, 300), self.new_path(), dialect=dialect)
            followed.run(1800)
            ledger = followed.open_ledger()
            self._learned[dialect] = ledger.progress
            ledger.close()
        return self._learned[dialect]


def fill_ledger(path: Path, identity: str, jobs: JobList, learned: Progress) -> None:
    """Make a ledger that equals a list without asking for its pages."""
    ledger = open_ledger(path, identity)
    by_change = learned.profile.order.value in ("change", "change_only")
    order = Order.MODIFIED if by_change else Order.SUBMITTED
    newest = jobs.page(order=order, limit=1).jobs[0]
    try:
        every: Iterator[Job] = map(as_known, jobs.jobs())
        while batch := list(islice(every, BATCH)):
            with ledger.transaction():
                ledger.apply(batch)
        with ledger.transaction():
            ledger.progress = msgspec.structs.replace(
                learned, newest_at=newest.modified_at if by_change else newest.submitted_at,
                frontier_at=None, unread=0, expected=len(jobs), last_success_at=START_AT,
            )  # fmt: skip
    finally:
        ledger.close()


class Churn:
    """A steady state: at random moments a job is submitted, starts or ends, in turn."""

    def __init__(
        self,
        jobs: JobList,
        *,
        per_minute: float,
        at: float = START_AT,
        seed: int = 5,
        names: tuple[Sequence[str], Sequence[str]] = (QUEUES, USERS),
    ) -> None:
        """``names`` are the queues and the users of new jobs."""
        self._jobs = jobs
        self._queues, self._users = names
        self._rng = random.Random(seed)
        self._per_second = per_minute / 60
        self._next_at = at + self._rng.expovariate(self._per_second)
        self._pending = deque(self._in_status("pending"))
        self._running = deque(self._in_status("running"))
        self.changes = 0
        self.resting = False

    def _in_status(self, status: str) -> list[str]:
        found = self._jobs.page(status=status, limit=10**9, descending=False).jobs
        return [job.uuid for job in found]

    def __call__(self, at: float) -> None:
        """Let everything happen that is due."""
        while self._next_at <= at:
            if not self.resting:
                self.change(self._next_at)
            self._next_at += self._rng.expovariate(self._per_second)

    def change(self, at: float) -> None:
        """One change."""
        kind = self.changes % 3
        self.changes += 1
        if kind == 0 or (kind == 1 and not self._pending) or (kind == 2 and not self._running):
            queue, user = self._rng.choice(self._queues), self._rng.choice(self._users)
            self._pending.append(self._jobs.submit(at, queue=queue, user=user, cores=4))
        elif kind == 1:
            uuid = self._pending.popleft()
            self._jobs.start(uuid, at)
            self._running.append(uuid)
        else:
            self._running.rotate(self._rng.randrange(len(self._running)))
            self._jobs.end(self._running.popleft(), at, self._rng.choice(ENDS))
