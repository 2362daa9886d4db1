"""What the parts of a sync share: its state (``Sync``), its settings, and what lists, orders and pages are."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from random import Random
from typing import Any

import msgspec

from exporter.ledger.records import Change, Progress
from exporter.ledger.store import Ledger, TimeColumn
from exporter.model import PAGE_LIMIT, Job, Page, Purpose
from exporter.profile import KNOWN_DEPTHS, LEAST_LIMIT, NONE, Profile, Trait, TraitName
from exporter.snapshot import RECENT_SECONDS, SyncFailure
from exporter.sync.asking import Allowance
from exporter.sync.intake import LATE_SECONDS, Intake, StaleRecords

MANY_TRIES = 12
FEW_TRIES = 3
"""After so many attempts another way is tried, if any: many if what is read moves, few if it cannot have changed."""

SWEPT_STATUSES = ("pending", "running")
"""The active statuses that are queried, if the server can filter."""

SCAN = "scan"
"""The check that reads the whole list."""

THOROUGH, THOROUGH_SECONDS = "thorough", 30.0
"""At short intervals, the last ``LATE_SECONDS`` are read again, and set-aside jobs looked up, only so often."""

LEAST_COLLAPSE_JOBS = 10
COLLAPSED_PART = 0.4
"""A collapse, not believed at once: more jobs than this, and more than this part of them, are gone, or all are."""

CONFIRMING_SECONDS = 5.0
"""A collapse is believed if a sync finds it again after this time."""

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says about syncing one cluster."""

    interval_seconds: float = 60.0
    history_seconds: float = INFINITE
    """How old ended jobs may be to be counted; infinite for all, 0 for none."""
    audit_interval_seconds: float = 600.0
    zone_configured: bool = True
    """Whether the zone of times that carry none is configured."""
    zone_name: str = ""
    """The configured zone."""

    @property
    def rest_interval_seconds(self) -> float:
        """How long a list may rest until it is checked, or scanned. It is a little less than an audit
        interval, so that everything is checked within one audit interval of the last change."""
        return max(0.0, self.audit_interval_seconds - 2 * self.interval_seconds)


@dataclass(frozen=True, slots=True)
class Order:
    """The moment by which a list is sorted, newest first."""

    sort_key: str | None
    column: TimeColumn

    def moment(self, job: Job) -> int:
        """The moment of a job; 0 if it has none."""
        at: int | None = getattr(job, self.column)
        return at or 0

    def moments(self, jobs: Sequence[Job]) -> list[int]:
        """The moments of jobs; 0 for those that have none."""
        return [at or 0 for at in map(attrgetter(self.column), jobs)]

    def sorts(self, jobs: Sequence[Job]) -> bool:
        """Whether these jobs are sorted in this order."""
        moments = self.moments(jobs)
        return moments == sorted(moments, reverse=True)


BY_CHANGE = Order("modified_time", "modified_at")
BY_SUBMISSION = Order("submitted_time", "submitted_at")
BY_DEFAULT = Order(None, "submitted_at")
"""The server's default order, if it is by submission."""
ORDERS = {
    "change": BY_CHANGE,
    "change_only": BY_CHANGE,
    "submission": BY_SUBMISSION,
    "default": BY_DEFAULT,
}


@dataclass(frozen=True, slots=True)
class ListView:
    """One of the lists that the server shows: all jobs, or those in a status, in an order or in any (None)."""

    order: Order | None = None
    status: str | None = None
    from_end: bool = False
    """Whether pages are always asked for from the list's end, if the server shows only a part from each end."""


