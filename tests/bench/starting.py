"""Calls on a first start until the active counts are published, with a server about which nothing is
known and with one whose profile is known."""

from itertools import product
from math import ceil

from exporter.model import END_STATUSES
from tests.bench.figures import WRONG, Figure, Findings, Part
from tests.bench.followed import Followed, Turn
from tests.bench.workshop import Bench


def goal(active: int, *, profile_known: bool) -> int:
    """A server that nobody knows is found out on the way."""
    return (3 if profile_known else 8) + ceil(active / 99)


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size = 5_000 if bench.quick else 100_000
    every = (0, 1, 300) if bench.quick else (0, 1, 50, 99, 500, 5_000, 20_000)
    naive = bench.naive_look(size)["calls"]
    wrong = 0
    for profile_known, active in product((False, True), every):
        bench.tell(f"a first start with {active:,} active jobs of {size:,}")
        jobs = bench.stock.jobs(size, active)
        stock = bench.stock
        path = stock.ledger_with_profile() if profile_known else stock.new_path()
        followed = Followed(jobs, path)
        followed.after_turn = _end
        (turn,) = followed.run(3600)
        known = "profile known" if profile_known else "nothing known"
        findings.figures.append(
            Figure(
                f"calls, {active:,} active of {size:,} jobs, {known}",
                turn.calls,
                naive,
                at_most=goal(active, profile_known=profile_known),
                exact=True,
            )
        )
        assert followed.shown is not None
        shown = sum(each.jobs for each in followed.shown.counts if each.status not in END_STATUSES)
        wrong += abs(shown - active)
    findings.figures.append(
        Figure("active jobs in the published counts", wrong, unit=WRONG, at_most=0, exact=True)
    )
    findings.remarks.append(
        "The goal is 8 + ceil(A/99) for A active jobs as long as nothing is known about the server,"
        " and 3 + ceil(A/99) once its profile is known."
    )
    return findings


def _end(followed: Followed, turn: Turn) -> None:
    del turn
    followed.end()


PART = Part(
    "starting",
    "Calls until the first counts of active jobs",
    "naive exporter",
    measure,
)
