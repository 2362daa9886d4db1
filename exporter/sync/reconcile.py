"""Finding what differs between the ledger and the sorted list, by bisection over ranks.

A *boundary* is a place between two jobs of the list whose moments differ: on one side stand, say,
``k`` jobs, all of the moment ``t`` or later. The ledger can count the same jobs; where
the two counts differ, something in front of the boundary does. Between two boundaries only the
difference of the counts matters, so that halving the stretch between them closes in on a run of
deleted jobs in ``log2`` calls.

Ranks are counted from the end of the list where ``total_count`` allows it: what is submitted while
the search goes on moves every rank from the head, and none from the end.

The search goes by the time of submission where the server sorts by it: nothing but a deletion moves
a rank there, and what is deleted together was mostly submitted together. Else it goes by the last
change, by which the list is known to be sorted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from exporter.errors import RefusedError, SyncError
from exporter.ledger.store import TimeColumn
from exporter.model import PAGE_LIMIT, Job, JobListQuery, Page
from exporter.sync.asking import Ask, Asking, OrderBroken, SecondUnreadable
from exporter.sync.context import SyncContext
from exporter.sync.evidence import changed_at, newest_first, submitted_at

INFINITE = float("inf")
MOST_TIE_ROUNDS = 12
STABLE_TIE_ROUNDS = 3
"""After so many rounds, jobs of one second are taken to be in another order at every call."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """By which moment the list is sorted, newest first."""

    sort_key: str
    column: TimeColumn
    moment: Callable[[Job], int]

    def query(self, offset: int) -> JobListQuery:
        """A page of the list in this order."""
        return JobListQuery(offset=offset, sort_key=self.sort_key, descending=True)


BY_CHANGE = Ranking("modified_time", "modified_at", changed_at)
BY_SUBMIT = Ranking("submitted_time", "submitted_at", submitted_at)


@dataclass(frozen=True, slots=True)
class Boundary:
    """All jobs of the moment ``at`` or later stand in front of it."""

    at: float
    rank: int
    """How many they are; counted from the list's end (0 or negative) where that can be."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The jobs between two boundaries."""

    newer: Boundary
    older: Boundary
    ranking: Ranking = BY_CHANGE

    @property
    def listed(self) -> int:
        """How many there are in the remote list."""
        return self.older.rank - self.newer.rank

    def surplus(self, ctx: SyncContext) -> int:
        """How many more there are in the ledger."""
        return self._known(ctx) - self.listed

    def differs(self, ctx: SyncContext) -> bool:
        """Whether ledger and list count differently. (Less than none is none: then the list has
        moved between the calls that showed the two boundaries.)"""
        return self._known(ctx) != max(0, self.listed)

    def _known(self, ctx: SyncContext) -> int:
        return ctx.ledger.count_between(self.newer.at - 1, self.older.at, by=self.ranking.column)

    def holds(self, moment: int) -> bool:
        """Whether a job of this moment stands here."""
        return self.older.at <= moment < self.newer.at

    def narrowed_by(self, boundaries: Sequence[Boundary]) -> bool:
        """Whether a page with these boundaries settles a part, or divides what is left."""
        return bool(boundaries) and (
            boundaries[0].at > self.older.at and boundaries[-1].at < self.newer.at
        )

    def suspect(self, ctx: SyncContext, *, keep: Sequence[str] = ()) -> None:
        """All jobs here, but those to ``keep``, are perhaps gone."""
        ctx.ledger.suspect_between(
            self.newer.at - 1, self.older.at, keep=keep, by=self.ranking.column
        )


@dataclass(frozen=True, slots=True)
class Ranked:
    """A page of the sorted list, or several that follow one another, and where it stands."""

    jobs: Sequence[Job]
    offset: int
    total: int | None
    ranking: Ranking = BY_CHANGE
    ends: bool = False
    """Whether the list ends with it."""

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
            above = self.ranking.moment(self.jobs[index - 1])
            if above > self.ranking.moment(self.jobs[index]):
                found.append(Boundary(above, self.offset + index - self.base))
        if self.ends:
            end = self.offset + len(self.jobs) - self.base
            found += [Boundary(self.ranking.moment(job), end) for job in self.jobs[-1:]]
            found.append(Boundary(-INFINITE, end))
        return found


