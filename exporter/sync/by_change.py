"""Following a list that is sorted by the last change: whatever changes comes to its head.

So one page is mostly enough, however long the list is. It is read down to the newest change that was known
before, and a little further. If that takes too many pages, the frontier of the history is where the reading
stops, and the active jobs are queried by status.

If the total fits, every job is known, and every change that gave its job a new time of change. The checks
of ``verify`` find the rest.
"""

from exporter.sync.asking import Asking, Purpose
from exporter.sync.context import BY_CHANGE, PlacedPage, Sync
from exporter.sync.intake import LATE_SECONDS
from exporter.sync.reader import read_down, sweep_active


def follow(sync: Sync, head: PlacedPage) -> Asking[None]:
    """Bring the ledger up to date."""
    # If it takes more pages than a sweep, and than half of the calls that are left over, a sweep gives the
    # counts sooner. Without a filter nothing can be shown until everything is read.
    purpose = Purpose.HISTORY if sync.filters else Purpose.FRESH
    most_pages = max(sync.sweep_pages + 1, sync.allowance(purpose) // 2)
    yield from read_down(sync, BY_CHANGE, head, _known_at(sync), most_pages)
    newest_at = sync.newest_on(BY_CHANGE, head)
    if newest_at is not None:
        newest_at = max(newest_at, sync.progress.newest_at or 0)
    if sync.filters and not sync.progress.active_known:
        yield from sweep_active(sync, head)
    sync.update(newest_at=newest_at)


def _known_at(sync: Sync) -> int:
    """Down to which moment to read: all changes with earlier stamps have been seen."""
    known_at = sync.progress.newest_at or 0
    looked_at = sync.progress.last_success_at or 0
    if looked_at > known_at + LATE_SECONDS + sync.lag_seconds:
        return known_at + 1  # these had all come by the last sync
    return known_at - LATE_SECONDS if sync.thorough else known_at
