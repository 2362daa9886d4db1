"""Calls on a first start, until the active counts are published."""

from math import ceil

from exporter.model import END_STATUSES
from tests.bench.figures import WRONG, Figure, Findings, Part
from tests.bench.followed import Followed, Turn
from tests.bench.workshop import Bench


def goal(active: int) -> int:
    """design.md, section 8."""
    return 3 + ceil(active / 99)


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size = 5_000 if bench.quick else 100_000
    every = (0, 1, 300) if bench.quick else (0, 1, 50, 99, 500, 5_000, 20_000)
    naive = bench.naive_look(size)["calls"]
    wrong = 0
    for active in every:
        bench.tell(f"a first start with {active:,} active jobs of {size:,}")
        jobs = bench.stock.jobs(size, active)
        followed = Followed(jobs, bench.stock.new_path())
        followed.after_turn = _end
        (turn,) = followed.run(3600)
        findings.figures.append(
            Figure(
                f"calls, {active:,} active of {size:,} jobs",
                turn.calls,
                naive,
                at_most=goal(active),
                exact=True,
            )
        )
        assert followed.shown is not None
        shown = sum(each.jobs for each in followed.shown.counts if each.status not in END_STATUSES)
        wrong += abs(shown - active)
    findings.figures.append(
        Figure("wrong, of all that were published", wrong, unit=WRONG, at_most=0, exact=True)
    )
    findings.remarks.append("The goal is 3 + ceil(A/99), A the number of active jobs.")
    return findings


def _end(followed: Followed, turn: Turn) -> None:
    del turn
    followed.end()


PART = Part(
    "starting",
    "Calls until the active counts are published, first start",
    "naive exporter",
    measure,
)
