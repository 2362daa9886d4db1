"""Following a list that has no known order: slow, but right, and possible with every server.

If jobs can be filtered by status, each sync queries the active ones, and the whole list is read between
syncs, as the budget allows. Otherwise each sync reads the whole list. A scan is complete if its pages join
and it has seen as many jobs as there are. Only then, jobs that it has not seen are gone.
"""

from exporter.ledger.store import Marks
from exporter.model import SET_ASIDE, Purpose
from exporter.sync.asking import Asking, Contradiction
from exporter.sync.context import BY_CHANGE, SCAN, SWEPT_STATUSES, ListView, PlacedPage, Sync
from exporter.sync.reader import read_whole


def sweeps(sync: Sync) -> bool:
    """Whether reading the active jobs takes fewer calls than reading the whole list, or this cannot be read."""
    jobs = sync.progress.expected
    if jobs is None and sync.progress.complete:
        jobs = sync.ledger.size
    if jobs is None or jobs >= sync.depth:
        return sync.filters
    return sync.filters and sync.pages_for(jobs) > sync.sweep_pages + 1


def worth_it(sync: Sync) -> bool:
    """Whether a scan between two syncs shows something that these do not. In a list by submission without a
    filter, only a scan shows jobs that are queued again after their end."""
    if sync.order is None:
        return sweeps(sync)
    return sync.order is not BY_CHANGE and not sync.filters


def due(sync: Sync, tried_at: float) -> bool:
    """Whether it is time to scan the list between two syncs, which was last tried at a moment. Stale records that may
    be believed if they are still there do not have to wait until it has rested."""
    patience_seconds = sync.intake.patience_seconds
    stale = sync.intake.stale_records.due(sync.now_at, patience_seconds)
    pause_seconds = patience_seconds if stale else sync.settings.rest_interval_seconds
    last_at = sync.progress.checked_at.get(SCAN, 0.0)
    scanned = sync.progress.complete and sync.just_now(last_at, pause_seconds)
    return not scanned and not sync.just_now(tried_at, pause_seconds)


def scan(sync: Sync, marks: Marks) -> Asking[None]:
    """Read the whole list. What syncs see while a scan goes on between them counts as seen, too."""
    known_up_to_at = sync.now_at
    between_syncs = sync.purpose is Purpose.HISTORY and sync.filters and sync.progress.active_known
    # A job that changed just before the last sync began may not have been in its answers yet.
    long_ago_at = (sync.progress.last_success_at or 0.0) - 60.0 - sync.lag_seconds
    missed_before, sync.memory.missed = sync.memory.missed, set()

    def take(page: PlacedPage) -> None:
        missed = {
            new.uuid: new.status
            for old, new in sync.take(page)
            if new.status in SWEPT_STATUSES
            and (old is None or old.status == SET_ASIDE)
            and 0 < (new.modified_at or 0) < long_ago_at
        }
        if between_syncs and missed:
            sync.memory.missed |= missed.keys()
            # If it is others each time, they are gone, and these pages come from a cache.
            if not sync.profile.status_filter.contradictions or missed_before & missed.keys():
                status = min(missed.values())
                raise Contradiction("status_filter", f"it hides a job that is {status}")

    try:
        yield from read_whole(sync, ListView(None), marks, take)
        sync.ledger.drop_unmarked(marks)
    finally:
        marks.drop()
    sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
    sync.note_read_whole(at=known_up_to_at)
