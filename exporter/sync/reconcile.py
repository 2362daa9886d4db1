"""Finding what differs between the ledger and the sorted list, by bisection over ranks.

Between two boundaries (see ``ranks``) only the difference of the counts matters, so that halving the
stretch between them closes in on a run of deleted jobs in ``log2`` calls.

The search goes by the time of submission where the server sorts by it: nothing but a deletion moves
a rank there, and what is deleted together was mostly submitted together. Else it goes by the last
change, by which the list is known to be sorted.
"""

from contextlib import suppress
from dataclasses import replace

from exporter.errors import RefusedError
from exporter.model import Page
from exporter.sync.asking import Ask, Asking, OrderBroken, SecondUnreadable
from exporter.sync.context import SyncContext
from exporter.sync.ranks import (
    BY_CHANGE,
    BY_SUBMIT,
    INFINITE,
    Boundary,
    Ranked,
    Stretch,
    examine,
    rank_page,
)
from exporter.sync.second import whole_second


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
        with suppress(SecondUnreadable):  # then the next sync goes on
            ranked = yield from whole_second(ctx, ranked, moments[len(moments) // 2])
    return ranked


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
