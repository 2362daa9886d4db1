"""Reading a list that moves while one pages through it; the only reader.

Offsets shift under it: what is inserted before them moves jobs down, so that they are seen twice;
what is deleted, or leaves the filter, moves jobs up, so that they would be missed. So each page
overlaps the one before by a job, and joins only if it begins with one that was met, or, in a sorted
list, with one that is newer than the last. Where both are of one second, whose order may change, the
totals must say that no more jobs have left than the pages overlap. Else the reader steps back.
"""

from collections.abc import Callable, Iterable

from exporter.errors import SyncError
from exporter.ledger.store import Marks
from exporter.model import PAGE_LIMIT, Job
from exporter.profile import UNKNOWN, WINDOWS, TraitName
from exporter.sync.asking import Asking, CollapseUnconfirmed, Contradiction
from exporter.sync.context import (
    FEW_TRIES,
    INFINITE,
    LEAST_COLLAPSE_JOBS,
    MANY_TRIES,
    SWEPT_STATUSES,
    Listing,
    Order,
    Placed,
    Sync,
    collapsed,
)
from exporter.sync.pages import ask

FIRST_STEP_BACK = 10
"""So many places, and twice as many each time that it was not enough."""
SHORTEST_WINDOW = 5_000
"""A list that ends with so many jobs or more, just where servers stop to show them, may go on."""


class MetInMemory:
    """The jobs that a reader has met, of a list of moderate length; ``Marks`` are those of any."""

    def __init__(self) -> None:
        self._uuids: set[str] = set()
        self.count = 0

    def add(self, uuids: Iterable[str]) -> None:
        """Add them."""
        self._uuids.update(uuids)
        self.count = len(self._uuids)

    def has(self, uuid: str) -> bool:
        """Whether it was added."""
        return uuid in self._uuids


Met = MetInMemory | Marks
OnPage = Callable[[Placed], bool]
"""Called with each page that joins; True ends the reading."""


def read(
    sync: Sync,
    listing: Listing,
    on_page: OnPage,
    met: Met,
    *,
    after: Placed | None = None,
    until_known: bool = False,
) -> Asking[int | None]:
    """Read until ``on_page`` says so (None), or to the end: how many jobs the list has, by the place
    of the last one. ``after`` is a page that was read before. ``until_known``: only down to a page
    that shows nothing new."""
    previous, offset, longest = after, 0, 0
    steps_back = restarts = fruitless = 0
    if previous is not None:
        met.add(previous.uuids)
        longest = len(previous.jobs)
        offset = max(1, longest) - 1 + previous.offset
        if _ends(previous, longest, nothing_new=False):
            return _length(previous)
    while True:
        placed = yield from ask(sync, listing, offset)
        if not _joins(listing, placed, previous, met, steps_back):
            offset = max(0, placed.offset - FIRST_STEP_BACK * 2**steps_back)
            steps_back += 1
            restarts += offset == 0
            if restarts > FEW_TRIES:
                raise SyncError("moving", "the pages of the list do not join: it moves too fast")
            continue
        steps_back, longest = 0, max(longest, len(placed.jobs))
        nothing_new = all(met.has(uuid) for uuid in placed.uuids)
        fruitless = fruitless + 1 if nothing_new else 0
        met.add(placed.uuids)
        if fruitless > MANY_TRIES + 2 * met.count // max(1, sync.page_size):
            raise _endless(listing)
        if on_page(placed):
            return None
        if until_known and (nothing_new or met.count >= (placed.total or INFINITE)):
            return placed.total
        if _ends(placed, longest, nothing_new=nothing_new and previous is not None):
            return _length(placed)
        previous = placed
        offset = max(placed.end - 1, placed.offset + 1 if len(placed.jobs) == 1 else 0)


def _endless(listing: Listing) -> SyncError:
    words = "the list repeats itself without coming to an end"
    if listing.status is not None:  # it is cut into pages before it is filtered
        return Contradiction("status_filter", words)
    return SyncError("moving", words)


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
    listing: Listing, placed: Placed, previous: Placed | None, met: Met, steps_back: int
) -> bool:
    if previous is None or placed.offset == 0:
        return True
    if not placed.jobs or not previous.jobs:
        return placed.offset == previous.end
    if met.has(placed.jobs[0].uuid) or listing.order is None:
        return met.has(placed.jobs[0].uuid)
    first_at = listing.order.moment(placed.jobs[0])
    last_at = listing.order.moment(previous.jobs[-1])
    few_left = (
        previous.total is not None
        and placed.total is not None
        and previous.total - placed.total <= previous.end - placed.offset
    )
    # Within one second the order may differ from call to call.
    within = first_at == last_at and (few_left or steps_back >= FEW_TRIES)
    return first_at > last_at or within


