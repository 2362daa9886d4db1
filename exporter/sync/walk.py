"""Reading a list that moves while one pages through it.

Offsets shift under the reader: what is inserted before them moves items down, so that they are seen
twice; what is deleted, or leaves the filter, moves items up, so that they would be missed. So each
page overlaps the one before by an item, and joins the chain only if its first item has been met
already; else the walk steps back until one does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from exporter.errors import SyncError
from exporter.ledger.records import Progress
from exporter.model import JobListQuery, Page
from exporter.sync.asking import Ask, Asking, Purpose, TotalTooLarge
from exporter.sync.evidence import changed_at, is_last

FIRST_STEP_BACK = 10
MOST_STEPS_BACK = 12
FRUITLESS_STEPS_BACK = 3
MOST_RESTARTS = 3
MOST_FRUITLESS_PAGES = 50
MOST_ROUNDS = 12
MOST_EARLY_ENDS = 3


class Seen(Protocol):
    """A set of job identities."""

    count: int

    def add(self, uuids: Iterable[str]) -> None:
        """Add them."""
        ...

    def has(self, uuid: str) -> bool:
        """Whether it was added."""
        ...


class SeenInMemory:
    """A set of job identities for walks of moderate length."""

    def __init__(self) -> None:
        self._uuids: set[str] = set()
        self.count = 0

    def add(self, uuids: Iterable[str]) -> None:
        """See ``Seen``."""
        self._uuids.update(uuids)
        self.count = len(self._uuids)

    def has(self, uuid: str) -> bool:
        """See ``Seen``."""
        return uuid in self._uuids


@dataclass(frozen=True, slots=True)
class Step:
    """A page that has joined the chain."""

    page: Page
    offset: int
    last: bool
    """Whether the list ends with it."""


OnStep = Callable[[Step], bool]
"""Called with each page that joins; True ends the walk."""


@dataclass(slots=True)
class Walk:
    """One walk along a list.

    ``newest_first`` allows a page to join also by time: it then begins with a job that changed
    after the last one of the page before.
    """

    query: Callable[[int], JobListQuery]
    """The query at an offset."""
    seen: Seen
    progress: Callable[[], Progress]
    purpose: Purpose = Purpose.FRESH
    filtered: bool = False
    newest_first: bool = False
    start: int = 0
    reaches_above_at: int | None = None
    """A walk from the middle: its first page must show a job that changed after this moment."""
    strict: bool = True
    """Without it every page joins unless the total says that jobs have left in front of it, and the
    caller counts whether all jobs were met: for servers that put jobs of the same second in another
    order at every call."""
    after: Step | None = None
    """A page that has been read already, which the walk goes on from."""

    def run(self, on_step: OnStep) -> Asking[Step]:
        """Walk until ``on_step`` says so or the list ends; returns the last page that joined."""
        offset, step_back = self.start, FIRST_STEP_BACK
        tries = fruitless = restarts = 0
        previous = self.after
        if previous is not None:
            self.seen.add(job.uuid for job in previous.page.jobs)
            offset = previous.offset + max(1, len(previous.page.jobs) - 1)
        # Who walks again has met most of it before.
        page_size = max(1, self.progress().page_cap)
        most_fruitless = MOST_FRUITLESS_PAGES + 2 * self.seen.count // page_size
        while True:
            page = yield Ask(self.query(offset), self.purpose)
            if not self._joins(page, offset, previous, tries):
                tries += 1
                if tries > MOST_STEPS_BACK:
                    raise SyncError(
                        "order",
                        "the pages of the list do not join: it changes faster than it reads",
                    )
                offset = max(0, offset - step_back)
                step_back *= 2
                restarts += offset == 0
                if restarts > MOST_RESTARTS:
                    raise SyncError("order", "the list is another one at every call")
                continue
            tries, step_back = 0, FIRST_STEP_BACK
            nothing_new = all(self.seen.has(job.uuid) for job in page.jobs)
            self.seen.add(job.uuid for job in page.jobs)
            last = self._ends(page, offset, previous)
            step = Step(page, offset, last)
            if on_step(step) or last:
                return step
            fruitless = fruitless + 1 if nothing_new else 0
            if fruitless > most_fruitless:
                raise SyncError("order", "the list repeats itself without coming to an end")
            offset += max(1, len(page.jobs) - 1)
            previous = step

    def _joins(self, page: Page, offset: int, previous: Step | None, steps_back: int) -> bool:
        if not page.jobs:
            return offset == 0 and previous is None  # an empty list; else it cannot follow
        if offset == 0:
            return True
        if previous is None:
            above = self.reaches_above_at
            return above is None or changed_at(page.jobs[0]) > above
        if not self.strict:
            return _left(previous.page, page) <= _overlap(previous, offset)
        first = page.jobs[0]
        if self.seen.has(first.uuid):
            return True
        return self.newest_first and self._follows_in_time(page, offset, previous, steps_back)

    def _follows_in_time(self, page: Page, offset: int, previous: Step, steps_back: int) -> bool:
        """Within one second the order may differ from call to call: then a page joins if, by the
        total, no more jobs have left than the pages overlap; or if no step back meets a known one."""
        if not previous.page.jobs:
            return False
        last_at, first_at = changed_at(previous.page.jobs[-1]), changed_at(page.jobs[0])
        if first_at != last_at:
            return first_at > last_at
        if steps_back >= FRUITLESS_STEPS_BACK:
            return True
        counted = page.total_count is not None and (
            not self.filtered or self.progress().totals == "filtered"
        )
        return counted and _left(previous.page, page) <= _overlap(previous, offset)

    def _ends(self, page: Page, offset: int, previous: Step | None) -> bool:
        if is_last(self.progress(), page, offset=offset, filtered=self.filtered):
            return True
        # Asked from the last known item on, the server gave that item alone: nothing follows.
        if previous is None or len(page.jobs) != 1:
            return False
        total = page.total_count
        return total is None or self.filtered or offset + 1 >= total


def _left(before: Page, after: Page) -> int:
    """How many jobs have left the list between two pages, by their totals."""
    if before.total_count is None or after.total_count is None:
        return 0
    return before.total_count - after.total_count


def _overlap(previous: Step, offset: int) -> int:
    return end_of(previous) - offset


def run_to_end(walk: Walk, on_step: OnStep) -> Asking[Step]:
    """Walk a whole filtered list, and again if jobs are missing although its pages joined.

    Where the order differs from call to call, they join by luck, or do not: then only how many jobs
    there are can tell when every one has been met. Raises ``TotalTooLarge`` if that is not what the
    total counts.
    """
    early_ends = 0
    for round_number in range(MOST_ROUNDS):
        try:
            step = yield from walk.run(on_step)
        except SyncError as error:
            if error.reason != "order" or walk.progress().totals != "filtered" or round_number:
                raise
            walk.strict = False
            continue
        jobs = _filtered_jobs(walk.progress(), step)
        if walk.seen.count < jobs:
            jobs = yield from _read_inserted(walk, on_step, jobs)
        if walk.seen.count >= jobs:
            return step
        told = step.page.total_count if walk.progress().totals == "filtered" else None
        early_ends += told is not None and end_of(step) < told
        if early_ends >= MOST_EARLY_ENDS:
            raise TotalTooLarge
        walk.strict = False  # it joined, perhaps by luck
    raise SyncError(
        "order",
        "the list cannot be read whole: the order of its jobs differs from call to call",
        advice="Nothing to do: the next sync tries again.",
    )


def _filtered_jobs(progress: Progress, last: Step) -> int:
    """How many jobs a filtered list has, by its last page; 0 while that is not known."""
    if progress.totals == "filtered":
        return last.page.total_count or 0
    if progress.totals == "unknown":  # what is missing may be what has just come: not worth a round
        return 0
    return end_of(last)


def end_of(last: Step) -> int:
    """How many jobs a list has, by the place of its last one."""
    return last.offset + len(last.page.jobs)


def _read_inserted(walk: Walk, on_step: OnStep, jobs: int) -> Asking[int]:
    """What was inserted at the head while the walk was further down, which is not what it missed.
    Returns how many jobs there are, which were ``jobs`` before."""
    offset = 0
    while walk.seen.count < jobs:
        page = yield Ask(walk.query(offset), walk.purpose)
        if walk.progress().totals == "filtered" and page.total_count is not None:
            jobs = page.total_count
        nothing_new = all(walk.seen.has(job.uuid) for job in page.jobs)
        walk.seen.add(job.uuid for job in page.jobs)
        on_step(Step(page, offset, last=False))
        if nothing_new:
            break
        offset += max(1, len(page.jobs) - 1)
    return jobs
