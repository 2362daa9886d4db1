"""Following a sorted list: what is new is at its head, down to what was known before.

By the last change, whatever changes comes to the head, so one page is mostly enough, however long the list
is. If it takes too many pages, the frontier of the history is where the reading stops, and the active jobs
are queried by status.

By submission, only new jobs are there. Active jobs are queried by status, or on the pages where they are,
whichever takes fewer calls. Jobs that have left their status are looked up where they were, together with
their neighbours. Only deletions change the ranks of jobs, so their pages are known.

If the total fits, every job is known: by change with every change that gave its job a new time, by submission
with every active job. The checks of ``verify`` find the rest.
"""

from exporter.errors import SyncError
from exporter.model import Purpose
from exporter.sync.asking import Asking
from exporter.sync.context import (
    BY_CHANGE,
    INFINITE,
    SWEPT_STATUSES,
    ListView,
    Order,
    PlacedPage,
    Sync,
)
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.reader import SeenInMemory, read, sweep_active
from exporter.sync.reconcile import look_at


def by_change(sync: Sync, head: PlacedPage) -> Asking[None]:
    """Bring the ledger up to date with a list by the last change."""
    # If it takes more pages than a sweep, and than half of the calls that are left over, a sweep gives the
    # counts sooner. Without a filter nothing can be shown until everything is read.
    purpose = Purpose.HISTORY if sync.filters else Purpose.FRESH
    most_pages = max(sync.sweep_pages + 1, sync.allowance(purpose) // 2)
    known_at = sync.progress.newest_at or 0
    looked_at = sync.progress.last_success_at or 0
    if looked_at > known_at + LATE_SECONDS + sync.lag_seconds:
        known_at += 1  # all changes of that second had come by the last sync
    elif sync.thorough:
        known_at -= int(max(LATE_SECONDS, sync.lag_seconds))
    yield from _read_down(sync, BY_CHANGE, head, known_at, most_pages)
    if sync.filters and not sync.progress.active_known:
        yield from sweep_active(sync, head)


def by_submission(sync: Sync, order: Order, head: PlacedPage) -> Asking[None]:
    """Bring the ledger up to date with a list by submission."""
    yield from _read_down(sync, order, head, sync.progress.newest_at or 0)
    all_placed = sync.progress.frontier_at is None
    if all_placed and (not sync.filters or _windows(sync, order) <= sync.sweep_pages):
        yield from look_at(sync, order, sync.active_jobs())
        sync.active_is_known()
        return
    yield from sweep_active(sync, head)
    if all_placed:
        yield from look_at(sync, order, sync.active_jobs(but=SWEPT_STATUSES))


def _read_down(
    sync: Sync, order: Order, head: PlacedPage, known_at: float, most_pages: float = INFINITE
) -> Asking[None]:
    """Read a sorted list from its head down to ``known_at`` or ``most_pages``, and take it in. If the moment
    is not reached, the frontier is where the reading ended, and some active jobs may be unknown."""
    pages, lowest_at = 0, INFINITE

    def on_page(page: PlacedPage) -> bool:
        nonlocal pages, lowest_at
        if page is not head:
            sync.take(page)
        pages += 1
        lowest_at = min(lowest_at, order.moment(page.jobs[-1])) if page.jobs else -INFINITE
        return lowest_at < known_at or pages >= most_pages

    sync.take_head(order, head)
    if not on_page(head):
        try:
            ended = yield from read(sync, ListView(order), on_page, SeenInMemory(), after=head)
            lowest_at = lowest_at if ended is None else -INFINITE
        except SyncError as error:
            if error.reason != "depth":  # a depth: all that the server shows was read
                raise
    newest_at = max(sync.progress.newest_at or 0, sync.newest_on(order, head) or 0)
    sync.update(newest_at=newest_at)
    if lowest_at >= known_at:
        sync.update(frontier_at=int(lowest_at) + 1, known="")


def _windows(sync: Sync, order: Order) -> int:
    """How many pages show all active jobs. Stops counting when a sweep takes fewer."""
    pages, down_to_rank = 0, 0
    for job in sync.ledger.active_jobs(order.column):
        rank = sync.ledger.count_between(INFINITE, order.moment(job), by=order.column)
        if rank > down_to_rank:
            pages += 1
            down_to_rank = rank - 1 + max(1, sync.page_size - 1)
        if pages > sync.sweep_pages:
            break
    return pages