def read_down(
    sync: Sync, order: Order, head: Placed, known_at: float, most_pages: float = INFINITE
) -> Asking[None]:
    """Read a sorted list from its head down to below a moment, and take it in. If that is not reached,
    the frontier is where the reading ended, and not all active jobs are known."""
    pages, lowest_at = 0, INFINITE

    def on_page(placed: Placed) -> bool:
        nonlocal pages, lowest_at
        if placed is not head:
            sync.take(placed)
        pages += 1
        lowest_at = min(lowest_at, order.moment(placed.jobs[-1])) if placed.jobs else -INFINITE
        return lowest_at < known_at or pages >= most_pages

    sync.take_head(order, head)
    if not on_page(head):
        try:
            ended = yield from read(sync, Listing(order), on_page, MetInMemory(), after=head)
            lowest_at = lowest_at if ended is None else -INFINITE
        except SyncError as error:
            if error.reason != "depth":  # else it was read as far as the server shows any
                raise
    if lowest_at >= known_at:
        sync.update(frontier_at=int(lowest_at) + 1, known="")


def read_whole(
    sync: Sync, listing: Listing, met: Met, take: Callable[[Placed], object] | None = None
) -> Asking[int]:
    """Read a list, and take it in, until as many jobs were met as it has; returns how many. Raises
    ``Contradiction`` if its total says otherwise for long."""
    last: list[Placed] = []

    def on_page(placed: Placed) -> bool:
        last[:] = [placed]
        (take or sync.take)(placed)
        return False

    fruitless = 0
    for _ in range(MANY_TRIES):
        met_before = met.count
        jobs = yield from read(sync, listing, on_page, met)
        lowest = last[0]
        if met.count < (jobs or 0):  # some were inserted while it was further down
            now = yield from read(sync, listing, on_page, met, until_known=True)
            jobs = jobs if now is None else now
        if jobs is None or met.count >= jobs:
            _learn_what_totals_count(sync, lowest, met.count)
            return met.count
        fruitless = fruitless + 1 if met.count == met_before else 0
        if fruitless >= FEW_TRIES:
            break
    # A list that ends where as many have been met as stand before it is whole: its total is wrong.
    whole = listing.status is None or met.count >= lowest.end
    trait: TraitName = "total_count" if whole else "status_filter"
    if lowest.end in WINDOWS and sync.profile.depth.value == UNKNOWN:
        trait = "depth"  # which tells of the total, too
    raise Contradiction(trait, f"of {jobs} jobs that it tells of, {met.count} can be read")


def _learn_what_totals_count(sync: Sync, last: Placed, jobs: int) -> None:
    status = last.listing.status
    if status is None or sync.profile.total_count.value != "unknown" or last.told is None:
        return
    if last.told == jobs:
        if jobs != sync.progress.expected:
            sync.found("total_count", "filtered", f"{jobs} jobs are {status}, and so it says")
    elif last.told == sync.progress.expected:
        sync.found("total_count", "cluster", f"{jobs} jobs are {status}, and it says {last.told}")


def sweep_active(sync: Sync, head: Placed) -> Asking[None]:
    """The active jobs by status; pending first: a job that starts in between is seen twice."""
    for status in SWEPT_STATUSES:
        yield from sweep(sync, status)
    sync.active_is_known()
    if sync.left.keys() & set(head.uuids):  # do they stand there as they did?
        sync.take((yield from ask(sync, head.listing)))
        yield from hold_filter(sync)


def sweep(sync: Sync, status: str) -> Asking[None]:
    """Read all jobs in a status. Those that were in it, and are not any more, are set aside until it
    is known what became of them."""
    known = sync.ledger.count_status(status)
    met = MetInMemory()
    yield from read_whole(sync, Listing(sync.order, status), met)
    if collapsed(known, met.count) and not sync.collapse_confirmed:
        yield from read_whole(sync, Listing(sync.order, status), met)
        looked_up = sync.order is not None and sync.progress.frontier_at is None
        many = known - met.count > LEAST_COLLAPSE_JOBS
        if collapsed(known, met.count) and many and not looked_up:
            raise CollapseUnconfirmed(f"{status} jobs", known, met.count)
    changed_before_at = sync.now_at - sync.lag_seconds if sync.lag_seconds else INFINITE

    def stays(job: Job) -> bool:
        if met.has(job.uuid) or (job.modified_at or 0) >= changed_before_at:
            return True
        sync.left[job.uuid] = job
        return False

    sync.ledger.leave(status, stays)


def hold_filter(sync: Sync) -> Asking[None]:
    """Those that have left their status, and stand as they did: does it show them when it is asked
    again? Raises ``Contradiction``."""
    stand = [job for uuid, job in sync.ledger.known(sync.left).items() if job == sync.left[uuid]]
    if not stand or not sync.calm:
        return
    status, met = stand[0].status, MetInMemory()
    yield from read_whole(sync, Listing(sync.order, status), met)
    if any(job.status == status and not met.has(job.uuid) for job in stand):
        raise Contradiction("status_filter", f"it hides a job that is {status}")
