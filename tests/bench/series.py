"""CPU time of a sync of one cluster with many series: all of it, the exposition included."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from exporter.simulator import JobList, JobRow
from exporter.snapshot import ClusterState
from exporter.web.negotiation import Format
from tests.bench.figures import MILLISECONDS, Figure, Findings, Part
from tests.bench.followed import CLUSTER_ID, START_AT, Followed, Turn
from tests.bench.scrape_target import exposition_with
from tests.bench.stock import Churn, fill_ledger
from tests.bench.workshop import CHANGES_A_MINUTE, Bench

SMALL, LARGE, LARGEST = (10, 25), (25, 127), (200, 500)
"""Queues and users. Each pair of them has ``SERIES_A_PAIR``."""
SERIES_A_PAIR = 4
LARGE_GOAL_TIMES = 1.5
LARGEST_GOAL_MILLISECONDS = 300.0
WARM_UP_SYNCS = 3

Size = tuple[int, int]


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    syncs = 3 if bench.quick else 60
    small, large = SMALL, (12, 25) if bench.quick else LARGE
    times: dict[Size, float] = {}
    for size in (small, large) if bench.quick else (small, large, LARGEST):
        bench.tell(f"{_series(size):,} series")
        times[size] = _milliseconds(bench, size, syncs)
        within = LARGEST_GOAL_MILLISECONDS if size == LARGEST else None
        findings.figures.append(
            Figure(
                f"a sync and a scrape, {_series(size):,} series",
                times[size],
                times[small],
                unit=MILLISECONDS,
                judged=times[large] / times[small] if size == large else None,
                at_most=LARGE_GOAL_TIMES if size == large else within,
            )
        )
    findings.remarks.append(
        "CPU time from the beginning of a sync until its numbers are in the answer to a scrape, with"
        f" gzip; means of {syncs} syncs with {CHANGES_A_MINUTE:.0f} changes each, without what the"
        f" simulated cloud costs; the ledger is on disk. Beside them {_series(small):,} series."
    )
    return findings


def _series(size: Size) -> int:
    return size[0] * size[1] * SERIES_A_PAIR


def _milliseconds(bench: Bench, size: Size, syncs: int) -> float:
    names = _names(size)
    jobs = JobList()
    jobs.load(_one_of_each(*names))
    path = bench.stock.new_path()
    fill_ledger(path, CLUSTER_ID, jobs, bench.stock.learned())
    churn = Churn(jobs, per_minute=CHANGES_A_MINUTE, names=names)
    followed = Followed(jobs, path, world=churn)
    spent = Spent(followed)
    followed.run((WARM_UP_SYNCS + syncs) * followed.settings.interval_seconds)
    measured = spent.seconds[WARM_UP_SYNCS:]
    return 1000 * sum(measured) / len(measured)


def _names(size: Size) -> tuple[list[str], list[str]]:
    queues, users = size
    return [f"queue-{n:03d}" for n in range(queues)], [f"usr-{n:04d}" for n in range(users)]


def _one_of_each(queues: list[str], users: list[str]) -> Iterator[JobRow]:
    """A pending and a running job of each user in each queue."""
    at = int(START_AT) - 2 * len(queues) * len(users)
    for place, (user, queue) in enumerate(product(users, queues)):
        yield JobRow("pending", queue, user, 4, at + place, None, at + place)
        yield JobRow("running", queue, user, 4, at + place, at + place, at + place)


@dataclass(slots=True)
class Spent:
    """CPU time of each turn of a poller, in seconds."""

    followed: Followed
    others: Sequence[ClusterState] = ()
    """Of clusters that stand on the same board."""
    scrape_every: int = 1
    """One scrape for so many syncs."""
    seconds: list[float] = field(default_factory=list)
    _began: float = 0.0

    def __post_init__(self) -> None:
        exposition, board, telemetry = exposition_with(self.others)
        telemetry.register_cluster("bench")
        exposition.scrape(Format.TEXT, compressed=True, several=True)

        def show(state: ClusterState) -> None:
            board.publish(state)
            exposition.refresh()

        def end(followed: Followed, _: Turn) -> None:
            if len(followed.turns) % self.scrape_every == 0:
                exposition.scrape(Format.TEXT, compressed=True, several=True)
            self.seconds.append(self._now() - self._began)

        self.followed.before_turn, self.followed.on_state = self._begin, show
        self.followed.after_turn = end

    def _begin(self, _: Followed) -> None:
        self._began = self._now()

    def _now(self) -> float:
        return time.thread_time() - self.followed.simulating_seconds


PART = Part("series", "CPU time of a sync, many series", "1,000 series", measure)
