"""Following a list that is sorted by submission only.

New jobs stand at its head. Active ones are asked for by status, or looked at where they stand,
whichever is cheaper; those that have left their status are looked up where they stood, together with
their neighbours. Ranks stand still but for deletions, so that is known to the call.

What it proves: with a total that fits, that every job is known, and with each sync what every active
job does. A job that is queued again after its end is found by its status, or by the probe.
"""

from exporter.sync.asking import Asking
from exporter.sync.context import INFINITE, SWEPT_STATUSES, Listing, Order, Placed, Sync
from exporter.sync.reader import MetInMemory, read, sweep_active
from exporter.sync.reconcile import look_at


def follow(sync: Sync, order: Order, head: Placed) -> Asking[None]:
    """Bring the ledger up to date."""
    yield from _read_new(sync, order, head)
    all_placed = sync.progress.frontier_at is None
    moments = [order.moment(job) for job in sync.ledger.active_jobs(order.column)]
    if all_placed and (not sync.filters or _windows(sync, order, moments) <= sync.sweep_pages):
        yield from look_at(sync, order, moments)
        sync.active_is_known()
        return
    yield from sweep_active(sync, head)
    if all_placed:
        others = [
            order.moment(job) for job in sync.ledger.active_jobs(order.column)
            if job.status not in SWEPT_STATUSES
        ]  # fmt: skip
        yield from look_at(sync, order, others)


def _read_new(sync: Sync, order: Order, head: Placed) -> Asking[None]:
    known_at = sync.progress.newest_at or 0

    def on_page(placed: Placed) -> bool:
        if placed is not head:
            sync.take(placed)
        return not placed.jobs or order.moment(placed.jobs[-1]) < known_at

    sync.take_head(order, head)
    if not on_page(head):
        yield from read(sync, Listing(order), on_page, MetInMemory(), after=head)
    sync.update(newest_at=max(known_at, *(order.moment(job) for job in head.jobs[:1]), 0))


def _windows(sync: Sync, order: Order, moments: list[int]) -> int:
    """How many pages show all of these jobs, given newest first; counts no further than a sweep would
    take."""
    pages, down_to_rank = 0, 0
    for at in moments:
        rank = sync.ledger.count_between(INFINITE, at, by=order.column)
        if rank <= down_to_rank:
            continue
        pages += 1
        down_to_rank = rank - 1 + max(1, sync.page_size - 1)
        if pages > sync.sweep_pages:
            break
    return pages
