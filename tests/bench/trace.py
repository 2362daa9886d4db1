"""Two real weeks: a recorded workload, replayed in simulated time."""

import os
from math import ceil
from pathlib import Path

from exporter.ledger.store import Ledger
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.simulator import JobList
from exporter.simulator.command import read_trace
from exporter.simulator.trace import queue_capacities, replay
from exporter.snapshot import ClusterSnapshot, JobCount
from tests.bench.figures import WRONG, Curve, Figure, Findings, Part
from tests.bench.followed import ALLOWED_CALLS, START_AT, Followed, Turn
from tests.bench.workshop import ROOT, Bench

VARIABLE = "EHPC_TRACE"
USUAL_PLACE = ROOT.parent / "shared" / "workload" / "lcg-2005.csv.gz"
PLOT = "trace"
DAY = 86400.0
DAYS = 15.0
CHECKPOINTS = 30
QUOTA = 2000
WATCHED = ("pending", "running")


def find_trace() -> Path | None:
    """The trace's file, if there is one."""
    path = Path(os.environ.get(VARIABLE) or USUAL_PLACE)
    return path if path.is_file() else None


class BriefPublisher(Publisher):
    """Shows only how many jobs are pending and running: for calls it is all the same, and sorting
    thousands of labels 21,600 times over would take most of the time."""

    def __init__(self) -> None:
        super().__init__(LabelRules())

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """See ``Publisher``."""
        if not ledger.progress.active_known:
            return None
        counts = tuple(
            JobCount(status, "", "", ledger.count_status(status), 0) for status in WATCHED
        )
        return ClusterSnapshot(taken_at, counts, (), history_known=ledger.size)


class Watcher:
    """Compares what is published with the list: in numbers at every turn, whole now and then."""

    def __init__(self, jobs: JobList, seconds: float) -> None:
        self._jobs = jobs
        self._every_seconds = seconds / CHECKPOINTS
        self._checkpoint_at = START_AT + self._every_seconds
        self._right_at = START_AT
        self.behind_seconds = 0.0
        self.checkpoints = 0
        self.wrong = 0
        self.naive: list[tuple[float, int]] = []
        """When a refresh was made, and what it would have taken the naive exporter."""

    def after(self, followed: Followed, turn: Turn) -> None:
        """A turn has published."""
        now_at = followed.clock.now_at()
        self.naive.append((turn.began_at, max(1, ceil(len(self._jobs) / 100))))
        snapshot = followed.shown
        assert snapshot is not None
        shown = (*(count.jobs for count in snapshot.counts), snapshot.history_known)
        if shown == (*map(self._matching, WATCHED), len(self._jobs)):
            self._right_at = turn.began_at
        self.behind_seconds = max(self.behind_seconds, now_at - self._right_at)
        if now_at >= self._checkpoint_at:
            self._checkpoint_at += self._every_seconds
            self.checkpoints += 1
            self.wrong += followed.wrong()

    def _matching(self, status: str) -> int:
        return self._jobs.matching(status=status)


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    path = find_trace()
    if path is None:
        findings.remarks.append(f"Left out: no trace; name its file in {VARIABLE}.")
        return findings
    days = 0.1 if bench.quick else DAYS
    bench.tell(f"reading {path.name}")
    trace = read_trace(path)
    jobs = JobList()
    engine = replay(trace, jobs, start_at=int(START_AT), capacities=queue_capacities(trace), seed=1)
    watcher = Watcher(jobs, days * DAY)
    followed = Followed(
        jobs,
        bench.stock.new_path(),
        publisher=BriefPublisher(),
    )
    world = _Resting(followed, engine.advance_to)
    followed.clock.world = world
    followed.after_turn = watcher.after
    bench.tell(f"{days:g} days of {path.name}, a refresh a minute")
    turns = followed.run(days * DAY)
    calls = sum(turn.calls + turn.background for turn in turns)
    naive_calls = sum(count for _, count in watcher.naive)
    busiest = _busiest_hour(followed.call_times)
    findings.figures = [
        Figure(
            f"calls a refresh, {len(jobs):,} jobs in {days:g} days",
            calls / len(turns),
            naive_calls / len(turns),
        ),
        Figure(
            "calls in the busiest hour",
            busiest,
            max(_hourly(watcher.naive).values()),
            at_most=ALLOWED_CALLS,
            exact=True,
        ),
        Figure("published numbers were behind the list at most", watcher.behind_seconds, unit="s"),
        Figure(
            f"at {watcher.checkpoints} checkpoints",
            watcher.wrong,
            unit=WRONG,
            at_most=0,
            exact=True,
        ),
    ]
    ours = _hourly([(at, 1) for at in followed.call_times])
    findings.curves = [
        Curve(PLOT, "naive exporter", _by_day(_hourly(watcher.naive))),
        Curve(PLOT, "the account's quota", [(0.0, QUOTA), (days, QUOTA)]),
        Curve(PLOT, "ehpc-exporter", _by_day(ours)),
    ]
    findings.remarks.append(
        "The naive exporter would need ceil(N/100) calls for a list of N jobs; this is computed for"
        " each refresh. Behind: just after a refresh, how long ago it was that the published numbers"
        " of pending, running and all jobs were exactly those of the list. At a checkpoint, every"
        " count is compared with a plain loop over the list."
    )
    return findings


class _Resting:
    """Lets the world go on between refreshes only, so that each can be held against one moment."""

    def __init__(self, followed: Followed, advance_to: object) -> None:
        self._followed = followed
        self._advance_to = advance_to

    def __call__(self, at: float) -> None:
        turns = self._followed.turns
        if not turns or turns[-1].published:
            self._advance_to(at)  # type: ignore[operator]


def _hourly(calls: list[tuple[float, int]]) -> dict[int, int]:
    hours: dict[int, int] = {}
    for at, count in calls:
        hour = int((at - START_AT) // 3600)
        hours[hour] = hours.get(hour, 0) + count
    return hours


def _by_day(hours: dict[int, int]) -> list[tuple[float, float]]:
    return [((hour + 0.5) / 24, count) for hour, count in sorted(hours.items())]


def _busiest_hour(times: list[float]) -> int:
    """Most calls in any 3600 s."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 3600:
            first += 1
        most = max(most, last - first + 1)
    return most


PART = Part("trace", "A recorded workload", "naive exporter", measure)
