"""Calls after a restart, until everything that changed meanwhile is in the numbers."""

from math import ceil

from tests.bench.figures import Figure, Findings, Part
from tests.bench.followed import Followed, Turn
from tests.bench.stock import Churn
from tests.bench.workshop import CHANGES_A_MINUTE, Bench

RUNNING_SECONDS = 1800.0
MOST_TURNS = 10


def goal(changes: int) -> int:
    """design.md, section 8."""
    return 2 + ceil(changes / 99)


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size = 3_000 if bench.quick else 100_000
    away_minutes = (0, 5, 20) if bench.quick else (0, 1, 5, 30, 120, 480, 1440)
    naive = bench.naive_look(size)["calls"]
    for minutes in away_minutes:
        bench.tell(f"a restart after {minutes} minutes, {size:,} jobs")
        changed, first, calls = _restart(bench, size, minutes * 60.0)
        findings.figures.append(
            Figure(
                f"calls, {changed:,} of {size:,} jobs changed",
                calls,
                naive,
                at_most=goal(changed),
                exact=True,
            )
        )
        if first < calls:
            findings.figures.append(
                Figure("of these, until the active counts were right", first, naive)
            )
    findings.remarks.append(
        f"While the exporter is stopped, jobs change at {CHANGES_A_MINUTE:.0f} a minute. It starts again"
        " with its ledger on disk. Calls are counted until all its numbers are right, for each"
        " status, queue and user. The goal is 2 + ceil(changed/99)."
    )
    return findings


def _restart(bench: Bench, size: int, away_seconds: float) -> tuple[int, int, int]:
    """How many jobs changed meanwhile; the calls until the active ones, and all, were known."""
    active = bench.active(size)
    jobs = bench.stock.jobs(size, active)
    churn = Churn(jobs, per_minute=CHANGES_A_MINUTE)
    followed = Followed(jobs, bench.stock.ledger(jobs, size, active), world=churn)
    followed.run(RUNNING_SECONDS)
    last_at = followed.turns[-1].began_at
    followed.clock.pass_time(away_seconds)
    churn.resting = True
    changed = sum(job.modified_at >= last_at for job in jobs.jobs())
    followed.after_turn = _until_right
    turns = followed.run(MOST_TURNS * 60)
    return changed, turns[0].calls, sum(turn.calls + turn.background for turn in turns)


def _until_right(followed: Followed, turn: Turn) -> None:
    del turn
    if not followed.wrong():
        followed.end()


PART = Part(
    "restarting", "Calls after a restart until all counts are right", "naive exporter", measure
)
