"""Following a list that is sorted by the last change: whatever changes comes to its head.

So one page is mostly enough, however long the list is. It is read down to well below the newest
change that was known before. A gap too long to be read at once becomes the frontier of the history;
the active jobs are then asked for by status.

What it proves: with a total that fits, that every job is known, and every change that is stamped
and moves its job. The checks of ``verify`` prove the rest.
"""

from exporter.errors import SyncError
from exporter.sync.asking import Asking, Contradiction, Purpose
from exporter.sync.context import (
    BY_CHANGE,
    INFINITE,
    Listing,
    Placed,
    Sync,
)
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.reader import MetInMemory, read, sweep_active
from exporter.sync.reconcile import boundaries


def follow(sync: Sync, head: Placed) -> Asking[None]:
    """Bring the ledger up to date."""
    joined = yield from _catch_up(sync, head)
    newest_at = _newest_at(sync, head)
    if sync.filters and not (joined and sync.progress.active_known):
        yield from sweep_active(sync, head)
    sync.update(newest_at=newest_at)


def _newest_at(sync: Sync, head: Placed) -> int | None:
    """The newest change that is known; one in the future is no knowledge of what comes until then."""
    newest = [
        BY_CHANGE.moment(job)
        for job in head.jobs
        if BY_CHANGE.moment(job) <= sync.now_at + LATE_SECONDS
    ]
    known_at = sync.progress.newest_at
    at = max(newest, default=int(sync.now_at) if head.jobs else None)
    return at if known_at is None or at is None or at > known_at else known_at


def _catch_up(sync: Sync, head: Placed) -> Asking[bool]:
    """Read from the head down to what is known; whether that was reached. Else the frontier is where
    the reading ended."""
    known_at = sync.progress.newest_at or 0
    looked_at = sync.progress.last_success_at or 0
    if looked_at > known_at + LATE_SECONDS + sync.lag_seconds:
        known_at += 1  # whatever was stamped until then had come by the last look
    elif sync.thorough:
        known_at -= LATE_SECONDS
    pages, joined, lowest_at = 0, False, INFINITE
    # Beyond what a sweep costs, and half of the calls that no cluster of the account needs for its next
    # syncs, their counts are wanted first.
    most_pages = max(sync.sweep_pages + 1, sync.allowance(Purpose.HISTORY) // 2)

    def on_page(placed: Placed) -> bool:
        nonlocal pages, joined, lowest_at
        pages += 1
        if placed is not head:
            sync.take(placed)
        found = boundaries(placed, BY_CHANGE)
        lowest_at = min(lowest_at, found[-1].at if found else lowest_at)
        joined = not placed.jobs or BY_CHANGE.moment(placed.jobs[-1]) < known_at
        return joined or pages >= most_pages

    sync.take_head(BY_CHANGE, head)
    if not on_page(head):
        try:
            ended = yield from read(sync, Listing(BY_CHANGE), on_page, MetInMemory(), after=head)
            joined = joined or ended is not None
        except SyncError as error:
            if error.reason != "depth":  # else it was read as far as the server shows any
                raise
    if not joined:
        if lowest_at == INFINITE:
            raise Contradiction("order", "all jobs of many pages seem to have changed at once")
        sync.update(frontier_at=int(lowest_at), known="")
    return joined