def rank_page(ctx: SyncContext, page: Page, offset: int, ranking: Ranking = BY_CHANGE) -> Ranked:
    """A page as it stands in the sorted list. Raises ``OrderBroken`` if it is not sorted, and
    ``PageCutShort`` and ``TotalTooSmall``."""
    ctx.require_full(page, offset)
    if not newest_first(page.jobs, ranking.moment):
        raise OrderBroken(f"a page is not sorted by {ranking.sort_key}")
    return Ranked(page.jobs, offset, page.total_count, ranking, _ends(ctx, page, offset))


def _ends(ctx: SyncContext, page: Page, offset: int) -> bool:
    end = offset + len(page.jobs)
    if page.total_count is None:
        return end == ctx.known_end and len(page.jobs) < ctx.page_size
    # A page as long as was asked for may be followed by others: see ``is_last``.
    return end == page.total_count and len(page.jobs) < PAGE_LIMIT


def examine(ctx: SyncContext, ranked: Ranked) -> list[Boundary]:
    """Make the ledger equal to a page, and return the boundaries between which it now is."""
    ctx.intake.take(ranked.jobs, audit=True)
    boundaries = ranked.boundaries()
    if len(boundaries) >= 2:
        known = Stretch(boundaries[0], boundaries[-1], ranked.ranking)
        known.suspect(ctx, keep=[job.uuid for job in ranked.jobs])
    return boundaries


def reconcile(ctx: SyncContext, head: Page) -> Asking[None]:
    """Find and mend what differs between the ledger and the whole list, of which ``head`` is the
    first page.

    Jobs of the ledger that are not where they should be become suspects: the head of the list, read
    once more afterwards, shows those that have only moved.
    """
    total = head.total_count or 0
    whole = Stretch(Boundary(INFINITE, -total), Boundary(-INFINITE, 0))
    # What was deleted together stands together in one of the orders, and is strewn in the other.
    for together in (True, False):
        if ctx.progress.sort_by_submit != "no":
            try:
                found = yield from search(ctx, replace(whole, ranking=BY_SUBMIT), together=together)
            except (OrderBroken, RefusedError) as error:
                if isinstance(error, RefusedError) and error.reason != "request":
                    raise
                ctx.ledger.restore_suspects()
                ctx.update(sort_by_submit="no")
            else:
                if found:
                    return
        if (yield from search(ctx, whole, together=together)):
            return


