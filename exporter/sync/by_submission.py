"""Following a list that is sorted by submission only.

New jobs stand at its head. Active ones are asked for by status, or looked at where they stand,
whichever is cheaper; those that have left their status are looked up where they stood, together with
their neighbours. Ranks stand still but for deletions, so that is known to the call.

What it proves: with a total that fits, that every job is known, and with each sync what every active
job does. A job that is queued again after its end is found by its status, or by the probe.
"""

from exporter.sync.asking import Asking, Purpose
from exporter.sync.context import (
    INFINITE,
    SWEPT_STATUSES,
    UNCHANGED_TAIL,
    Listing,
    Order,
    Placed,
    Sync,
)
from exporter.sync.reader import MetInMemory, read, sweep
from exporter.sync.reconcile import boundaries, look_at
from exporter.sync.verify import (
    look_at_head_again,
    resolve_aside,
    run_due,
    settle,
    take_head,
)

MOST_ASIDE = 25
"""No more jobs than these wait to be looked up, and not for long: together they share pages."""


def follow(sync: Sync, order: Order, head: Placed, *, checking: bool) -> Asking[bool]:
    """Bring the ledger up to date. Whether the total could be explained."""
    yield from _read_new(sync, order, head)
    seen = boundaries(head, order)
    yield from _look_at_active(sync, order, head, seen[-1].at if seen else INFINITE)
    fits = yield from settle(sync, order)
    if checking and sync.progress.active_known and fits:
        yield from run_due(sync, order)
    return fits


def _read_new(sync: Sync, order: Order, head: Placed) -> Asking[None]:
    known_at = sync.progress.newest_at or 0

    def on_page(placed: Placed) -> bool:
        known = sync.ledger.known(placed.uuids)
        tail = placed.jobs[-UNCHANGED_TAIL:]
        if placed is head:
            take_head(sync, order, placed)
        else:
            sync.take(placed)
        return not placed.jobs or (
            order.moment(placed.jobs[-1]) < known_at and all(job.uuid in known for job in tail)
        )

    if not on_page(head):
        yield from read(sync, Listing(order), on_page, MetInMemory(), after=head)
    sync.update(newest_at=max(known_at, *(order.moment(job) for job in head.jobs[:1]), 0))


def _look_at_active(sync: Sync, order: Order, head: Placed, seen_down_to_at: float) -> Asking[None]:
    all_placed = sync.progress.frontier_at is None and sync.progress.newest_at is not None
    swept = sum(sync.pages_for(sync.ledger.count_status(status)) for status in SWEPT_STATUSES)
    moments = [order.moment(job) for job in sync.ledger.active_jobs(order.column)]
    if all_placed and (not sync.filters or _windows(sync, order, moments, swept) <= swept):
        yield from look_at(sync, order, moments, Purpose.FRESH, seen_down_to_at)
        sync.update(active_known=True)
        return
    for status in SWEPT_STATUSES:
        yield from sweep(sync, status)
    sync.update(active_known=True)
    if not all_placed:
        yield from look_at_head_again(sync, head)
        return
    others = [
        order.moment(job) for job in sync.ledger.active_jobs(order.column)
        if job.status not in SWEPT_STATUSES
    ]  # fmt: skip
    yield from look_at(sync, order, others, Purpose.FRESH, seen_down_to_at)
    if sync.thorough or sync.ledger.count_status("") > MOST_ASIDE:
        yield from resolve_aside(sync, order, seen_down_to_at)


def _windows(sync: Sync, order: Order, moments: list[int], enough: int) -> int:
    """How many pages show all of these jobs, given newest first; counts no further than needed."""
    pages, down_to_rank = 0, 0
    for at in moments:
        rank = sync.ledger.count_between(INFINITE, at, by=order.column)
        if rank <= down_to_rank:
            continue
        pages += 1
        down_to_rank = rank - 1 + max(1, sync.page_size - 1)
        if pages > enough:
            break
    return pages
