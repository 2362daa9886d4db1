"""The head of the list: the first page that a sync reads. It tells the time, and may be the whole list."""

from exporter.errors import RefusedError
from exporter.model import PAGE_LIMIT
from exporter.sync import zone
from exporter.sync.asking import Asking, Contradiction
from exporter.sync.calibration import calibrate_depth
from exporter.sync.context import BY_CHANGE, BY_SUBMISSION, INFINITE, ListView, PlacedPage, Sync
from exporter.sync.pages import another_list, ask, is_refusal


def read_head(sync: Sync) -> Asking[PlacedPage]:
    """Read the first page of the whole list, in the best order that is known, or may be possible."""
    profile = sync.profile
    if profile.total_count.value == "none" and 0 <= profile.total_count.retry_at <= sync.now_at:
        sync.found("total_count", "unknown", profile.total_count.evidence)
    order = sync.order
    if order is None and sync.profile.due("order", sync.now_at):
        order = BY_CHANGE
    try:
        head = yield from ask(sync, ListView(order))
    except (RefusedError, Contradiction) as error:
        known = sync.order is not None
        if not is_refusal(error) or order is None or (known and isinstance(error, RefusedError)):
            raise
        head = yield from ask(sync, ListView(None))  # if the server is in trouble, this fails, too
        if known:
            raise
    if sync.memory.collapse_at is not None and another_list(sync, head):
        sync.begin_anew()  # it is believed
    _tell_time(sync, head)
    zone.learn_from_head(sync, head)
    if zone.follow(sync):
        head = yield from ask(sync, head.view)
        _tell_time(sync, head)
    if sync.profile.depth.contradictions and sync.profile.due("depth", sync.now_at):
        yield from calibrate_depth(sync, head)
    return head


def _tell_time(sync: Sync, head: PlacedPage) -> None:
    sync.tell_time(head.answer.server_time_at or sync.now_at)
    sync.intake.hide_out_of_window()
    if sync.progress.began_at is None:
        tomorrow_at = sync.now_at + 86400  # no zone makes a time later than this: it is wrong
        stamps = (
            at for job in head.jobs for at in (BY_CHANGE.moment(job), BY_SUBMISSION.moment(job))
        )
        newest_at = max((at for at in stamps if at <= tomorrow_at), default=0)
        # What happened in the second in which the ledger began counts as before it.
        sync.intake.began_at = float(max(int(sync.now_at), newest_at) + 1)
        sync.update(began_at=sync.intake.began_at)


def is_whole(sync: Sync, head: PlacedPage) -> Asking[bool]:
    """Whether the head is the whole list: by its total, if it is not full; else because nothing follows it."""
    size = len(head.jobs)
    if head.total is not None:
        if head.total != size:
            return False
        known = len(sync.ledger.known(head.uuids)) == size == sync.ledger.size
        if size < PAGE_LIMIT or known:
            return True
    elif size >= sync.page_size > 1 and sync.progress.complete and sync.ledger.size > size:
        return False
    if not size:
        return True
    more = yield from ask(sync, ListView(sync.order), size - 1)
    return more.uuids == head.uuids[-1:]  # if its last job is not on that page, it proves nothing


def take_whole(sync: Sync, head: PlacedPage) -> str:
    """Take in a head that is the whole list: jobs that are not on it are gone. Returns the strategy."""
    sync.take(head)
    sync.ledger.suspect_between(INFINITE, -INFINITE, keep=head.uuids)
    sync.update(newest_at=None)
    sync.note_read_whole(at=sync.now_at)
    return "delta" if head.jobs and BY_CHANGE.sorts(head.jobs) else "scan"
