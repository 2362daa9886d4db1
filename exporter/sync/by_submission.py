"""Following a list that is sorted by submission only.

New jobs stand at its head. Active ones are asked for by status, or looked at where they stand,
whichever is cheaper; those that have left their status are looked up where they stood, together with
their neighbours. Ranks stand still but for deletions, so that is known to the call.

What it proves: with a total that fits, that every job is known, and with each sync what every active
job does. A job that is queued again after its end is found by its status, or by the probe.
"""

from exporter.sync.asking import Asking
from exporter.sync.context import INFINITE, SWEPT_STATUSES, Order, Placed, Sync
from exporter.sync.reader import read_down, sweep_active
from exporter.sync.reconcile import look_at


def follow(sync: Sync, order: Order, head: Placed) -> Asking[None]:
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
    """How many pages show all active jobs; counts no further than a sweep would take."""
    pages, down_to_rank = 0, 0
    for job in sync.ledger.active_jobs(order.column):
        rank = sync.ledger.count_between(INFINITE, order.moment(job), by=order.column)
        if rank > down_to_rank:
            pages += 1
            down_to_rank = rank - 1 + max(1, sync.page_size - 1)
        if pages > sync.sweep_pages:
            break
    return pages
