"""Correcting the ledger: find where it differs from the list by comparing ranks, and take in what is there.

A *boundary* lies between two jobs of a sorted list with different moments. Its rank is the number of jobs in
front of it: all those with the moment ``at`` or a later one. The ledger can count the same jobs. If ledger and
list have different numbers of jobs between two boundaries, something differs there. So ask for the page in the
middle, make the ledger equal to it, and continue with the halves that still differ. This finds deletions and
whatever a check has noticed. Boundaries also serve for reading the history, and for closing a gap after an
outage.

Ranks are counted from the end of the list. A submission meanwhile moves every rank counted from the head, but
none counted from the end. In a list by submission, only deletions move ranks at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from exporter.errors import SyncError
from exporter.model import OUT_OF_WINDOW, Job, Purpose
from exporter.snapshot import RECENT_SECONDS
from exporter.sync.asking import Asking, Contradiction
from exporter.sync.context import (
    BY_SUBMISSION,
    INFINITE,
    MANY_TRIES,
    ListView,
    Order,
    PlacedPage,
    Sync,
)
from exporter.sync.pages import ask
from exporter.sync.reader import SeenInMemory, read

CALLS_A_HALVING = 4
"""How many calls a search may take for each halving: the list may differ in several places."""


class Boundary(msgspec.Struct, frozen=True, gc=False):
    """All jobs with the moment ``at`` or a later one are in front of it."""

    at: float
    rank: int
    """Its place, counted from the list's end: 0 or negative."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The jobs between two boundaries."""

    newer: Boundary
    older: Boundary
    status: str | None = None
    """Only those in a status."""

    @property
    def listed(self) -> int:
        """How many there are in the remote list; 0 if it has moved between the calls that showed the boundaries."""
        return max(0, self.older.rank - self.newer.rank)

    def known(self, sync: Sync, order: Order) -> int:
        """How many there are in the ledger."""
        newest_at, oldest_at = self.newer.at - 1, self.older.at
        return sync.ledger.count_between(newest_at, oldest_at, by=order.column, status=self.status)

    def differs(self, sync: Sync, order: Order) -> bool:
        """Whether ledger and list have different numbers of jobs here."""
        return self.known(sync, order) != self.listed


def whole(sync: Sync, status: str | None = None) -> Stretch:
    """The whole list, or all of it that is in a status."""
    total = sync.totals.get(status, sync.progress.expected) or 0
    return Stretch(Boundary(INFINITE, -total), Boundary(-INFINITE, 0), status)


def boundaries(page: PlacedPage, order: Order) -> list[Boundary]:
    """The boundaries on a page, newest first."""
    moments = order.moments(page.jobs)
    found = [Boundary(INFINITE, page.rank)] if page.offset == 0 else []
    ranked = enumerate(pairwise(moments), start=page.rank + 1)
    found += [Boundary(above, rank) for rank, (above, below) in ranked if above > below]
    if _ends_list(page):
        found += [Boundary(at, 0) for at in moments[-1:]]
        found.append(Boundary(-INFINITE, 0))
    return found


def _ends_list(page: PlacedPage) -> bool:
    return page.end == (page.total or 0) and not page.may_go_on


def examine(sync: Sync, order: Order, page: PlacedPage) -> list[Boundary]:
    """Make the ledger equal to a page; returns the page's boundaries, newest first. Known jobs between the
    first and the last that are not on the page become suspects."""
    found = boundaries(page, order)
    frontier_at = sync.progress.frontier_at
    all_known = frontier_at is None or (found and found[-1].at >= frontier_at)
    sync.take(page, audit=bool(all_known))
    # On a filtered page, missing jobs may be in another status.
    if len(found) >= 2 and page.view.status is None:
        sync.suspect_absent(order, found[0].at - 1, found[-1].at, page)
    return found


def reconcile(sync: Sync, order: Order) -> Asking[None]:
    """Find and correct what differs between the ledger and the whole list.

    Jobs that were deleted together are next to each other in one order, and spread over the list in the
    other. So each order is first tried only while the differences are in one place, and then without this
    limit.
    """
    orders = [order]
    if sync.profile.order.value == "change":
        orders = [BY_SUBMISSION, order]
    for together in (True, False) if len(orders) > 1 else (False,):
        for each in orders:
            if (yield from search(sync, each, whole(sync), together=together)):
                return


