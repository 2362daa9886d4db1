"""Reading lists that change while they are read, page by page.

Offsets shift meanwhile. Jobs that are inserted in front move the others down, so that some are seen twice.
Jobs that are deleted, or no longer match the filter, move the others up, so that some would be missed. So
each page overlaps the one before by a job. It joins if it begins with a job that was already seen, or, in a
sorted list, with one that is newer than the last job. If both are of the same second, the order of these
two may have changed: then the totals must say that no more jobs have left than the pages overlap. If a
page does not join, the reader steps back.
"""

from collections.abc import Callable, Iterable

from exporter.errors import SyncError
from exporter.ledger.store import Marks
from exporter.model import Job
from exporter.profile import KNOWN_DEPTHS, UNKNOWN, TraitName
from exporter.sync.asking import Asking, CollapseUnconfirmed, Contradiction
from exporter.sync.context import (
    FEW_TRIES,
    INFINITE,
    LEAST_COLLAPSE_JOBS,
    MANY_TRIES,
    SWEPT_STATUSES,
    ListView,
    PlacedPage,
    Sync,
    collapsed,
)
from exporter.sync.pages import ask

FIRST_STEP_BACK = 10
"""The reader steps back by this many places, and by twice as many each time that this was not enough."""


class SeenInMemory:
    """The jobs that a reader has seen, in memory: for short lists. ``Marks`` are for lists of any length."""

    def __init__(self) -> None:
        self._uuids: set[str] = set()
        self.count = 0

    def add(self, uuids: Iterable[str]) -> None:
        """Add jobs."""
        self._uuids.update(uuids)
        self.count = len(self._uuids)

    def has(self, uuid: str) -> bool:
        """Whether a job was added."""
        return uuid in self._uuids


Seen = SeenInMemory | Marks
OnPage = Callable[[PlacedPage], bool]
"""Called with each page that joins. If it returns True, the reading ends."""


def read(
    sync: Sync,
    view: ListView,
    on_page: OnPage,
    seen: Seen,
    *,
    after: PlacedPage | None = None,
    until_known: bool = False,
) -> Asking[int | None]:
    """Read a list until ``on_page`` ends it; then returns None. Otherwise read to the end of the list, and
    return how many jobs it has.

    ``after`` is a page that was read before: the reading continues behind it. With ``until_known``, a page
    that shows nothing new ends the reading, too; then returns the list's total.
    """
    previous, offset, longest = after, 0, 0
    steps_back = restarts = fruitless = 0
    if previous is not None:
        seen.add(previous.uuids)
        longest = len(previous.jobs)
        offset = max(1, longest) - 1 + previous.offset
        if _ends(previous, longest, nothing_new=False):
            return _length(previous)
    while True:
        page = yield from ask(sync, view, offset)
        view = page.view
        if not _joins(page, previous, seen, steps_back):
            offset = max(0, page.offset - FIRST_STEP_BACK * 2**steps_back)
            steps_back += 1
            restarts += offset == 0
            if restarts > FEW_TRIES:
                raise SyncError("moving", "the pages of the list do not join: it moves too fast")
            continue
        steps_back, longest = 0, max(longest, len(page.jobs))
        nothing_new = all(seen.has(uuid) for uuid in page.uuids)
        fruitless = fruitless + 1 if nothing_new else 0
        seen.add(page.uuids)
        if fruitless > MANY_TRIES + 2 * seen.count // max(1, sync.page_size):
            raise _endless(view)
        if on_page(page):
            return None
        if until_known and (nothing_new or seen.count >= (page.total or INFINITE)):
            return page.total
        if _ends(page, longest, nothing_new=nothing_new and previous is not None):
            return _length(page)
        previous = page
        offset = max(page.end - 1, page.offset + 1 if len(page.jobs) == 1 else 0)


def _endless(view: ListView) -> SyncError:
    words = "the list repeats itself without coming to an end"
    if view.status is not None:  # the server cuts pages before it filters them
        return Contradiction("status_filter", words)
    return SyncError("moving", f"{words}: it moves too fast")


def _length(last: PlacedPage) -> int:
    """How many jobs a list has: by its total, or by the offset of its last job."""
    if last.may_go_on:
        raise SyncError("depth", f"it cannot be told whether the list ends with {last.end} jobs")
    return last.end if last.total is None else max(last.total, last.end)


def _ends(page: PlacedPage, longest: int, *, nothing_new: bool) -> bool:
    """Whether the list certainly ends with this page: by its total, or, without one, because the page shows
    nothing new and is shorter than the ``longest``. A short page alone proves nothing."""
    if not page.jobs:
        return True
    if page.total_count == page.end:
        return not page.may_go_on
    return page.total is None and nothing_new and len(page.jobs) < min(page.limit, longest)


