"""Calls to find one run of deleted jobs."""

from dataclasses import dataclass, replace
from itertools import product
from math import log2

from exporter.simulator import JobList, Order
from tests.bench.figures import WRONG, Figure, Findings, Part
from tests.bench.followed import IN_UTC, Followed, Turn
from tests.bench.workshop import PLENTY, Bench

NO_AUDITS_SECONDS = 100 * 86400.0
PLACES = ("oldest", "middle", "newest")
ORDERS = {Order.SUBMITTED: "submitted", Order.MODIFIED: "changed last"}


def goal(jobs: int) -> float:
    """design.md, section 8."""
    return 2 * log2(jobs / 100) + 4


@dataclass(frozen=True, slots=True)
class Run:
    """Jobs that are deleted together."""

    length: int
    order: Order
    """In which they stand side by side."""
    place: str

    def delete_from(self, jobs: JobList) -> None:
        """Take them off the list."""
        room = len(jobs) - self.length
        offset = {"oldest": room, "middle": room // 2, "newest": 0}[self.place]
        found = jobs.page(order=self.order, offset=offset, limit=self.length).jobs
        jobs.delete([job.uuid for job in found])


class Deleter:
    """Deletes one run between any two turns, and notes what the next turn took."""

    def __init__(self, jobs: JobList, runs: list[Run]) -> None:
        self._jobs = jobs
        self._left = list(reversed(runs))
        self._deleted: Run | None = None
        self.calls: dict[Run, int] = {}

    def before(self, followed: Followed) -> None:
        """A turn is about to begin."""
        if len(followed.turns) < 2:  # the first turn after a start makes audits
            return
        if not self._left:
            followed.end()
            return
        self._deleted = self._left.pop()
        self._deleted.delete_from(self._jobs)

    def after(self, followed: Followed, turn: Turn) -> None:
        """A turn has published its numbers."""
        if self._deleted is not None:
            self.calls[self._deleted] = turn.calls
            if followed.shown is not None and followed.shown.history_known != len(self._jobs):
                followed.failures.append(f"{self._deleted} was not found")
            self._deleted = None


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    sizes = (3_000,) if bench.quick else (10_000, 100_000, 1_000_000)
    wrong = 0
    for size in sizes:
        naive = bench.naive_look(size)["calls"]
        lengths = [length for length in (1, 50, 5_000) if length * 10 <= size]
        runs = [Run(*each) for each in product(lengths, ORDERS, PLACES)]
        bench.tell(f"{len(runs)} deletions from {size:,} jobs")
        active = bench.active(size)
        jobs = bench.stock.jobs(size, active)
        deleter = Deleter(jobs, runs)
        followed = Followed(
            jobs,
            bench.stock.ledger(jobs, size, active),
            settings=replace(IN_UTC, audit_interval_seconds=NO_AUDITS_SECONDS),
            allowed=PLENTY,
        )
        followed.before_turn, followed.after_turn = deleter.before, deleter.after
        followed.run((len(runs) + 10) * 60)
        for order, word in ORDERS.items():
            of_order = {run: calls for run, calls in deleter.calls.items() if run.order is order}
            for length in lengths:
                worst = max(calls for run, calls in of_order.items() if run.length == length)
                findings.figures.append(
                    Figure(
                        f"calls, {length:,} of {size:,} jobs, {word} together",
                        worst,
                        naive,
                        at_most=goal(size),
                        exact=True,
                    )
                )
        wrong += followed.wrong()
    findings.figures.append(
        Figure("when all runs were found", wrong, unit=WRONG, at_most=0, exact=True)
    )
    findings.remarks.append(
        "All calls of the refresh that finds the run, also those it would have made anyway. Each row"
        " is the worst of three runs: at the oldest end of the list, in its middle, and at its newest"
        " end. The goal is 2 log2(N/100) + 4 for a list of N jobs."
    )
    return findings


PART = Part("deleting", "Calls to find deleted jobs", "naive exporter", measure)
