"""Following a list that is sorted by the last change: whatever changes comes to its head.

So one page is mostly enough, however long the list is. It is read down to well below the newest
change that was known before, and until its tail shows nothing new. A gap too long to be read at
once becomes the frontier of the history; the active jobs are then asked for by status.

What it proves: with a total that fits, that every job is known, and every change that is stamped
and moves its job. The checks of ``verify`` prove the rest.
"""

from exporter.errors import SyncError
from exporter.sync.asking import Asking, Contradiction, Purpose
from exporter.sync.context import (
    BY_CHANGE,
    LATE_SECONDS,
    SWEPT_STATUSES,
    UNCHANGED_TAIL,
    Listing,
    Placed,
    Sync,
    changed_at,
)
from exporter.sync.reader import MetInMemory, read, sweep
from exporter.sync.reconcile import boundaries
from exporter.sync.verify import (
    close_head,
    find_aside,
    hold_filter,
    run_due,
    settle,
    take_head,
)

MOST_PAGES = 500
"""After more pages than this the active jobs are swept first: their counts are wanted now."""


def follow(sync: Sync, head: Placed, *, checking: bool) -> Asking[bool]:
    """Bring the ledger up to date. Whether the total could be explained."""
    joined = yield from _catch_up(sync, head)
    newest_at = _newest_at(sync, head)
    if not joined or not sync.progress.active_known:
        yield from _sweep_across_gap(sync)
    sync.update(newest_at=newest_at)
    fits = yield from settle(sync, BY_CHANGE)
    if fits:
        yield from find_aside(sync, BY_CHANGE)
    if checking and sync.progress.active_known and fits:
        yield from run_due(sync, BY_CHANGE)
    return fits


def _newest_at(sync: Sync, head: Placed) -> int | None:
    """The newest change that is known; one in the future is no knowledge of what comes until then."""
    newest = [changed_at(job) for job in head.jobs if changed_at(job) <= sync.now_at + LATE_SECONDS]
    known_at = sync.progress.newest_at
    at = max(newest, default=int(sync.now_at) if head.jobs else None)
    return at if known_at is None or at is None or at > known_at else known_at


def _catch_up(sync: Sync, head: Placed) -> Asking[bool]:
    """Read from the head down to what is known; whether that was reached."""
    known_at = sync.progress.newest_at or 0
    looked_at = sync.progress.last_success_at or 0
    if looked_at > known_at + LATE_SECONDS + sync.lag_seconds:
        known_at += 1  # whatever was stamped until then had come by the last look
    elif sync.thorough:
        known_at -= LATE_SECONDS
    most_pages = _most_pages(sync)
    pages, joined = 0, False
    lowest_at: float = float("inf")

    def on_page(placed: Placed) -> bool:
        nonlocal pages, joined, lowest_at
        pages += 1
        if placed is head:
            tail = _take_tail(sync, placed)
            take_head(sync, BY_CHANGE, placed)
        else:
            tail = _take_tail(sync, placed)
        found = boundaries(placed, BY_CHANGE)
        lowest_at = min(lowest_at, found[-1].at if found else lowest_at)
        joined = not placed.jobs or (changed_at(placed.jobs[-1]) < known_at and not tail)
        return joined or pages >= most_pages

    if on_page(head):
        return _noted(sync, lowest_at, joined=joined)
    try:
        ended = yield from read(sync, Listing(BY_CHANGE), on_page, MetInMemory(), after=head)
    except SyncError as error:
        if error.reason != "depth":
            raise
        ended = None  # as far as the server shows any
    return _noted(sync, lowest_at, joined=joined or ended is not None)


def _take_tail(sync: Sync, placed: Placed) -> int:
    """Take a page in; how many jobs at its end have changed, of those that were to be known."""
    changed = {change.new.uuid for change in sync.intake.take(placed.jobs)}
    known_from_at = sync.progress.frontier_at or 0
    return sum(
        job.uuid in changed and changed_at(job) >= known_from_at
        for job in placed.jobs[-UNCHANGED_TAIL:]
    )


def _noted(sync: Sync, lowest_at: float, *, joined: bool) -> bool:
    if not joined:
        if lowest_at == float("inf"):
            raise Contradiction("order", "all jobs of many pages seem to have changed at once")
        sync.update(frontier_at=int(lowest_at), complete=False, active_known=False)
    return joined


def _most_pages(sync: Sync) -> int:
    """How many pages may be read before the active jobs are swept instead: what that would cost, or
    half of what the account has left."""
    if not sync.filters:
        return MOST_PAGES
    swept = sum(sync.pages_for(sync.ledger.count_status(status)) for status in SWEPT_STATUSES)
    return min(MOST_PAGES, max(swept + 1, sync.allowance(Purpose.FRESH) // 2))


def _sweep_across_gap(sync: Sync) -> Asking[None]:
    if not sync.filters:
        return
    for status in SWEPT_STATUSES:
        yield from sweep(sync, status)
    sync.update(active_known=True)
    if sync.left:
        yield from close_head(sync, BY_CHANGE)  # some of them may have come there by now
        yield from hold_filter(sync)