def _most_calls(sync: Sync, *, strewn: bool) -> int:
    """How many calls a search may take. The next sync continues where it has stopped."""
    pages = sync.pages_for(sync.progress.expected or 0)
    halvings = 8 + CALLS_A_HALVING * pages.bit_length()
    return max(halvings, min(2 * pages, sync.allowance(Purpose.FRESH) // 2)) if strewn else halvings


def search(sync: Sync, order: Order, stretch: Stretch, *, together: bool = False) -> Asking[bool]:
    """Find and correct what differs within a stretch. Returns False if something may be left: a page did not divide its
    part, or it has stopped: after too many calls, or, with ``together``, when the differences turn out to be in several
    places. Without it, more calls are allowed."""
    open_, calls, most_calls, done = [stretch], 0, _most_calls(sync, strewn=not together), True
    while open_:
        part = open_.pop()
        if not part.differs(sync, order):
            continue
        if calls >= most_calls:
            return False
        calls += 1
        page = yield from _look_into(sync, order, part, first=calls == 1)
        inside = [
            each for each in examine(sync, order, page)
            if part.newer.at >= each.at >= part.older.at
        ]  # fmt: skip
        before = len(open_)
        if inside and part.listed:  # otherwise the page was to show that nothing is there
            halves = (replace(part, newer=inside[-1]), replace(part, older=inside[0]))
            open_ += [half for half in halves if half != part and half.newer.at > half.older.at]
        if len(open_) == before and part.differs(sync, order):
            done = False
        if together and sum(each.differs(sync, order) for each in open_) > 1:
            return False
    return done


def _look_into(sync: Sync, order: Order, part: Stretch, *, first: bool) -> Asking[PlacedPage]:
    """Ask for the page that tells most about a stretch, or for all jobs of one second if no page divides it."""
    total, size = whole(sync, part.status).listed, max(2, sync.page_size)
    known = part.known(sync, order)
    offset = part.newer.rank + total - 1  # with the job in front, so that the boundary shows
    if first and part.older.at == -INFINITE and known > part.listed:
        # Old jobs are deleted most. One job short of a full page: this proves the list's end.
        offset = total - size + 1
    elif part.listed >= size - 1 and 2 * known >= part.listed:
        offset += 1 + (part.listed - size) // 2
    page = yield from ask(sync, ListView(order, part.status), offset)
    moments = [
        moment for job in page.jobs
        if part.older.at <= (moment := order.moment(job)) < part.newer.at
    ]  # fmt: skip
    found = boundaries(page, order)
    divided = found and found[0].at > part.older.at and found[-1].at < part.newer.at
    if moments and not divided:
        middle_at = moments[len(moments) // 2]
        page = yield from page_at(sync, order, middle_at, page.offset, part.status)
    return page


def page_at(
    sync: Sync, order: Order, at: float, offset: int | None = None, status: str | None = None
) -> Asking[PlacedPage]:
    """The page that begins in front of a moment and shows its jobs, or those behind it if there are none. It is
    looked for from an offset on, or from where the ledger has it: by steps that grow, then by halving. If a second has
    more jobs than a page, all of them are on it, or, if that fails often, those that the server's page has."""
    if offset is None:
        offset = sync.ledger.count_between(INFINITE, at + 1, by=order.column) - 1
    above, below, failed = -INFINITE, INFINITE, 0
    step, view = max(1, sync.page_size // 4), ListView(order, status)
    seen: dict[str, Job] = {}
    offset = min(offset, whole(sync, status).listed - 1)  # more jobs may be known than there are
    for _ in range(_most_calls(sync, strewn=False)):
        page = yield from ask(sync, view, offset)
        moments = order.moments(page.jobs)
        if page.offset > 0 and (not moments or moments[0] <= at):
            below = page.offset
        elif moments and moments[-1] > at and page.end < (page.total or 0):
            above = page.offset
            sync.take(page)
        elif (
            not moments
            or _ends_list(page)
            or moments[-1] < next((each for each in moments if each <= at), -INFINITE)
        ):
            return page  # it has a boundary behind the moment
        else:
            whole_second = yield from _whole_second(sync, order, page, seen)
            failed += 1
            if whole_second is not None or failed >= MANY_TRIES:
                return whole_second or page
            # Jobs of one second may have different orders when they are read from the two ends of a list.
            view = replace(view, from_end=sync.profile.most_offset < INFINITE)
            offset = page.offset
            continue
        if below - above < 2:  # one of them is out of date: not the one that was just found
            above, below = (-INFINITE, below) if below == page.offset else (above, INFINITE)
        if below - above < INFINITE:
            offset = int(above + below) // 2
        else:
            further = min(page.end - 2 + step, (page.total or 0) - 1)
            offset = int(below) - step if below < INFINITE else further
            step *= 2
    raise SyncError("moving", "jobs cannot be looked up: the list moves too fast")


def _whole_second(
    sync: Sync, order: Order, page: PlacedPage, seen: dict[str, Job]
) -> Asking[PlacedPage | None]:
    """All jobs of the second with which a page ends, and one job on each side, as one page. Their order may differ at
    each call: so None until, with those ``seen`` at earlier tries, as many were seen as there are places in the end. Some
    of them may have left by then: the total tells that."""
    at, pages = order.moment(page.jobs[-1]), list[PlacedPage]()

    def passes(page: PlacedPage) -> bool:
        sync.take(page)
        pages.append(page)
        return bool(page.jobs) and order.moment(page.jobs[-1]) != at

    passes(page)
    yield from read(sync, page.view, passes, SeenInMemory(), after=page)
    seen.update((job.uuid, job) for each in pages for job in each.jobs)
    # Some may have changed meanwhile; not those that have gone back to an older record.
    known = sync.ledger.known(seen.keys() - sync.intake.stale_records.since.keys())
    jobs = [
        job
        for job in seen.values()
        if order.moment(job) == at >= order.moment(known.get(job.uuid, job))
    ]
    begins_at = page.offset + _newer(page, order, at)
    top = yield from ask(sync, page.view, begins_at - sync.page_size // 2)
    newer, down_to, last = _newer(top, order, at), _newer(pages[-1], order, at - 1), pages[-1]
    if len(jobs) < last.rank + down_to - top.rank - newer or (top.offset and not newer):
        return None
    above, below = top.jobs[max(0, newer - 1) : newer], last.jobs[down_to : down_to + 1]
    offset = last.offset + down_to - len(jobs) - len(above)
    return replace(last, jobs=(*above, *jobs, *below), offset=offset)


def _newer(page: PlacedPage, order: Order, at: float) -> int:
    return sum(each > at for each in order.moments(page.jobs))


def start_frontier(sync: Sync, order: Order, head: PlacedPage) -> None:
    """Set the frontier after an order was found: everything is known down to the last boundary on its head."""
    if not head.jobs:
        return
    sync.take(head)
    top = Boundary(order.moment(head.jobs[0]) + 1, -(head.total or 0))
    lowest = next((each for each in reversed(boundaries(head, order)) if each.at < top.at), top)
    # Jobs that are known from other queries may be gone: their number proves nothing.
    unread = 0 if sync.progress.complete else None
    sync.update(newest_at=sync.newest_on(order, head), frontier_at=int(sync.now_at), unread=unread)
    _move_frontier(sync, order, lowest)
    if sync.progress.complete and sync.progress.frontier_at is not None:
        sync.update(known="active")


def widen_history(sync: Sync) -> None:
    """If more of the history is wanted than before, the ledger has these jobs, but not how they ended. So the
    history is read again from the newest of them down."""
    left_out = sync.ledger.count_status(OUT_OF_WINDOW)
    newest_at = sync.ledger.newest_in(OUT_OF_WINDOW) if left_out else None
    # A clock that was set back by a little does not count.
    if newest_at is None or newest_at <= sync.intake.window_from_at + RECENT_SECONDS:
        return
    if sync.order is not None:
        read_again(sync, sync.ledger.newest_in(OUT_OF_WINDOW, sync.order.column) or 0)
    elif sync.progress.complete:
        sync.update(known="active")


def read_again(sync: Sync, from_at: int) -> None:
    """Have the history read again from the jobs of a moment down: until then it is not complete."""
    sync.update(frontier_at=max(from_at + 1, sync.progress.frontier_at or 0), unread=None)
    if sync.progress.complete:
        sync.update(known="active")


def read_history(sync: Sync, order: Order) -> Asking[None]:
    """Read the history from the frontier down: to its end or edge, or to where as many jobs are known behind it."""
    offset = None
    while (at := sync.progress.frontier_at) is not None and sync.order is order:
        if sync.reaches_edge:
            return
        page = yield from page_at(sync, order, at - 1, offset)
        if sync.progress.frontier_at != at or sync.order is not order:
            return  # a sync in between has changed it
        found = examine(sync, order, page)
        if not found or found[-1].at >= at:
            if page.total is None:
                raise Contradiction("total_count", "the total is told no longer")
            raise SyncError("moving", "the history cannot be read on: it moves too fast")
        _move_frontier(sync, order, found[-1])
        offset = sync.length + found[-1].rank - 1  # jobs that are submitted meanwhile move no rank


def _move_frontier(sync: Sync, order: Order, lowest: Boundary) -> None:
    """Move the frontier down to a boundary: all in front of it is known."""
    sync.memory.obstacle = None
    # Few are known behind it, while a history is read. Those in front grow with every page.
    unread = -lowest.rank - sync.ledger.count_between(lowest.at - 1, -INFINITE, by=order.column)
    if lowest.at == -INFINITE or unread == sync.progress.unread == 0:
        sync.update(frontier_at=None, unread=0)
    elif unread == sync.progress.unread and sync.has_edge:  # what was known before a gap follows
        sync.update(frontier_at=int(sync.intake.window_from_at))
    else:
        sync.update(frontier_at=int(lowest.at))
        if sync.reaches_edge:
            sync.update(unread=unread)


def look_at(sync: Sync, order: Order, jobs: Iterable[Job]) -> Asking[None]:
    """Read the pages on which these jobs are, or were; except those on the head, which was seen."""
    seen = boundaries(sync.head, order) if sync.head is not None else []
    seen_down_to_at = seen[-1].at if seen else INFINITE
    for at in sorted({order.moment(job) for job in jobs}, reverse=True):
        if at >= seen_down_to_at:
            continue
        if sync.purpose is not Purpose.FRESH and not sync.may_call():
            return  # a sync that needs them for its counts fails instead
        try:
            found = examine(sync, order, (yield from page_at(sync, order, at)))
        except SyncError as error:
            if error.reason != "depth" or not sync.filters:
                raise
            read_again(sync, at)  # what became of it is not shown, so the history is not complete
            return
        seen_down_to_at = found[-1].at if found else at
