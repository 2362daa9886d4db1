"""Following a list in no order at all: right, slow, and in need of nothing.

Where jobs can be asked for by status, the active ones are, at each sync, and the whole list is read
between the syncs, as the budget allows; else each sync reads all of it. It is believed to be whole
if its pages join and as many jobs were met as there are; only then are the others gone.
"""

from exporter.ledger.store import Marks
from exporter.sync.asking import Asking, Contradiction, Purpose
from exporter.sync.context import BY_CHANGE, SWEPT_STATUSES, Listing, Placed, Sync
from exporter.sync.reader import read_whole

SCAN = "scan"


def sweeps(sync: Sync) -> bool:
    """Whether the active jobs are fewer calls than the whole list."""
    jobs = sync.progress.expected
    if jobs is None and sync.progress.complete:
        jobs = sync.ledger.size
    longer = jobs is None or sync.pages_for(jobs) > sync.sweep_pages + 1
    return sync.filters and longer


def worth_it(sync: Sync) -> bool:
    """Whether a scan between two syncs shows what they do not. In the order of submission, and with
    no filter, only a scan shows jobs that are queued again after their end."""
    if sync.order is None:
        return sweeps(sync)
    return sync.order is not BY_CHANGE and not sync.filters


def due(sync: Sync) -> bool:
    """Whether the whole list is to be read between two syncs."""
    scanned_at = sync.progress.checked_at.get(SCAN, 0.0)
    fresh = 0 <= sync.now_at - scanned_at < sync.settings.rest_interval_seconds
    return not (fresh and sync.progress.complete)


def scan(sync: Sync, marks: Marks) -> Asking[None]:
    """Read everything. What a sync sees while a scan goes on between syncs is met, too."""
    known_up_to_at = sync.now_at
    hidden: list[str] = []
    between_syncs = sync.purpose is Purpose.HISTORY and sync.filters and sync.progress.active_known
    # A job that has changed just before the last sync began may not have been there to be shown.
    long_ago_at = (sync.progress.last_success_at or 0.0) - 60.0 - sync.lag_seconds

    def take(placed: Placed) -> None:
        changes = sync.take(placed)
        if between_syncs:  # which ask for the active ones by status: these have not been shown
            hidden.extend(
                new.status for old, new in changes
                if new.status in SWEPT_STATUSES and (old is None or not old.status)
                and 0 < (new.modified_at or 0) < long_ago_at
            )  # fmt: skip

    try:
        yield from read_whole(sync, Listing(None), marks, take)
        sync.ledger.drop_unmarked(marks)
    finally:
        marks.drop()
    sync.intake.correct("deleted", sync.ledger.forget_suspects(sync.now_at))
    if hidden:
        raise Contradiction("status_filter", f"it hides a job that is {hidden[0]}")
    sync.update(
        known="all",
        frontier_at=None,
        unread=0,
        checked_at={**sync.progress.checked_at, SCAN: known_up_to_at},
    )
