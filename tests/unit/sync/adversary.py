"""Somebody who changes the remote list at the worst moments: between any two calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from exporter.simulator import DIALECTS, Dialect, JobList
from tests.unit.sync.simulated import START_AT, SimulatedCluster

QUEUES = ("默认队列", "gpu", 'q"uo\\te\nd')
USERS = ("alice", "usr-vceaHsJu", "王")
ENDS = ("finished", "exited", "cancelled")
ENDED = frozenset(ENDS)
MOST_MEDDLING = 200
"""A list that grows as fast as it is read would never be read to its end."""


class Adversary:
    """Changes the list of a cluster, by its own dice."""

    def __init__(self, cluster: SimulatedCluster, rng: Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.events = Counter[str]()
        """How often jobs were submitted, started and ended."""

    @property
    def jobs(self) -> JobList:
        """The list."""
        return self.cluster.jobs

    def acts(self) -> Sequence[Callable[[], None]]:
        """What may happen, each as often as it is here."""
        return (
            self.submit, self.submit, self.submit, self.start, self.start, self.end, self.end,
            self.cancel, self.requeue, self.suspend, self.resume, self.delete_one,
            self.delete_run, self.burst, self.pass_time, self.pass_time,
        )  # fmt: skip

    def act(self, times: int = 1) -> None:
        """Change something, so many times."""
        acts = self.acts()
        for _ in range(times):
            self.rng.choice(acts)()

    def meddler(self, often: int) -> Callable[[], None]:
        """To be called after each call: something happens after every so many of them."""
        left = MOST_MEDDLING

        def meddle() -> None:
            nonlocal left
            if self.rng.randrange(often) == 0 and left:
                left -= 1
                self.act()

        return meddle

    def pass_time(self) -> None:
        """Some seconds, or none."""
        self.cluster.now_at += self.rng.choice((0, 1, 1, 3, 7, 40))

    def submit(self) -> None:
        """One more job."""
        self.jobs.submit(
            self._at(),
            queue=self.rng.choice(QUEUES),
            user=self.rng.choice(USERS),
            cores=self.rng.randrange(1, 9),
        )
        self.events["submitted"] += 1

    def burst(self) -> None:
        """Many at once, within the same second."""
        for _ in range(self.rng.randrange(5, 40)):
            self.submit()

    def start(self) -> None:
        """Some pending job starts."""
        if uuid := self._pick({"pending"}):
            self.jobs.start(uuid, self._at())
            self.events["started"] += 1

    def end(self) -> None:
        """Some running job ends."""
        if uuid := self._pick({"running"}):
            self.jobs.end(uuid, self._at(), self.rng.choice(ENDS))
            self.events["ended"] += 1

    def cancel(self) -> None:
        """Some job that has not ended is cancelled."""
        if uuid := self._pick({"pending", "running", "suspended"}):
            self.jobs.cancel(uuid, self._at())
            self.events["ended"] += 1

    def requeue(self) -> None:
        """Some job waits again, perhaps one that had ended."""
        if uuid := self._pick({"running", *ENDED}):
            self.jobs.requeue(uuid, self._at())

    def suspend(self) -> None:
        """Some running job is held."""
        if uuid := self._pick({"running"}):
            self.jobs.suspend(uuid, self._at())

    def resume(self) -> None:
        """Some held job runs on."""
        if uuid := self._pick({"suspended"}):
            self.jobs.resume(uuid, self._at())

    def delete_one(self) -> None:
        """Any job leaves the list."""
        uuids = self._uuids()
        if uuids:
            self.jobs.delete([self.rng.choice(uuids)])

    def delete_run(self) -> None:
        """The oldest, the newest, or a run of jobs leave the list."""
        uuids = self._uuids()
        length = min(len(uuids), self.rng.randrange(1, 30))
        start = self.rng.choice((0, len(uuids) - length, self.rng.randrange(len(uuids) + 1)))
        self.jobs.delete(uuids[start : start + length])

    def _at(self) -> float:
        # The clocks of several machines are not quite one.
        return self.cluster.now_at - self.rng.choice((0, 0, 0, 0, 1, 2))

    def _uuids(self) -> list[str]:
        return self.jobs.uuids()

    def _pick(self, statuses: set[str]) -> str | None:
        fitting = self.jobs.uuids(statuses)
        return self.rng.choice(fitting) if fitting else None


def some_jobs(jobs: JobList, count: int, rng: Random) -> None:
    """Jobs of the last days, in all statuses."""
    for _ in range(count):
        at = START_AT - rng.randrange(1, 5 * 86400)
        uuid = jobs.submit(at, queue=rng.choice(QUEUES), user=rng.choice(USERS), cores=2)
        fate = rng.random()
        if fate > 0.15:
            at += rng.randrange(0, 3000)
            jobs.start(uuid, min(at, START_AT))
        if fate > 0.3:
            at += rng.randrange(0, 9000)
            jobs.end(uuid, min(at, START_AT), rng.choice(ENDS))


def with_small_pages(dialect: Dialect, page_cap: int) -> Dialect:
    """The same server with short pages, so that a short list has many."""
    return replace(dialect, page_cap=page_cap)


TURNS_OF_LUCK = {"ties-shuffled": 40, "sort-ignored-ties-shuffled": 40, "still-all": 800}
"""Where luck has a part in being right, and how many turns it is given beyond an audit interval.

Every call may show jobs of the same second in another order. Or no change moves its job: two that
leave the number in each status as it was are only found when a probe meets them by chance. (A list
with more pages than a few is then beyond anybody's luck.)
"""

DIALECT_NAMES = tuple(sorted(DIALECTS))