def _joins(page: PlacedPage, previous: PlacedPage | None, seen: Seen, steps_back: int) -> bool:
    if previous is None or page.offset == 0:
        return True
    if not page.jobs or not previous.jobs:
        return page.offset == previous.end
    view, around = page.view, (*previous.jobs[-2:], *page.jobs[1:2])
    # From the other end of the list, jobs of one second may have another order; one alone has none.
    same_order = view == previous.view or (view.order and len(set(view.order.moments(around))) == 3)
    if (same_order and seen.has(page.jobs[0].uuid)) or view.order is None:
        return seen.has(page.jobs[0].uuid)
    first_at = view.order.moment(page.jobs[0])
    last_at = view.order.moment(previous.jobs[-1])
    few_left = (
        previous.total is not None
        and page.total is not None
        and previous.total - page.total <= previous.end - page.offset
    )
    # Jobs of the same second may come in another order at each call.
    within = first_at == last_at and same_order and (few_left or steps_back >= FEW_TRIES)
    return first_at > last_at or bool(within)


def read_whole(
    sync: Sync, view: ListView, seen: Seen, take: Callable[[PlacedPage], object] | None = None
) -> Asking[int]:
    """Read and take in a list until as many jobs were seen as it has: returns how many, or ``Contradiction``."""
    last: list[PlacedPage] = []

    def on_page(page: PlacedPage) -> bool:
        last[:] = [page]
        (take or sync.take)(page)
        return False

    fruitless = 0
    for _ in range(MANY_TRIES):
        seen_before = seen.count
        jobs = yield from read(sync, view, on_page, seen)
        lowest = last[0]
        at_depth = lowest.end in KNOWN_DEPTHS and sync.profile.depth.value == UNKNOWN
        if at_depth and seen.count < (lowest.total_count or 0):
            jobs = lowest.total_count
            break
        if seen.count < (jobs or 0):  # some were inserted at the head meanwhile
            now = yield from read(sync, view, on_page, seen, until_known=True)
            jobs = jobs if now is None else now
        if jobs is None or seen.count >= jobs:
            _learn_what_totals_count(sync, lowest, seen.count)
            return seen.count
        fruitless = fruitless + 1 if seen.count == seen_before else 0
        if fruitless >= FEW_TRIES:
            break
    # If no job in front of the last one was missed, the list was read completely: its total is wrong.
    whole = view.status is None or seen.count >= lowest.end
    trait: TraitName = "total_count" if whole else "status_filter"
    if at_depth:
        trait = "depth"  # its calibration also finds out whether the total is wrong
    raise Contradiction(trait, f"of {jobs} jobs that it tells of, {seen.count} can be read")


def _learn_what_totals_count(sync: Sync, last: PlacedPage, jobs: int) -> None:
    status = last.view.status
    if status is None or sync.profile.total_count.value != "unknown" or last.total_count is None:
        return
    if last.total_count == jobs:
        if jobs != sync.progress.expected:
            sync.found("total_count", "filtered", f"{jobs} jobs are {status}, and so it says")
    elif last.total_count == sync.progress.expected:
        sync.found(
            "total_count", "cluster", f"{jobs} jobs are {status}, and it says {last.total_count}"
        )


def sweep_active(sync: Sync, head: PlacedPage) -> Asking[None]:
    """Read the active jobs by status, pending ones first: a job that starts meanwhile is seen twice, not missed."""
    for status in SWEPT_STATUSES:
        yield from sweep(sync, status)
    sync.active_is_known()
    if sync.set_aside.keys() & set(head.uuids):  # does the head show them as they were?
        sync.take((yield from ask(sync, head.view)))
        yield from recheck_filter(sync)


def sweep(sync: Sync, status: str) -> Asking[None]:
    """Read all jobs in a status. Those that have left it are set aside until it is known what became of them."""
    known = sync.ledger.count_status(status)
    seen = SeenInMemory()
    yield from read_whole(sync, ListView(sync.order, status), seen)
    if collapsed(known, seen.count) and not sync.collapse_confirmed:
        yield from read_whole(sync, ListView(sync.order, status), seen)
        looked_up = sync.order is not None and sync.progress.frontier_at is None
        many = known - seen.count > LEAST_COLLAPSE_JOBS
        if collapsed(known, seen.count) and many and not looked_up:
            words = f"of {known} {status} jobs the server shows {seen.count}"
            raise CollapseUnconfirmed(words)
    changed_before_at = sync.now_at - sync.lag_seconds if sync.lag_seconds else INFINITE

    def stays(job: Job) -> bool:
        if seen.has(job.uuid) or (job.modified_at or 0) >= changed_before_at:
            return True
        sync.set_aside[job.uuid] = job
        return False

    sync.ledger.set_aside(status, stays)


def recheck_filter(sync: Sync) -> Asking[None]:
    """If jobs that were set aside are still in their status, as the list without a filter shows, read that
    status again. If they are still missing there, the filter hides them. Raises ``Contradiction``."""
    unchanged = [
        job
        for uuid, job in sync.ledger.known(sync.set_aside).items()
        if job == sync.set_aside[uuid]
    ]
    if not unchanged or not sync.past_lag:
        return
    status, seen = unchanged[0].status, SeenInMemory()
    yield from read_whole(sync, ListView(sync.order, status), seen)
    if any(job.status == status and not seen.has(job.uuid) for job in unchanged):
        raise Contradiction("status_filter", f"it hides a job that is {status}")
