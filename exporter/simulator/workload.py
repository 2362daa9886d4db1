"""A realistic world: clusters with queues and users, whose jobs come in daily waves."""

import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.simulator.engine import Engine, Plan
from exporter.simulator.joblist import JobList

_DAY = 86400
_LOCAL_OFFSET = 8 * 3600
"""The users live in China; their working day makes the waves."""
_WEEKEND = 5
_RUN_SIGMA = 1.2
_CORES = (1, 1, 1, 2, 4, 8, 16, 32)
_FEWEST_CORES = 16
_WIDEST = 4
"""No job asks for more than one in so many of its queue's cores: wide ones stall a FIFO queue."""
_BURST_CHANCE, _BURST_MOST = 0.04, 40
_PEAK = 2.2
"""Above the wave's highest rate, as a multiple of the mean."""
_FAILS, _IMPATIENT, _REGRETTED = 0.08, 0.04, 0.01
"""The shares of jobs that fail, that their owner cancels, and for which an ended job is deleted."""
_NODE_FAILS, _HELD = 0.01, 0.01
"""Shares of starts after which the job is requeued, or suspended."""


@dataclass(frozen=True, slots=True)
class QueueProfile:
    """One queue of a cluster."""

    name: str
    share: float
    """Of the cluster's jobs; relative to the other queues'."""
    run_seconds: float
    """Median."""
    headroom: float = 1.15
    """Cores as a multiple of the mean load: little makes long queues."""


@dataclass(frozen=True, slots=True)
class ClusterProfile:
    """One cluster."""

    cluster_id: str
    zone: str
    jobs_per_day: float
    keep_days: int
    """Jobs that ended longer ago are purged, once a day."""
    queues: Sequence[QueueProfile]
    users: Sequence[str]


_USERS = (
    "admin",
    "usr-vceaHsJu",
    "zhangwei",
    "李娜",
    "wang.fang",
    "陈建国",
    "liuyang",
    "usr-8Kq2ZpLm",
    "赵敏",
    "huang_lei",
    'o"brien',
    "LAB\\sun",
    "周杰",
    "wu-tong",
    "xu@phys",
    "林 小红",
)
GROUPS = """\
user,group
zhangwei,physics
xu@phys,physics
周杰,physics
李娜,chemistry
wang.fang,chemistry
赵敏,chemistry
liuyang,engineering
huang_lei,engineering
wu-tong,engineering
usr-.*,guests
"""
"""The groups of most users, as a file of the exporter's has them; the others are in none."""
_QUEUES = (
    QueueProfile("默认队列", 5, 900),
    QueueProfile("gpu-a100", 2, 5400, headroom=1.02),
    QueueProfile("大内存", 1, 7200),
    QueueProfile("debug", 2, 90, headroom=2.5),
    QueueProfile("2222333vis22", 1, 1800),
)
_BASES = (
    ("ehpc-qmmvigwe", "jinan1a", 600, 10, 4),
    ("hpc-n2yopbte", "jinan1a", 150, 30, 3),
    ("ehpc-k3v8xw1d", "jn1a", 8000, 1, 5),
    ("ehpc-7tb2mz5c", "jn1a", 60, 60, 2),
)


_MOST_JOBS_A_DAY = 16_000


def demo_profiles(clusters: int, pace: float = 1.0) -> list[ClusterProfile]:
    """Different clusters, always the same for the same number.

    With a ``pace`` other than 1 there are so many times as many jobs, each so many times shorter:
    more happens, in real time, and as many cores are busy.
    """
    profiles = []
    for number in range(clusters):
        cluster_id, zone, rate, keep_days, queues = _BASES[number % len(_BASES)]
        if number >= len(_BASES):
            cluster_id = f"{cluster_id[:-3]}{number:03d}"
        users = [name for place, name in enumerate(_USERS) if (place * 7 + number) % 4 != 0]
        own_pace = min(pace, max(1.0, _MOST_JOBS_A_DAY / rate))
        queue_profiles = [
            replace(queue, run_seconds=queue.run_seconds / own_pace) for queue in _QUEUES[:queues]
        ]
        keep_days = max(1, round(keep_days / own_pace))
        profiles.append(
            ClusterProfile(cluster_id, zone, rate * own_pace, keep_days, queue_profiles, users)
        )
    return profiles


def rate_factor(at: float) -> float:
    """How busy people are at that moment, as a multiple of the mean."""
    days, second = divmod(at + _LOCAL_OFFSET, _DAY)
    wave = 1 + 0.85 * math.sin(2 * math.pi * (second / _DAY - 0.375))
    weekend = (int(days) + 3) % 7 >= _WEEKEND
    return wave * (0.45 if weekend else 1.15)