@dataclass(frozen=True, slots=True)
class PlacedPage:
    """A page, and its place in its list."""

    jobs: Sequence[Job]
    offset: int
    total: int | None
    """How many jobs this list has; None if that is not told, or not to be believed."""
    total_count: int | None
    """``total_count`` as the server sent it, whatever it counts; None if it is not to be believed."""
    view: ListView
    limit: int
    """How many jobs were asked for."""
    answer: Page
    """The answer as the server sent it."""
    depth: float = INFINITE
    """How many jobs of a list the server shows, or counts, as far as was known."""
    most: int = PAGE_LIMIT
    """How many jobs a page can have, as far as was known."""

    @property
    def may_go_on(self) -> bool:
        """Whether jobs may follow though by its total the list ends here: a server may count, or show, only so many."""
        at_limit = self.end == self.depth or (is_limit(self.end) and self.total is None)
        return at_limit or len(self.answer.jobs) >= self.most

    @property
    def rank(self) -> int:
        """The place of its first job, counted from the list's end: it stands still while jobs are submitted."""
        return self.offset - (self.total or 0)

    @property
    def end(self) -> int:
        """The offset behind its last job."""
        return self.offset + len(self.jobs)

    @property
    def uuids(self) -> list[str]:
        """The identities of its jobs."""
        return [job.uuid for job in self.jobs]


@dataclass(slots=True)
class Memory:
    """What is remembered of all syncs, also of failed ones. After a restart, only the profile: the ledger has it."""

    profile: Profile = field(default_factory=Profile)
    stale_records: StaleRecords = field(default_factory=StaleRecords)
    collapse_at: float | None = None
    """When the list was first seen to collapse; None if no collapse is in question."""
    mismatch_at: float | None = None
    """Since when the total does not fit the ledger."""
    unexplained: int = 0
    """In how many syncs in a row the total could not be made to fit."""
    refused: int = 0
    """In how many syncs in a row the server has failed at a request: at that one, or at any."""
    moved_at: float = INFINITE
    """The server's time at the last sync that found a change; infinite before the first sync."""
    obstacle: SyncFailure | None = None
    """Why the history could not be read on the last time."""
    missed: set[str] = field(default_factory=set)
    """Active jobs that the last scan has met, and that syncs by status ought to have seen."""

    @property
    def refreshed(self) -> bool:
        """Whether a sync has succeeded."""
        return self.moved_at != INFINITE