def search(
    ctx: SyncContext, whole: Stretch, first: Ranked | None = None, *, together: bool = False
) -> Asking[bool]:
    """Close in on what differs within a stretch. False if that would take too many calls, or, with
    ``together``, as soon as it shows that it is not all in one place."""
    open_stretches = [whole] if first is None else _split(whole, examine(ctx, first))
    most_calls = 8 + 4 * max(1, (max(1, whole.listed) // ctx.page_size).bit_length())
    if whole.ranking is BY_CHANGE:
        most_calls = max(most_calls, min(2 * ctx.whole_list_cost, 300))
    calls = 0
    while open_stretches:
        stretch = open_stretches.pop()
        if not stretch.differs(ctx):
            continue
        if calls >= most_calls:
            return False
        # What is deleted is most often what is oldest: look at the very end before halving.
        at_end = calls == 0 and stretch.older.at == -INFINITE and stretch.surplus(ctx) > 0
        calls += 1
        ranked = yield from _probe(ctx, stretch, at_end=at_end)
        boundaries = examine(ctx, ranked)
        if stretch.listed > 0:  # else the page was to show that nothing is left there
            open_stretches += _split(stretch, boundaries)
        if together and sum(each.differs(ctx) for each in open_stretches) > 1:
            return False
    return True


def _probe(ctx: SyncContext, stretch: Stretch, *, at_end: bool) -> Asking[Ranked]:
    base = ctx.progress.expected or 0
    if at_end:
        offset = stretch.older.rank + base - ctx.page_size + 1  # not a full page: it ends the list
    elif stretch.listed < ctx.page_size - 1:
        offset = stretch.newer.rank + base - 1  # with the job before it, to show the boundary
    else:
        offset = stretch.newer.rank + base + (stretch.listed - ctx.page_size) // 2
    offset = max(0, offset)
    page = yield Ask(stretch.ranking.query(offset))
    ctx.saw_head(page)
    ranked = rank_page(ctx, page, offset, stretch.ranking)
    moments = [moment for job in page.jobs if stretch.holds(moment := stretch.ranking.moment(job))]
    if moments and not stretch.narrowed_by(ranked.boundaries()):
        ranked = yield from whole_second(ctx, ranked, moments[len(moments) // 2])
    return ranked


def whole_second(ctx: SyncContext, ranked: Ranked, at: int) -> Asking[Ranked]:
    """More jobs are of one second than a page can show with both of its ends: read all of them,
    beginning at a page that shows some.

    Their order may differ from call to call, so it is read until as many are found as there are
    ranks: neither fewer, nor more, for then the list has moved between two pages. Raises
    ``SecondUnreadable``.
    """
    offset = yield from _in_front_of_second(ctx, ranked, at)
    found: dict[str, Job] = {}
    count = 0
    for tries in range(MOST_TIE_ROUNDS):
        second = Second(at, (yield from _read_second(ctx, ranked.ranking, offset, at)))
        found |= second.jobs
        if second.count != count or len(found) > count:
            found, count = second.jobs, second.count  # what was found before may have gone
        if len(found) == count and (second.joined or tries >= STABLE_TIE_ROUNDS):
            return second.ranked(found)
    raise SecondUnreadable


@dataclass(frozen=True, slots=True)
class Second:
    """The jobs of one moment, as pages show them of which each begins with the last job of the one
    before, if nothing has moved meanwhile."""

    at: int
    pages: Sequence[Ranked]

    @property
    def jobs(self) -> dict[str, Job]:
        """All that were met."""
        return {job.uuid: job for _, job, moment in self._places() if moment == self.at}

    @property
    def count(self) -> int:
        """How many there are, by the places of those around them."""
        return self._behind - self._first

    @property
    def joined(self) -> bool:
        """Whether each page begins with a job of the one before."""
        return all(
            not page.jobs or page.jobs[0].uuid in {job.uuid for job in before.jobs}
            for before, page in pairwise(self.pages)
        )

    def ranked(self, jobs: dict[str, Job]) -> Ranked:
        """These jobs as one page, with one in front of them and one behind them."""
        before = [job for place, job, _ in self._places() if place == self._first - 1][:1]
        after = [job for place, job, _ in self._places() if place == self._behind][-1:]
        return replace(
            self.pages[-1],
            jobs=[*before, *jobs.values(), *after],
            offset=self._first - len(before),
            ends=self.pages[-1].ends and not after,
        )

    @property
    def _first(self) -> int:
        newer = (place + 1 for place, _, moment in self._places() if moment > self.at)
        return max(newer, default=self.pages[0].offset)

    @property
    def _behind(self) -> int:
        last = self.pages[-1]
        older = (place for place, _, moment in self._places() if moment < self.at)
        return min(older, default=last.offset + len(last.jobs))

    def _places(self) -> Iterator[tuple[int, Job, int]]:
        for page in self.pages:
            for place, job in enumerate(page.jobs, page.offset):
                yield place, job, page.ranking.moment(job)


def _in_front_of_second(ctx: SyncContext, ranked: Ranked, at: int) -> Asking[int]:
    """A place from which on all jobs of a second stand."""
    ranking, offset = ranked.ranking, ranked.offset
    newest_at = ranking.moment(ranked.jobs[0])
    while offset > 0 and newest_at <= at:
        offset = max(0, offset - max(1, ctx.page_size - 1))
        page = yield Ask(ranking.query(offset))
        above = rank_page(ctx, page, offset, ranking).jobs
        if not above:
            raise SyncError("order", "the list ends before where it was seen to go on")
        newest_at = ranking.moment(above[0])
    return offset


def _read_second(ctx: SyncContext, ranking: Ranking, offset: int, at: int) -> Asking[list[Ranked]]:
    """The pages from a place to the end of a second."""
    pages: list[Ranked] = []
    while True:
        page = yield Ask(ranking.query(offset))
        ranked = rank_page(ctx, page, offset, ranking)
        if page.total_count is None and pages and 1 == len(page.jobs) < ctx.page_size:
            ranked = replace(ranked, ends=True)  # nothing follows the last job that was known
        pages.append(ranked)
        if ranked.ends or len(ranked.jobs) < 2 or ranking.moment(ranked.jobs[-1]) < at:
            return pages
        offset += len(ranked.jobs) - 1


def _split(stretch: Stretch, boundaries: list[Boundary]) -> list[Stretch]:
    inside = [
        boundary for boundary in boundaries if stretch.newer.at >= boundary.at >= stretch.older.at
    ]
    if not inside:
        return []  # the list has moved away from under the search: the next sync goes on
    return [
        part
        for part in (
            replace(stretch, older=inside[0]),
            replace(stretch, newer=inside[-1]),
        )
        if part.newer.at > part.older.at
    ]