class Inhabitants:
    """The people of one cluster: they submit, cancel and delete, and things happen to their jobs."""

    def __init__(self, profile: ClusterProfile, jobs: JobList, at: float, seed: int) -> None:
        """The world begins empty at the moment ``at``."""
        self.engine = Engine(jobs, at)
        self._profile = profile
        self._jobs = jobs
        self._rng = random.Random(f"{seed}/{profile.cluster_id}")
        self._over: deque[tuple[int, str]] = deque()
        self.absent_from: set[str] = set()
        """Queues to which nobody submits for now."""
        self._shares = [queue.share for queue in profile.queues]
        self._activity = [1 / (place + 1.5) for place in range(len(profile.users))]
        self._arrivals_per_second = profile.jobs_per_day / _DAY / _mean_burst()
        for queue in profile.queues:
            self.engine.add_queue(queue.name, self._cores_needed(queue))
        self.engine.on_over = self._note_over
        self.engine.on_start = self._foresee
        self._candidate_at = at
        self._await_candidate()
        self.engine.schedule((at // _DAY + 1) * _DAY, self._purge)

    def _cores_needed(self, queue: QueueProfile) -> int:
        jobs_per_second = self._profile.jobs_per_day / _DAY * queue.share / sum(self._shares)
        mean_run = queue.run_seconds * math.exp(_RUN_SIGMA**2 / 2)
        load = jobs_per_second * mean_run * sum(_CORES) / len(_CORES)
        return max(_FEWEST_CORES, math.ceil(load * queue.headroom))

    def _await_candidate(self) -> None:
        self._candidate_at += self._rng.expovariate(self._arrivals_per_second * _PEAK)
        self.engine.schedule(self._candidate_at, self._arrive)

    def _arrive(self, at: int) -> None:
        """A candidate for an arrival: people are not equally busy at all hours."""
        rng = self._rng
        if rng.random() < rate_factor(at) / _PEAK:
            queue = rng.choices(self._profile.queues, self._shares)[0]
            user = rng.choices(self._profile.users, self._activity)[0]
            burst = rng.randint(2, _BURST_MOST) if rng.random() < _BURST_CHANCE else 1
            cores = rng.choice(_CORES)
            for _ in range(0 if queue.name in self.absent_from else burst):
                self._submit(at, queue, user, cores)
        self._await_candidate()

    def _submit(self, at: int, queue: QueueProfile, user: str, cores: int) -> None:
        rng = self._rng
        run_seconds = int(rng.lognormvariate(math.log(queue.run_seconds), _RUN_SIGMA)) + 1
        outcome = "exited" if rng.random() < _FAILS else "finished"
        if outcome == "exited":
            run_seconds = 1 + int(run_seconds * rng.random())
        plan = self.engine.submit(
            at,
            queue=queue.name,
            user=user,
            cores=min(cores, self.engine.queues[queue.name].cores // _WIDEST),
            run_seconds=run_seconds,
            outcome=outcome,
        )
        if rng.random() < _IMPATIENT:
            patience = rng.expovariate(1 / 7200)
            self.engine.schedule(at + patience, lambda then: self.engine.cancel(plan, then))

    def _foresee(self, plan: Plan, at: int) -> None:
        """Now and then a node fails, or an operator holds a job."""
        lot = self._rng.random()
        then = at + self._rng.random() * plan.run_seconds
        if lot < _NODE_FAILS:
            self.engine.schedule(then, lambda later: self.engine.requeue(plan, later))
        elif lot < _NODE_FAILS + _HELD:
            pause = int(self._rng.expovariate(1 / 900)) + 1
            self.engine.schedule(then, lambda later: self.engine.suspend(plan, later, pause))

    def _note_over(self, plan: Plan, at: int) -> None:
        self._over.append((at, plan.uuid))
        if self._rng.random() < _REGRETTED:
            _, uuid = self._over[self._rng.randrange(len(self._over))]
            if uuid in self._jobs:
                self._jobs.delete([uuid])

    def _purge(self, at: int) -> None:
        oldest = at - self._profile.keep_days * _DAY
        while self._over and self._over[0][0] < oldest:
            _, uuid = self._over.popleft()
            if uuid in self._jobs:
                self._jobs.delete([uuid])
        self.engine.schedule(at + _DAY, self._purge)


def _mean_burst() -> float:
    return 1 + _BURST_CHANCE * ((2 + _BURST_MOST) / 2 - 1)
