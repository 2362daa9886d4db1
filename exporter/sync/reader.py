"""Reading a list that moves while one pages through it; the only reader.

Offsets shift under it: what is inserted before them moves jobs down, so that they are seen twice;
what is deleted, or leaves the filter, moves jobs up, so that they would be missed. So each page
overlaps the one before by a job, and joins only if it begins with one that was met, or, in a sorted
list, with one that is newer than the last; or if the totals say that no more jobs have left than the
pages overlap. Else the reader steps back.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from exporter.errors import SyncError
from exporter.model import PAGE_LIMIT, Job
from exporter.profile import WINDOWS, TraitName
from exporter.sync.asking import Asking, CollapseUnconfirmed, Contradiction, Purpose
from exporter.sync.context import (
    FEW_TRIES,
    LEAST_COLLAPSE_JOBS,
    MANY_TRIES,
    Listing,
    Placed,
    Sync,
    collapsed,
)

FIRST_STEP_BACK = 10
MOST_FRUITLESS_PAGES = 50
SHORTEST_WINDOW = 5_000
"""A list that ends with so many jobs or more, just where servers stop to show them, may go on."""


class Met(Protocol):
    """The jobs that a reader has met."""

    count: int

    def add(self, uuids: Iterable[str]) -> None:
        """Add them."""
        ...

    def has(self, uuid: str) -> bool:
        """Whether it was added."""
        ...


class MetInMemory:
    """For lists of moderate length."""

    def __init__(self) -> None:
        self._uuids: set[str] = set()
        self.count = 0

    def add(self, uuids: Iterable[str]) -> None:
        """See ``Met``."""
        self._uuids.update(uuids)
        self.count = len(self._uuids)

    def has(self, uuid: str) -> bool:
        """See ``Met``."""
        return uuid in self._uuids


OnPage = Callable[[Placed], bool]
"""Called with each page that joins; True ends the reading."""


def read(
    sync: Sync,
    listing: Listing,
    on_page: OnPage,
    met: Met,
    *,
    purpose: Purpose = Purpose.FRESH,
    after: Placed | None = None,
    strict: bool = True,
) -> Asking[int | None]:
    """Read until ``on_page`` says so (None), or to the end: how many jobs the list has, by the place
    of the last one. ``after`` is a page that was read before. Without ``strict``, pages join by
    totals alone: for servers that put equal jobs in another order at every call."""
    previous, offset = after, 0
    if previous is not None:
        met.add(previous.uuids)
        offset = max(1, len(previous.jobs)) - 1 + previous.offset
        if _ends(previous, 0, nothing_new=False):
            return _length(previous)
    steps_back = fruitless = restarts = 0
    longest = len(previous.jobs) if previous is not None else 0
    while True:
        placed = yield from sync.ask(listing, offset, purpose)
        if previous is not None and not placed.jobs and placed.offset == previous.end:
            return _length(placed)
        if not _joins(listing, placed, previous, met, steps_back, strict=strict):
            offset = max(0, placed.offset - FIRST_STEP_BACK * 2**steps_back)
            steps_back += 1
            restarts += offset == 0
            if steps_back > MANY_TRIES or restarts > FEW_TRIES:
                raise SyncError("moving", "the pages of the list do not join: it moves too fast")
            continue
        steps_back, longest = 0, max(longest, len(placed.jobs))
        nothing_new = all(met.has(uuid) for uuid in placed.uuids)
        fruitless = fruitless + 1 if nothing_new else 0
        if fruitless > MOST_FRUITLESS_PAGES + 2 * met.count // max(1, sync.page_size):
            raise SyncError("moving", "the list repeats itself without coming to an end")
        met.add(placed.uuids)
        if on_page(placed):
            return None
        if _ends(placed, longest, nothing_new=nothing_new and previous is not None):
            return _length(placed)
        previous = placed
        offset = max(placed.end - 1, placed.offset + 1 if len(placed.jobs) == 1 else 0)


def _length(last: Placed) -> int:
    """How many jobs a list has: as its total says, or by the place of its last one."""
    if last.total is None and last.end >= SHORTEST_WINDOW and last.end in WINDOWS:
        raise SyncError("depth", f"it cannot be told whether the list ends with {last.end} jobs")
    return last.end if last.total is None else max(last.total, last.end)


def _ends(placed: Placed, longest: int, *, nothing_new: bool) -> bool:
    """Whether the list certainly ends with a page: as its total says, or as nothing follows the jobs
    that were met, on a page shorter than the ``longest``. A short page alone proves nothing."""
    if not placed.jobs:
        return True
    # A page as long as was asked for proves nothing: a server may count up to a limit only.
    if placed.told == placed.end:
        return len(placed.jobs) < PAGE_LIMIT
    return placed.total is None and nothing_new and len(placed.jobs) < min(placed.limit, longest)


def _joins(
    listing: Listing,
    placed: Placed,
    previous: Placed | None,
    met: Met,
    steps_back: int,
    *,
    strict: bool,
) -> bool:
    if previous is None or placed.offset == 0:
        return True
    if not placed.jobs or not previous.jobs:
        return False
    left = None
    if previous.total is not None and placed.total is not None:
        left = previous.total - placed.total
    few_left = left is not None and left <= previous.end - placed.offset
    if not strict:
        return left is None or few_left
    if met.has(placed.jobs[0].uuid) or listing.order is None:
        return met.has(placed.jobs[0].uuid)
    first_at = listing.order.moment(placed.jobs[0])
    last_at = listing.order.moment(previous.jobs[-1])
    # Within one second the order may differ from call to call.
    within = first_at == last_at and (few_left or steps_back >= FEW_TRIES)
    return first_at > last_at or within


def read_whole(
    sync: Sync, listing: Listing, met: Met, on_page: OnPage, purpose: Purpose = Purpose.FRESH
) -> Asking[int]:
    """Read a list until as many jobs were met as it has; returns how many. Raises ``Contradiction``
    if its total says otherwise for long."""
    strict, fruitless, end = True, 0, 0

    def on_each(placed: Placed) -> bool:
        nonlocal end
        end = placed.end
        return on_page(placed)

    for _ in range(MANY_TRIES):
        met_before = met.count
        try:
            jobs = yield from read(sync, listing, on_each, met, purpose=purpose, strict=strict)
        except SyncError as error:
            if error.reason != "moving" or not strict:
                raise
            strict = False
            continue
        if jobs is None or met.count >= jobs:
            return jobs or met.count
        jobs = yield from _read_inserted(sync, listing, met, on_page, jobs=jobs, purpose=purpose)
        if met.count >= jobs:
            return jobs
        strict = False  # it joined, perhaps by luck
        fruitless = fruitless + 1 if met.count == met_before else 0
        if fruitless >= FEW_TRIES:
            break
    # A list that ends where as many have been met as stand before it is whole: its total is wrong.
    whole = listing.status is None or met.count >= end
    trait: TraitName = "total_count" if whole else "status_filter"
    raise Contradiction(trait, f"of {jobs} jobs that it tells of, {met.count} can be read")


def _read_inserted(
    sync: Sync, listing: Listing, met: Met, on_page: OnPage, *, jobs: int, purpose: Purpose
) -> Asking[int]:
    """What was inserted at the head while the reader was further down, of a list of so many jobs.
    Returns how many there are now, as far as that is told."""
    offset = 0
    while met.count < jobs:
        placed = yield from sync.ask(listing, offset, purpose)
        jobs = placed.total if placed.total is not None else jobs
        nothing_new = all(met.has(uuid) for uuid in placed.uuids)
        met.add(placed.uuids)
        on_page(placed)
        if nothing_new:
            break
        offset += max(1, len(placed.jobs) - 1)
    return jobs


def sweep(sync: Sync, status: str, purpose: Purpose = Purpose.FRESH) -> Asking[None]:
    """Read all jobs in a status. Those that were in it, and are not any more, are set aside until it
    is known what became of them."""
    known = sync.ledger.count_status(status)
    listing, met = Listing(sync.order, status), MetInMemory()
    last: list[Placed] = []

    def on_page(placed: Placed) -> bool:
        last[:] = [placed]
        sync.take(placed)
        return False

    jobs = yield from read_whole(sync, listing, met, on_page, purpose)
    _learn_what_totals_count(sync, status, last[0], jobs)
    if collapsed(known, met.count) and not sync.collapse_confirmed:
        jobs = yield from read_whole(sync, listing, met, on_page, purpose)
        looked_up = sync.order is not None and sync.progress.frontier_at is None
        many = known - met.count > LEAST_COLLAPSE_JOBS
        if collapsed(known, met.count) and many and not looked_up:
            raise CollapseUnconfirmed(f"{status} jobs", known, met.count)
    changed_before_at = sync.now_at - sync.lag_seconds if sync.lag_seconds else float("inf")

    def stays(job: Job) -> bool:
        if met.has(job.uuid) or (job.modified_at or 0) >= changed_before_at:
            return True
        sync.left[job.uuid] = job
        return False

    sync.ledger.leave(status, stays)


def _learn_what_totals_count(sync: Sync, status: str, last: Placed, jobs: int) -> None:
    if sync.profile.total_count.value != "unknown" or last.told is None:
        return
    if last.told == jobs:
        if jobs != sync.progress.expected:
            sync.found("total_count", "filtered", f"{jobs} jobs are {status}, and so it says")
    elif last.told == sync.progress.expected:
        sync.found("total_count", "cluster", f"{jobs} jobs are {status}, and it says {last.told}")
