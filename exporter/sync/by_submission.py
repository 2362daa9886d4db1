"""Following a list that is sorted by submission only.

New jobs are at its head. Active jobs are queried by status, or on the pages where they are, whichever takes
fewer calls. Jobs that have left their status are looked up where they were, together with their neighbours.
Only deletions change the ranks of jobs, so their pages are known.

If the total fits, every job is known, and each sync sees every active job. A job that is queued again after
its end is found by its status, or by the check of a random page.
"""

from exporter.sync.asking import Asking
from exporter.sync.context import INFINITE, SWEPT_STATUSES, Order, PlacedPage, Sync
from exporter.sync.reader import read_down, sweep_active
from exporter.sync.reconcile import look_at


def follow(sync: Sync, order: Order, head: PlacedPage) -> Asking[None]:
    """Bring the ledger up to date."""
    known_at = sync.progress.newest_at or 0
    yield from read_down(sync, order, head, known_at)
    sync.update(newest_at=max(known_at, sync.newest_on(order, head) or 0))
    all_placed = sync.progress.frontier_at is None
    if all_placed and (not sync.filters or _windows(sync, order) <= sync.sweep_pages):
        yield from look_at(sync, order, sync.active_jobs())
        sync.active_is_known()
        return
    yield from sweep_active(sync, head)
    if all_placed:
        yield from look_at(sync, order, sync.active_jobs(but=SWEPT_STATUSES))


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
