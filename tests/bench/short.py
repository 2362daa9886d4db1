"""Calls a refresh at a short interval, with many changes a second."""

from dataclasses import replace
from functools import partial

from exporter.sync.context import SyncSettings
from tests.bench.figures import WRONG, Figure, Findings, Part
from tests.bench.followed import IN_UTC, START_AT, Followed
from tests.bench.stock import Churn
from tests.bench.workshop import PLENTY, Bench

INTERVAL_SECONDS = 2.0
CHANGES_A_SECOND = 10
WARM_UP_SECONDS = 60.0
GOAL = 1.35


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    sizes, seconds = ((1_500,), 30.0) if bench.quick else ((10_000, 100_000), 3600.0)
    audit_interval_seconds = 40.0 if bench.quick else IN_UTC.audit_interval_seconds
    settings = replace(
        IN_UTC, interval_seconds=INTERVAL_SECONDS, audit_interval_seconds=audit_interval_seconds
    )
    wrong = 0
    for size in sizes:
        naive = None if bench.quick else bench.naive_look(size)["calls"]
        bench.tell(f"{seconds:.0f} simulated seconds with {size:,} jobs")
        average, wrongly = _follow(bench, size, seconds, settings)
        wrong += wrongly
        findings.figures.append(
            Figure(f"calls a refresh, {size:,} jobs", average, naive, at_most=GOAL, exact=True)
        )
    findings.figures.append(
        Figure("one audit interval after the last change", wrong, unit=WRONG, at_most=0, exact=True)
    )
    findings.remarks.append(
        f"The interval is {INTERVAL_SECONDS:.0f} s, {CHANGES_A_SECOND} changes happen in a second, and"
        f" the number of calls is not limited. Audits are counted. {seconds / 60:.0f} simulated"
        " minutes, without the first one."
    )
    return findings


def _follow(bench: Bench, size: int, seconds: float, settings: SyncSettings) -> tuple[float, int]:
    """Calls a refresh, and how many counts are wrong after a rest."""
    active = bench.active(size)
    jobs = bench.stock.jobs(size, active)
    begin_at = START_AT + WARM_UP_SECONDS
    churn = Churn(jobs, per_minute=60 * CHANGES_A_SECOND)
    followed = Followed(
        jobs,
        bench.stock.ledger(jobs, size, active),
        world=partial(_until, begin_at + seconds, churn),
        settings=settings,
        allowed=PLENTY,
    )
    rest_seconds = settings.audit_interval_seconds + INTERVAL_SECONDS
    turns = followed.run(WARM_UP_SECONDS + seconds + rest_seconds)
    busy = [turn for turn in turns if begin_at <= turn.began_at < begin_at + seconds]
    calls = sum(turn.calls + turn.background for turn in busy)
    return calls / len(busy), followed.shown_wrong()


def _until(end_at: float, churn: Churn, at: float) -> None:
    """Let everything happen that is due, but nothing later than this."""
    churn(min(at, end_at))


PART = Part("short", "Calls a refresh, short interval", "naive exporter", measure)
