"""What the parts of one sync share: the ledger and its door, the profile, and what a page is."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from random import Random
from typing import Any

import msgspec

from exporter.ledger.records import Change, Progress
from exporter.ledger.store import Ledger, TimeColumn
from exporter.model import PAGE_LIMIT, Job, Page
from exporter.profile import NONE, Profile, Trait, TraitName
from exporter.snapshot import RECENT_SECONDS
from exporter.sync.asking import Allowance, Purpose
from exporter.sync.intake import LATE_SECONDS, Doubted, Intake

MANY_TRIES = 12
FEW_TRIES = 3
"""After so many in vain something is given up, or tried another way: many where what is read moves, few
where the same has come to nothing again and again."""

SWEPT_STATUSES = ("pending", "running")
"""The active statuses that are asked for, where the server filters."""

THOROUGH_SECONDS = 30.0
"""How often, at short intervals, the changes of the last ``LATE_SECONDS`` are read once more, and the
few jobs are looked up that have left their status."""

LEAST_COLLAPSE_JOBS = 10
COLLAPSED_PART = 0.4
"""If more than so many jobs, and more than this part of them, are gone at once, or all, that is a
claim that needs a proof."""

CONFIRMING_SECONDS = 5.0
"""Such a claim is believed if it still stands after so long."""

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says about syncing one cluster."""

    interval_seconds: float = 60.0
    history_seconds: float = INFINITE
    """How far back ended jobs are counted; infinite for all, 0 for none."""
    audit_interval_seconds: float = 600.0
    zone_configured: bool = True
    """Whether the configuration says in which zone times are that carry none."""
    zone_name: str = ""
    """That zone."""

    @property
    def rest_interval_seconds(self) -> float:
        """How old a check may become before it is due, while the list rests. A little less than was
        asked for: within one interval of the last change everything must have been proven."""
        return max(0.0, self.audit_interval_seconds - 2 * self.interval_seconds)


@dataclass(frozen=True, slots=True)
class Order:
    """By which moment a list is sorted, newest first."""

    sort_key: str | None
    column: TimeColumn

    def moment(self, job: Job) -> int:
        """That of a job; 0 for one that has none."""
        at: int | None = getattr(job, self.column)
        return at or 0

    def moments(self, jobs: Sequence[Job]) -> list[int]:
        """Those of jobs."""
        return [at or 0 for at in map(attrgetter(self.column), jobs)]

    def sorts(self, jobs: Sequence[Job]) -> bool:
        """Whether these could be the answer of a server that sorts so."""
        moments = self.moments(jobs)
        return moments == sorted(moments, reverse=True)