@dataclass(slots=True)
class Sync:
    """One sync of one cluster."""

    ledger: Ledger
    memory: Memory
    intake: Intake
    settings: SyncSettings
    allowance: Allowance
    rng: Random
    now_at: float
    """The server's time, as well as it is known."""
    purpose: Purpose = Purpose.FRESH
    """What its calls are for at the moment."""
    head: PlacedPage | None = None
    """The head of the list, as last seen by this sync."""
    set_aside: dict[str, Job] = field(default_factory=dict)
    """Jobs that this sync has set aside, as they were before."""
    known_at_begin: int = field(init=False)
    totals: dict[str | None, int] = field(default_factory=dict)
    """The last total of each list, by status; None is the whole list."""

    def __post_init__(self) -> None:
        expected = self.progress.expected
        self.known_at_begin = self.ledger.size if expected is None else expected
        self.tell_time(self.now_at)

    def tell_time(self, now_at: float) -> None:
        """Set the server's time, and with it the moment at which the wanted history begins."""
        self.now_at = self.intake.now_at = now_at
        # At least the recent jobs, so that one that is still on the head is not taken for new.
        kept_seconds = max(self.settings.history_seconds, RECENT_SECONDS)
        self.intake.window_from_at = now_at - kept_seconds

    @property
    def progress(self) -> Progress:
        """How far the ledger is known to equal the list."""
        return self.ledger.progress

    @property
    def profile(self) -> Profile:
        """What the server is known to do."""
        return self.memory.profile

    def update(self, **changes: Any) -> None:
        """Change fields of the progress. They are saved with the transaction."""
        self.ledger.progress = msgspec.structs.replace(self.ledger.progress, **changes)

    def note_checked(self, *names: str, at: float) -> None:
        """Note that checks have shown what was true at a moment."""
        self.update(checked_at={**self.progress.checked_at, **dict.fromkeys(names, at)})

    def note_read_whole(self, *, at: float) -> None:
        """Note that the whole list was read, as it was at a moment: all jobs are known."""
        self.intake.stale_records.drop_unknown(self.ledger)
        self.update(known="all", frontier_at=None, unread=0)
        self.note_checked(SCAN, at=at)

    def active_is_known(self) -> None:
        """Note that all active jobs are known."""
        self.update(known=self.progress.known or "active")

    def contradict(self, trait: TraitName, evidence: str) -> None:
        """Note that an answer has contradicted a trait, so that it is calibrated again."""
        pause_seconds = self.settings.audit_interval_seconds
        self.memory.profile = self.profile.contradicted(trait, evidence, self.now_at, pause_seconds)
        if trait == "total_count" and self.profile.total_count.retry_at > self.now_at:
            self.found(trait, NONE, evidence)

    def forget(self, trait: TraitName) -> None:
        """Make a trait unknown, although nothing has contradicted it."""
        self.memory.profile = msgspec.structs.replace(self.profile, **{trait: Trait()})

    def begin_anew(self) -> None:
        """Delete all jobs, and what is known of the list, because its times were read wrong, or it is
        another list. The counters stay, and nothing that happened before is counted again."""
        self.ledger.clear()
        self.intake.was_complete = False
        self.forget("order")
        self.update(
            began_at=None, newest_at=None, frontier_at=None, unread=0, known="",
            checked_at={}, profile=self.profile,
        )  # fmt: skip

    def found(self, trait: TraitName, value: str, evidence: str) -> None:
        """Note the value of a trait, and its evidence."""
        self.memory.profile = self.profile.found(trait, value, evidence, self.now_at)

    # -- what the profile says -------------------------------------------------------------------

    @property
    def order(self) -> Order | None:
        """The order in which the server is known to sort the list."""
        return ORDERS.get(self.profile.order.value)

    @property
    def totals_told(self) -> bool:
        """Whether ``total_count`` can be used, as far as is known."""
        return self.profile.total_count.value != "none"

    @property
    def filters(self) -> bool:
        """Whether the server can filter jobs by status."""
        return self.profile.status_filter.value not in ("none", "unknown")

    @property
    def lag_seconds(self) -> float:
        """How far an answer may be behind, by the profile or by this sync's own answers."""
        return max(self.profile.lag_seconds, self.intake.stale_seconds)

    @property
    def thorough(self) -> bool:
        """Whether this sync does what need not be done every time: see ``THOROUGH_SECONDS``."""
        return not self.just_now(self.progress.checked_at.get(THOROUGH, 0.0), THOROUGH_SECONDS)

    @property
    def past_lag(self) -> bool:
        """Whether the last change is longer ago than the lag, so that late answers say the same, too."""
        rested_seconds = abs(self.now_at - self.memory.moved_at)
        return not self.lag_seconds or self.lag_seconds < rested_seconds < INFINITE

    @property
    def moved(self) -> bool:
        """Whether this sync has seen a change of a job, or of the total."""
        unmoved = (None, self.known_at_begin)
        return bool(self.intake.changes) or self.progress.expected not in unmoved

    @property
    def collapse_confirmed(self) -> bool:
        """Whether a collapse may be believed: an earlier sync has found one, long enough ago."""
        claimed_at = self.memory.collapse_at
        return claimed_at is not None and abs(self.now_at - claimed_at) >= CONFIRMING_SECONDS

    @property
    def page_size(self) -> int:
        """How many jobs a full page has, as far as is known."""
        value = self.profile.page_size.value
        return int(value) if value.isdigit() else 1

    @property
    def reaches_edge(self) -> bool:
        """Whether all jobs are known down to the edge: to where the wanted history ends."""
        frontier_at = self.progress.frontier_at
        if frontier_at is None:
            return self.progress.newest_at is not None
        return self.has_edge and frontier_at <= self.intake.window_from_at

    @property
    def has_edge(self) -> bool:
        """Whether the history has an edge: behind it nothing needs to be read. Without a filter there is
        none, because active jobs may be anywhere, nor in a list that is not by change."""
        return self.order is BY_CHANGE and self.filters

    def total_fits(self) -> bool:
        """Whether the ledger and what is unread are as many jobs as the list has."""
        unread = self.progress.unread
        return unread is not None and self.ledger.size + unread == self.progress.expected

    @property
    def depth(self) -> float:
        """How many jobs the server shows of a list, or counts: a total may be that limit if more are known, or a page
        beyond a limit was once missing."""
        total = self.progress.expected or 0
        doubted = self.ledger.size > total or self.profile.depth.contradictions
        return total if doubted and is_limit(total) else self.profile.most_offset

    @property
    def length(self) -> int:
        """How many jobs the list has, as far as is told; where totals are not to be believed, how many are known."""
        return self.progress.expected or (0 if self.totals_told else self.ledger.size)

    def pages_for(self, jobs: int) -> int:
        """About how many calls it takes to read this many jobs."""
        return max(1, -(-jobs // max(1, min(PAGE_LIMIT, self.page_size) - 1)))

    @property
    def sweep_pages(self) -> int:
        """About how many calls a sweep takes."""
        return sum(self.pages_for(self.ledger.count_status(status)) for status in SWEPT_STATUSES)

    def just_now(self, at: float, seconds: float) -> bool:
        """Whether a moment is less than so many seconds ago. One in the future was noted by a clock that was wrong."""
        return 0 <= self.now_at - at < seconds

    def may_call(self) -> bool:
        """Whether the budget leaves a call for the current purpose."""
        return self.allowance(self.purpose) >= 1

    def newest_on(self, order: Order, head: PlacedPage) -> int | None:
        """The newest moment on a head; None if it is empty. A future one does not count: changes come before it."""
        moments = [order.moment(job) for job in head.jobs]
        past = [at for at in moments if at <= self.now_at + LATE_SECONDS]
        return max(past, default=int(self.now_at) if moments else None)

    # -- jobs, and pages of them ---------------------------------------------------------------------

    def active_jobs(self, *, but: Container[str] = ()) -> list[Job]:
        """The known active jobs, except those in some statuses."""
        return [job for job in self.ledger.active_jobs() if job.status not in but]

    def take(self, page: PlacedPage, *, audit: bool = False) -> list[Change]:
        """Take the jobs of a page into the ledger. Returns what that changed."""
        # What is read between syncs may have begun long ago.
        self.intake.now_at = page.answer.server_time_at or self.intake.now_at
        return self.intake.take(page.jobs, audit=audit, bare=page.answer.bare)

    def take_head(self, order: Order, page: PlacedPage) -> None:
        """Take in the head of the sorted list. Jobs that are newer than its last one, and not on it, are suspects."""
        self.take(page)
        self.head = page
        if page.jobs:
            oldest_at = order.moment(page.jobs[-1]) + 1
            self.suspect_absent(order, INFINITE, oldest_at, page)

    def suspect_absent(
        self, order: Order, newest_at: float, oldest_at: float, page: PlacedPage
    ) -> None:
        """Suspect all known jobs between two moments that are not on a page; not those that changed within the lag."""
        if self.lag_seconds:
            newest_at = min(newest_at, self.now_at - self.lag_seconds)
        keep = page.uuids
        if not self.reaches_edge:  # no total tells whether a job is gone, or further down
            keep += self.intake.stale_records.since
        if newest_at >= oldest_at:
            self.ledger.suspect_between(newest_at, oldest_at, keep=keep, by=order.column)


def is_limit(jobs: int) -> bool:
    """Whether servers may stop showing, or counting, jobs just here. Pure."""
    return jobs >= LEAST_LIMIT and jobs in KNOWN_DEPTHS


def collapsed(known: int, left: int) -> bool:
    """Whether so many of the known jobs are gone that it is a collapse. Pure."""
    lost = known - left
    if known and not left:
        return True
    return lost > LEAST_COLLAPSE_JOBS and lost > COLLAPSED_PART * known
