"""Jobs that live in a remote list, and an exact account of what they did since a moment."""

from bisect import bisect_left
from collections import Counter, defaultdict
from random import Random

from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger
from exporter.snapshot import WAIT_BUCKETS_SECONDS
from tests.unit.ledger.made import happened
from tests.unit.sync.simulated import SimulatedCluster

QUEUES = ("默认队列", "gpu")
USERS = ("u", "李娜")
ENDS = ("finished", "exited", "cancelled")
WAITED, RAN = 0, 1

Account = dict[CounterKey, tuple[int, float, tuple[int, ...]]]


class Living:
    """Lets jobs live by its own dice, and counts every transition as it makes it.

    It does only what looks at any distance can tell apart: a job is requeued, or deleted, only as
    it was last seen, and lives on only after the next look (``looked``).
    """

    def __init__(self, cluster: SimulatedCluster, rng: Random, *, ends_seen: bool = True) -> None:
        """``ends_seen``: every look shows what has ended. Where only a scan now and then does, jobs
        that have ended are left as they are."""
        self.cluster = cluster
        self.rng = rng
        self._seen_ends = ENDS if ends_seen else ()
        self.counts: Counter[CounterKey] = Counter()
        self.durations: dict[CounterKey, list[float]] = defaultdict(list)
        self.used: dict[CounterKey, list[int]] = defaultdict(list)
        self.before: Counter[tuple[str, str, str]] = Counter()
        """What others have counted before, for ``totals``."""
        self._unseen: set[str] = set()
        self._resting: set[str] = set()

    def looked(self) -> None:
        """A sync has seen everything as it is."""
        self._unseen.clear()
        self._resting.clear()

    def live(self, times: int) -> None:
        """So many things happen, some seconds apart."""
        acts = [self.submit] * 4 + [self.start] * 4 + [self.end] * 3
        acts += [self.cancel, self.suspend, self.requeue, self.delete]
        for _ in range(times):
            self.cluster.now_at += self.rng.choice((0, 0, 1, 1, 7, 45))
            self.rng.choice(acts)()

    def submit(self) -> None:
        """One more job."""
        queue = self.rng.choice(QUEUES)
        number = sum(self.counts.values())
        user, cores = USERS[number % len(USERS)], 24 if number % 3 else 1
        uuid = self.cluster.jobs.submit(self._now, queue=queue, user=user, cores=cores)
        self.counts[CounterKey("submitted", queue, "")] += 1
        self._unseen.add(uuid)

    def start(self) -> None:
        """A pending job starts."""
        if uuid := self._pick("pending"):
            job = self.cluster.jobs.get(uuid)
            self.cluster.jobs.start(uuid, self._now)
            self.counts[CounterKey("started", job.queue, "")] += 1
            waited = self._now - job.submitted_at
            self.durations[CounterKey("waits", job.queue, "")].append(waited)
            self.used[CounterKey("wait", job.queue, job.user)].append(waited)

    def end(self) -> None:
        """A running job ends."""
        if uuid := self._pick("running"):
            self._end(uuid, self.rng.choice(ENDS))

    def cancel(self) -> None:
        """A job that has not ended is cancelled."""
        if uuid := self._pick("pending", "running", "suspended"):
            self._end(uuid, "cancelled")

    def suspend(self) -> None:
        """A running job is held, or a held one runs on."""
        if uuid := self._pick("running", "suspended"):
            if self.cluster.jobs.get(uuid).status == "running":
                self.cluster.jobs.suspend(uuid, self._now)
            else:
                self.cluster.jobs.resume(uuid, self._now)

    def requeue(self) -> None:
        """A job waits again, perhaps one that had ended."""
        if uuid := self._pick("running", *self._seen_ends, seen=True):
            self.cluster.jobs.requeue(uuid, self._now)
            self._resting.add(uuid)

    def delete(self) -> None:
        """A job leaves the list."""
        if uuid := self._pick("running", "pending", *self._seen_ends, seen=True):
            self.cluster.jobs.delete([uuid])

    def account(self) -> Account:
        """What the ledger's counters must be."""
        exact: Account = {key: (count, 0.0, ()) for key, count in self.counts.items()}
        for key, seconds in self.durations.items():
            buckets = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
            for each in seconds:
                buckets[bisect_left(WAIT_BUCKETS_SECONDS, each)] += 1
            exact[key] = (len(seconds), float(sum(seconds)), tuple(buckets))
        exact |= {key: (len(all_), sum(all_), ()) for key, all_ in self.used.items()}
        return exact

    def totals(self) -> Counter[tuple[str, str, str]]:
        """How many transitions there were, and how many seconds users used and waited."""
        totals = Counter(self.before)
        for (kind, queue, detail), count in self.counts.items():
            totals[kind, queue, detail] += count
        for (kind, queue, user), seconds in self.used.items():
            totals[kind, queue, user] += sum(seconds)
        return totals

    def _end(self, uuid: str, status: str) -> None:
        job = self.cluster.jobs.get(uuid)
        self.cluster.jobs.end(uuid, self._now, status)
        self.counts[CounterKey("ended", job.queue, status)] += 1
        if job.started_at is not None:
            ran = self._now - job.started_at
            self.durations[CounterKey("runs", job.queue, status)].append(ran)
            self.used[CounterKey("cores", job.queue, job.user)].append(ran * job.cores)

    @property
    def _now(self) -> int:
        return int(self.cluster.now_at)

    def _pick(self, *statuses: str, seen: bool = False) -> str | None:
        fitting = [
            uuid
            for uuid in self.cluster.jobs.uuids(statuses)
            if uuid not in self._resting and not (seen and uuid in self._unseen)
        ]
        if not fitting:
            return None
        uuid = self.rng.choice(fitting)
        self._unseen.add(uuid)
        return uuid


def account_of(ledger: Ledger) -> Account:
    """What the ledger's counters are; buckets to their full length."""
    length = len(WAIT_BUCKETS_SECONDS) + 1
    return {
        key: (
            each.times,
            each.seconds,
            (*each.buckets, *[0] * (length - len(each.buckets))) if each.buckets else (),
        )
        for key, each in happened(ledger).items()
    }
