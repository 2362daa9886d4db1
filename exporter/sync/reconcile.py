"""Finding what differs between the ledger and the sorted list, by bisection over ranks.

A *boundary* is a place between two jobs of the list that changed at different moments: on one side
stand, say, ``k`` jobs, all that changed at ``t`` or later. The ledger can count the same jobs; where
the two counts differ, something in front of the boundary does. Between two boundaries only the
difference of the counts matters, so that halving the stretch between them closes in on a run of
deleted jobs in ``log2`` calls.

Ranks are counted from the end of the list where ``total_count`` allows it: what is submitted while
the search goes on moves every rank from the head, and none from the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.errors import SyncError
from exporter.model import PAGE_LIMIT, Job, Page
from exporter.sync.asking import Ask, Asking, OrderBroken
from exporter.sync.context import SyncContext
from exporter.sync.evidence import by_last_change, changed_at, newest_first

INFINITE = float("inf")
MOST_TIE_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Boundary:
    """All jobs that changed at ``at`` or later stand in front of it."""

    at: float
    rank: int
    """How many they are; counted from the list's end (0 or negative) where that can be."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The jobs between two boundaries."""

    newer: Boundary
    older: Boundary

    @property
    def listed(self) -> int:
        """How many there are in the remote list."""
        return self.older.rank - self.newer.rank

    def surplus(self, ctx: SyncContext) -> int:
        """How many more there are in the ledger."""
        return ctx.ledger.count_between(self.newer.at - 1, self.older.at) - self.listed


@dataclass(frozen=True, slots=True)
class Ranked:
    """A page of the sorted list, or several that follow one another, and where it stands."""

    jobs: Sequence[Job]
    offset: int
    total: int | None

    @property
    def base(self) -> int:
        """What is taken off a rank from the head to count it from the end."""
        return self.total or 0

    def boundaries(self) -> list[Boundary]:
        """The boundaries on it, newest first."""
        found: list[Boundary] = []
        if self.offset == 0:
            found.append(Boundary(INFINITE, -self.base))
        for index in range(1, len(self.jobs)):
            above = changed_at(self.jobs[index - 1])
            if above > changed_at(self.jobs[index]):
                found.append(Boundary(above, self.offset + index - self.base))
        end = self.offset + len(self.jobs)
        if self.total is not None and end == self.total:
            found.append(Boundary(-INFINITE, 0))
        return found


def rank_page(page: Page, offset: int) -> Ranked:
    """A page as it stands in the sorted list. Raises ``OrderBroken`` if it is not sorted."""
    if not newest_first(page.jobs):
        raise OrderBroken("a page is not sorted by the last change")
    return Ranked(page.jobs, offset, page.total_count)


def examine(ctx: SyncContext, ranked: Ranked) -> list[Boundary]:
    """Make the ledger equal to a page, and return the boundaries between which it now is."""
    ctx.intake.take(ranked.jobs, audit=True)
    boundaries = ranked.boundaries()
    if len(boundaries) >= 2:
        known = Stretch(boundaries[0], boundaries[-1])
        ctx.ledger.suspect_between(
            known.newer.at - 1, known.older.at, keep=[job.uuid for job in ranked.jobs]
        )
    return boundaries


def reconcile(ctx: SyncContext, whole: Stretch, first: Ranked | None = None) -> Asking[bool]:
    """Find and mend what differs within a stretch. False if the calls would be too many.

    Jobs of the ledger that are not where they should be become suspects: the head of the list, read
    once more afterwards, shows those that have only moved.
    """
    open_stretches = [whole]
    most_calls = 8 + 6 * max(1, (whole.listed // PAGE_LIMIT).bit_length())
    most_calls = max(most_calls, min(ctx.whole_list_cost, 10 * most_calls))
    calls, oldest_first = 0, True
    if first is not None:
        open_stretches = _split(ctx, whole, examine(ctx, first))
    while open_stretches:
        stretch = open_stretches.pop()
        surplus = stretch.surplus(ctx)
        if surplus == 0:
            continue
        if stretch.listed <= 0:
            ctx.ledger.suspect_between(stretch.newer.at - 1, stretch.older.at, keep=())
            continue
        if calls >= most_calls:
            return False
        # What is deleted is most often what is oldest: look at the very end before halving.
        at_end = oldest_first and stretch.older.at == -INFINITE and surplus > 0
        oldest_first = False
        ranked = yield from _probe(ctx, stretch, at_end=at_end)
        calls += 1
        boundaries = examine(ctx, ranked)
        open_stretches += _split(ctx, stretch, boundaries)
    return True


def _probe(ctx: SyncContext, stretch: Stretch, *, at_end: bool) -> Asking[Ranked]:
    base = ctx.progress.expected or 0
    if at_end:
        offset = stretch.older.rank + base - PAGE_LIMIT
    elif stretch.listed < PAGE_LIMIT - 1:
        offset = stretch.newer.rank + base - 1  # with the job before it, to show the boundary
    else:
        offset = stretch.newer.rank + base + (stretch.listed - PAGE_LIMIT) // 2
    offset = max(0, offset)
    page = yield Ask(by_last_change(offset))
    ctx.saw_head(page)
    ranked = rank_page(page, offset)
    boundaries = ranked.boundaries()
    if len(boundaries) < 2 and not any(
        stretch.newer.at > boundary.at > stretch.older.at for boundary in boundaries
    ):
        ranked = yield from _whole_second(ctx, offset, page)
    return ranked


def _whole_second(ctx: SyncContext, offset: int, page: Page) -> Asking[Ranked]:
    """More jobs changed within one second than a page holds: read all of that second.

    Their order may differ from call to call, so it is read until as many are found as there are
    ranks.
    """
    if not page.jobs:
        return rank_page(page, offset)
    at = changed_at(page.jobs[len(page.jobs) // 2])
    while offset > 0 and changed_at(page.jobs[0]) <= at:
        offset = max(0, offset - PAGE_LIMIT + 1)
        page = yield Ask(by_last_change(offset))
    found: dict[str, Job] = {}
    for _ in range(MOST_TIE_ROUNDS):
        end = offset
        while True:
            page = yield Ask(by_last_change(max(offset, end - 1)))
            found |= {job.uuid: job for job in rank_page(page, offset).jobs}
            end = max(offset, end - 1) + len(page.jobs)
            if len(page.jobs) < 2 or changed_at(page.jobs[-1]) < at or end == page.total_count:
                break
        if len(found) >= end - offset:
            jobs = sorted(found.values(), key=changed_at, reverse=True)[: end - offset]
            return Ranked(jobs, offset, page.total_count)
    raise SyncError(
        "order",
        "jobs that changed in the same second cannot all be read: their order differs"
        " from call to call",
        advice="Nothing to do: the next sync tries again.",
    )


def _split(ctx: SyncContext, stretch: Stretch, boundaries: list[Boundary]) -> list[Stretch]:
    inside = [
        boundary for boundary in boundaries if stretch.newer.at >= boundary.at >= stretch.older.at
    ]
    if not inside:
        return []  # the list has moved away from under the search: the next sync goes on
    return [
        part
        for part in (Stretch(stretch.newer, inside[0]), Stretch(inside[-1], stretch.older))
        if part.newer.at > part.older.at
    ]


def whole_stretch(head: Page, *, oldest_at: float = -INFINITE) -> Stretch:
    """The whole list, of which ``head`` is the first page; only where ``total_count`` is known."""
    total = head.total_count or 0
    return Stretch(Boundary(INFINITE, -total), Boundary(oldest_at, 0))