BY_CHANGE = Order("modified_time", "modified_at")
BY_SUBMISSION = Order("submitted_time", "submitted_at")
BY_DEFAULT = Order(None, "submitted_at")
"""By submission, where no order is asked for."""
ORDERS = {
    "change": BY_CHANGE,
    "change_only": BY_CHANGE,
    "submission": BY_SUBMISSION,
    "default": BY_DEFAULT,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """One of the lists that the server shows: all jobs or those in a status, in an order or in
    whatever order it keeps (None)."""

    order: Order | None = None
    status: str | None = None
    from_end: bool = False
    """Whether it is counted from its end, where the server shows only a part of it from each."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A page, and where it stands in its list."""

    jobs: Sequence[Job]
    offset: int
    total: int | None
    """How many jobs the list has; None where that is not told, or not to be believed."""
    told: int | None
    """``total_count`` as it came, of whatever list; None where it is not to be believed."""
    listing: Listing
    limit: int
    """How many jobs were asked for."""
    page: Page
    """As it came."""

    @property
    def end(self) -> int:
        """The place behind its last job."""
        return self.offset + len(self.jobs)

    @property
    def uuids(self) -> list[str]:
        """The identities on it."""
        return [job.uuid for job in self.jobs]


@dataclass(slots=True)
class Memory:
    """What is known from one sync to the next, also by syncs that failed. But for the profile, which
    the ledger keeps, a restart forgets it."""

    profile: Profile = field(default_factory=Profile)
    doubted: Doubted = field(default_factory=Doubted)
    collapse_at: float | None = None
    """When the list was first seen to collapse, if that has not been taken back."""
    mismatch_at: float | None = None
    """Since when the total does not fit."""
    unexplained: int = 0
    """In so many syncs in a row it could not be made to fit."""
    moved_at: float = INFINITE
    """The server's time at the last sync that has seen a change; infinite before the first one."""
    thorough_at: float = 0.0
    """When a sync last did what need not be done at every sync."""

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
    """What the calls are for that it makes now."""
    head: Placed | None = None
    """The head of the list, as this sync has seen it last."""
    left: dict[str, Job] = field(default_factory=dict)
    """Jobs that were set aside, as they were before they left their status."""
    longest_page: int = 0
    """The most jobs on a page that it has seen."""
    known_at_begin: int = field(init=False)
    totals: dict[str | None, int] = field(default_factory=dict)
    """What it was told last, by status."""

    def __post_init__(self) -> None:
        expected = self.progress.expected
        self.known_at_begin = self.ledger.size if expected is None else expected
        self.tell_time(self.now_at)

    def tell_time(self, now_at: float) -> None:
        """The server's time is known better: so is how far back the history is wanted."""
        self.now_at = self.intake.now_at = now_at
        # Not less, lest one that is still at the head be taken for new.
        kept_seconds = max(self.settings.history_seconds, RECENT_SECONDS)
        self.intake.window_from_at = now_at - kept_seconds

    @property
    def progress(self) -> Progress:
        """How far the ledger is known to be right."""
        return self.ledger.progress

    @property
    def profile(self) -> Profile:
        """What the server is known to do."""
        return self.memory.profile

    def update(self, **changes: Any) -> None:
        """Change the progress; it is saved with the transaction."""
        self.ledger.progress = msgspec.structs.replace(self.ledger.progress, **changes)

    def active_is_known(self) -> None:
        """All active jobs are."""
        self.update(known=self.progress.known or "active")

    def weaken(self, trait: TraitName, evidence: str) -> None:
        """What an answer has contradicted is found anew."""
        pause_seconds = self.settings.audit_interval_seconds
        self.memory.profile = self.profile.contradicted(trait, evidence, self.now_at, pause_seconds)
        if trait == "total_count":
            self.forget("order")  # whose proof looks at the list's end, as the total tells it
            if self.profile.total_count.retry_at > self.now_at:
                self.found(trait, NONE, evidence)

    def forget(self, trait: TraitName) -> None:
        """Find a trait anew, without anybody's fault."""
        self.memory.profile = msgspec.structs.replace(self.profile, **{trait: Trait()})

    def found(self, trait: TraitName, value: str, evidence: str) -> None:
        """Note what calibration has found."""
        self.memory.profile = self.profile.found(trait, value, evidence, self.now_at)

    # -- what the profile says -------------------------------------------------------------------

    @property
    def order(self) -> Order | None:
        """The order that the server is known to give."""
        return ORDERS.get(self.profile.order.value) if self.totals_told else None

    @property
    def totals_told(self) -> bool:
        """Whether ``total_count`` counts the whole list, as far as is known."""
        return self.profile.total_count.value != "none"

    @property
    def filters(self) -> bool:
        """Whether jobs can be asked for by status."""
        return self.profile.status_filter.value not in ("none", "unknown")

    @property
    def lag_seconds(self) -> float:
        """How far an answer may be behind, as this sync has seen, too."""
        return max(self.profile.lag_seconds, self.intake.stale_seconds)

    @property
    def thorough(self) -> bool:
        """Whether what need not be done at every sync is done: see ``THOROUGH_SECONDS``."""
        return not 0 <= self.now_at - self.memory.thorough_at < THOROUGH_SECONDS

    @property
    def calm(self) -> bool:
        """Whether nothing has changed for so long that answers from the past say the same."""
        return not self.lag_seconds or self.now_at - self.memory.moved_at > self.lag_seconds

    @property
    def moved(self) -> bool:
        """Whether this sync has seen a change: of a job, or of how many there are."""
        return bool(self.intake.changes) or self.progress.expected not in (
            None,
            self.known_at_begin,
        )

    @property
    def collapse_confirmed(self) -> bool:
        """Whether an earlier sync has seen the list, or the active jobs, collapse, too."""
        claimed_at = self.memory.collapse_at
        return claimed_at is not None and self.now_at - claimed_at >= CONFIRMING_SECONDS

    @property
    def page_size(self) -> int:
        """How many jobs a full page has, as far as is known."""
        value = self.profile.page_size.value
        return int(value) if value.isdigit() else max(self.longest_page, 1)

    @property
    def reaches_edge(self) -> bool:
        """Whether all jobs are known down to where the history that is wanted ends."""
        frontier_at = self.progress.frontier_at
        if frontier_at is None:
            return self.progress.newest_at is not None
        return self.has_edge and frontier_at <= self.intake.window_from_at

    @property
    def has_edge(self) -> bool:
        """Whether the history need be read no further than it is wanted: where active jobs cannot be
        asked for, they may stand anywhere behind that."""
        return self.order is BY_CHANGE and self.filters

    def fits(self) -> bool:
        """Whether the ledger has as many jobs as the list."""
        unread = self.progress.unread
        return unread is not None and self.ledger.size + unread == self.progress.expected

    def pages_for(self, jobs: int) -> int:
        """Calls to read so many jobs, about."""
        return max(1, -(-jobs // max(1, min(PAGE_LIMIT, self.page_size) - 1)))

    @property
    def sweep_pages(self) -> int:
        """Calls to read all active jobs by their status, about."""
        return sum(self.pages_for(self.ledger.count_status(status)) for status in SWEPT_STATUSES)

    def may(self) -> bool:
        """Whether the budget leaves a call for what is being done."""
        return self.allowance(self.purpose) >= 1

    def newest_on(self, order: Order, head: Placed) -> int | None:
        """The newest moment on the head of a list; one in the future is no knowledge of what comes
        until then. None if no job is on it."""
        moments = [order.moment(job) for job in head.jobs]
        past = [at for at in moments if at <= self.now_at + LATE_SECONDS]
        return max(past, default=int(self.now_at) if moments else None)

    # -- jobs, and pages of them ---------------------------------------------------------------------

    def active_jobs(self, *, but: Container[str] = ()) -> list[Job]:
        """Those that are known, in other statuses than some."""
        return [job for job in self.ledger.active_jobs() if job.status not in but]

    def take(self, placed: Placed, *, audit: bool = False) -> list[Change]:
        """Take the jobs of a page into the ledger; returns what that changed."""
        return self.intake.take(placed.jobs, audit=audit, bare=placed.page.bare)

    def take_head(self, order: Order, placed: Placed) -> None:
        """Take in the head of the sorted list: it shows every job that is newer than its last one, so
        that others are perhaps gone."""
        self.take(placed)
        self.head = placed
        if placed.jobs:
            oldest_at = order.moment(placed.jobs[-1]) + 1
            self.suspect_absent(order, INFINITE, oldest_at, placed)

    def suspect_absent(
        self, order: Order, newest_at: float, oldest_at: float, placed: Placed
    ) -> None:
        """All known jobs between two moments that are not on a page are perhaps gone; where answers
        may be behind, not those that have just changed."""
        if self.lag_seconds:
            newest_at = min(newest_at, self.now_at - self.lag_seconds)
        if newest_at >= oldest_at:
            self.ledger.suspect_between(newest_at, oldest_at, keep=placed.uuids, by=order.column)


def collapsed(known: int, left: int) -> bool:
    """Whether so large a part is gone that it needs a proof. Pure."""
    lost = known - left
    if known and not left:
        return True
    return lost > LEAST_COLLAPSE_JOBS and lost > COLLAPSED_PART * known
