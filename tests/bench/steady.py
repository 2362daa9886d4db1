"""Calls per refresh in a steady state: 60 changes a minute, a refresh a minute, audits included."""

from exporter.simulator import DIALECTS, Dialect
from tests.bench.figures import WRONG, Curve, Figure, Findings, Part
from tests.bench.followed import IN_UTC, Followed, Turn
from tests.bench.stock import Churn
from tests.bench.workshop import CHANGES_A_MINUTE, Bench

GOAL = 1.1
HOURS = 8
WARM_UP_SECONDS = 1200.0
PLOT = "calls"


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    sizes = (1_000,) if bench.quick else (1_000, 10_000, 100_000, 1_000_000)
    hours = 1.0 if bench.quick else HOURS
    naive: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    swept: list[tuple[float, float]] = []
    unsorted: list[Figure] = []
    wrong = starved = 0
    for size in sizes:
        calls = bench.naive_look(size)["calls"]
        naive.append((size, calls))
        bench.tell(f"{hours:g} simulated hours of {size:,} jobs, sorting honoured")
        followed = _follow(bench, size, DIALECTS["documented"])
        average = _average(_live(followed, hours))
        ours.append((size, average))
        wrong += _wrong_at_rest(followed)
        findings.figures.append(
            Figure(f"calls a refresh, {size:,} jobs", average, calls, at_most=GOAL, exact=True)
        )
        bench.tell(f"{size:,} jobs, sorting ignored")
        followed = _follow(bench, size, DIALECTS["sort-ignored"])
        turns = [turn for turn in _live(followed, hours / 4) if turn.published]
        foreground = sum(turn.calls for turn in turns) / len(turns)
        swept.append((size, foreground))
        starved += len(followed.failures)
        unsorted.append(
            Figure(
                f"the server ignores sorting ({turns[-1].strategy}), {size:,} jobs",
                foreground,
                calls,
            )
        )
    findings.figures += [
        Figure(
            "one audit interval after the last change",
            wrong, unit=WRONG, at_most=0, exact=True,
        ),
        *unsorted,
        Figure("such refreshes that failed for lack of budget", starved, unit="", at_most=0),
    ]  # fmt: skip
    findings.curves = [
        Curve(PLOT, "naive exporter", naive),
        Curve(PLOT, "sorting ignored", swept),
        Curve(PLOT, "ehpc-exporter", ours),
    ]
    findings.remarks.append(
        f"{hours:g} simulated hours with {CHANGES_A_MINUTE:.0f} changes a minute, at random moments: a"
        " job is submitted, one starts, one ends, in turn. The interval is 60 s, audit_interval is"
        " 10 m, and 1,000 calls an hour are allowed. The first 20 minutes after the start are left"
        " out. Audits are counted. Where the server ignores sorting, only the calls for fresh numbers"
        " are counted: the history is read with what the budget leaves."
    )
    return findings


def _follow(bench: Bench, size: int, dialect: Dialect) -> Followed:
    active = bench.active(size)
    jobs = bench.stock.jobs(size, active)
    path = bench.stock.ledger(jobs, size, active, dialect)
    churn = Churn(jobs, per_minute=CHANGES_A_MINUTE)
    return Followed(jobs, path, world=churn, dialect=dialect)


def _live(followed: Followed, hours: float) -> list[Turn]:
    turns = followed.run(WARM_UP_SECONDS + hours * 3600)
    begin_at = turns[0].began_at + WARM_UP_SECONDS
    return [turn for turn in turns if turn.began_at >= begin_at]


def _average(turns: list[Turn]) -> float:
    return sum(turn.calls + turn.background for turn in turns) / len(turns)


def _wrong_at_rest(followed: Followed) -> int:
    churn = followed.world
    assert isinstance(churn, Churn)
    churn.resting = True
    followed.run(IN_UTC.audit_interval_seconds + IN_UTC.interval_seconds)
    return followed.wrong()


PART = Part("steady", "Calls a refresh, steady state", "naive exporter", measure)
