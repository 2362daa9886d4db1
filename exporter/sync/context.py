"""What the parts of one sync share: the ledger, its door, the profile, and how a page is asked for.

Every page of every way comes through ``Sync.ask``, which holds it against the profile. What does
not fit is a ``Contradiction``: nobody else infers anything about the server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import msgspec

from exporter.errors import RefusedError, SyncError
from exporter.ledger.records import Progress
from exporter.ledger.store import Ledger, TimeColumn
from exporter.model import PAGE_LIMIT, Job, JobListQuery, Page, hidden
from exporter.profile import NONE, Profile, Trait, TraitName
from exporter.sync.asking import (
    Allowance,
    Ask,
    Asking,
    CollapseUnconfirmed,
    Contradiction,
    Purpose,
)
from exporter.sync.intake import Doubted, Intake

MANY_TRIES = 12
FEW_TRIES = 3
"""After so many a conversation gives up, or tries another way: many where what it reads moves, few
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
STATUS_FILTERS = {"jobs_status": ("jobs_status",), "job_status": ("job_status",)}
BOTH_FILTERS = ("jobs_status", "job_status")
REQUEST_REFUSALS = frozenset({"request", "client", "internal"})
"""Reasons for which a call is refused because of what it asks for, or may be."""


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


def changed_at(job: Job) -> int:
    """The moment of a job's last change; 0 for a job that has none."""
    return job.modified_at or 0


def submitted_at(job: Job) -> int:
    """The moment of submission; 0 for a job that has none."""
    return job.submitted_at or 0


@dataclass(frozen=True, slots=True)
class Order:
    """By which moment a list is sorted, newest first."""

    sort_key: str | None
    column: TimeColumn
    moment: Callable[[Job], int]


BY_CHANGE = Order("modified_time", "modified_at", changed_at)
BY_SUBMISSION = Order("submitted_time", "submitted_at", submitted_at)
BY_DEFAULT = Order(None, "submitted_at", submitted_at)
"""By submission, where no order is asked for."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One of the lists that the server shows: all jobs or those in a status, in an order or in
    whatever order it keeps (None)."""

    order: Order | None = None
    status: str | None = None


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


def newest_first(jobs: Sequence[Job], moment: Callable[[Job], int]) -> bool:
    """Whether the jobs could be the answer of a server that sorts by a moment, newest first."""
    return all(moment(newer) >= moment(older) for newer, older in pairwise(jobs))


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
    moved_at: float | None = None
    """The server's time at the last sync that has seen a change."""
    thorough_at: float = 0.0
    """When a sync last did what need not be done at every sync."""
    odd_words: set[str] = field(default_factory=set)
    """Words of the status filter whose count is not what it seems."""


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
    still: bool = False
    """Whether it was the same when it was looked at once more."""
    left: dict[str, Job] = field(default_factory=dict)
    """Jobs that were set aside, as they were before they left their status."""
    longest_page: int = 0
    _known_at_begin: int = field(init=False)
    _totals: dict[str | None, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = self.progress.expected
        self._known_at_begin = self.ledger.size if expected is None else expected

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
        orders = {"submission": BY_SUBMISSION, "default": BY_DEFAULT}
        orders |= {"change": BY_CHANGE, "change_only": BY_CHANGE}
        return orders.get(self.profile.order.value) if self.totals_told else None

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
    def moved_at(self) -> float:
        """The server's time at the last sync that has seen a change."""
        return self.now_at if self.memory.moved_at is None else self.memory.moved_at

    @property
    def thorough(self) -> bool:
        """Whether what need not be done at every sync is done: see ``THOROUGH_SECONDS``."""
        return not 0 <= self.now_at - self.memory.thorough_at < THOROUGH_SECONDS

    @property
    def calm(self) -> bool:
        """Whether nothing has changed for so long that answers from the past say the same."""
        return not self.lag_seconds or self.now_at - self.moved_at > self.lag_seconds

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
        edge = self.order is BY_CHANGE and frontier_at <= self.intake.window_from_at
        return edge and self.filters  # else active jobs may stand anywhere behind it

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

    # -- asking ------------------------------------------------------------------------------------

    def ask(
        self,
        listing: Listing,
        offset: int = 0,
        limit: int = PAGE_LIMIT,
    ) -> Asking[Placed]:
        """One page, as the profile says that it must be. Raises ``Contradiction``."""
        placed = yield from self.send(listing, max(0, offset), limit)
        if self._collapsed(listing, placed):
            # With another limit it is not the same page of a cache.
            placed = yield from self.send(listing, max(0, offset), limit - 1)
            if self._collapsed(listing, placed):
                left = placed.total if placed.total is not None else len(placed.jobs)
                raise CollapseUnconfirmed("jobs", self._known_at_begin, left)
        if listing.status is None and self._short(placed):
            yield from self._judge_short(placed, limit)
        self._check(placed)
        if listing.status is None:
            self.update(expected=placed.total)
        return placed

    def _short(self, placed: Placed) -> bool:
        total, size = placed.total, min(self.page_size, placed.limit)
        return total is not None and len(placed.jobs) < min(size, total - placed.offset)

    def _judge_short(self, placed: Placed, limit: int) -> Asking[None]:
        """A page is shorter than pages are, although the list goes on, by its total: does it? Raises
        ``Contradiction``."""
        following = yield from self.send(placed.listing, placed.end, limit)
        if following.jobs:
            size = len(placed.jobs)
            raise Contradiction("page_size", f"a page has {size} jobs, and others follow it")
        if not placed.offset and not placed.jobs:
            raise SyncError(
                "payload",
                f"the server says that there are {placed.total} jobs, and sends none",
                advice="The cloud is in trouble, or its API has changed; if it lasts, report it.",
            )
        trait: TraitName = "depth" if placed.offset else "total_count"
        raise Contradiction(
            trait, f"the list ends after {placed.end} jobs, and says that it has {placed.total}"
        )

    def take(self, placed: Placed, *, audit: bool = False) -> None:
        """Take the jobs of a page into the ledger."""
        self.intake.take(placed.jobs, audit=audit, bare=placed.page.bare)

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

    def send(self, listing: Listing, offset: int, limit: int) -> Asking[Placed]:
        """One page as it comes, held against nothing."""
        query, mirrored = self._query(listing, offset, limit)
        try:
            page: Page = yield Ask(query, self.purpose)
        except RefusedError as error:
            trait = self._refused_trait(listing, offset, error)
            if trait is None:
                raise
            evidence = f"a request was refused: {error}"
            raise Contradiction(trait, evidence, reason=error.reason) from error
        if query.zone_seconds not in (None, self.profile.zone_seconds):
            raise SyncError("moving", "the zone of its times was found while it was asked for")
        if listing.status is None:
            self.longest_page = max(self.longest_page, len(page.jobs))
        jobs, told = page.jobs, page.total_count if self.totals_told else None
        if told is not None:
            self._totals[listing.status] = told
        if mirrored:
            jobs = tuple(reversed(jobs))
            offset = (told or 0) - query.offset - len(jobs)
        total = self._believed(listing, told)
        return Placed(jobs, offset, total, told, listing, query.limit, page)

    def _query(self, listing: Listing, offset: int, limit: int) -> tuple[JobListQuery, bool]:
        """What to send for a place of a list; beyond the depth that the server shows, it is counted
        from the other end, and the page comes mirrored."""
        depth, mirrored, place = self.profile.most_offset, False, offset
        total = self._totals.get(listing.status, self.progress.expected)
        if self.profile.depth.contradictions:
            # Such a server refuses to look beyond its window, even if nothing is there.
            left = limit if total is None else max(1, total - offset)
            limit = min(limit, self.page_size if self.page_size > 1 else limit, left)
        least = min(2, limit)  # pages overlap by a job: one alone shows nothing new
        if offset + limit > depth:
            from_end = listing.order is not None and listing.order.sort_key is not None
            ahead = max(0, (total or 0) - offset - limit)
            if from_end and ahead + limit <= depth:
                mirrored, place = True, ahead
            else:
                limit = int(max(0, depth - offset))
        if limit < least:
            raise SyncError(
                "depth",
                f"the server shows no more than {self.profile.depth.value} jobs from"
                " either end of the list",
                advice="Shorten collection.history to what lies within, or delete old jobs.",
            )
        query = JobListQuery(
            offset=place,
            limit=limit,
            status=listing.status,
            sort_key=listing.order.sort_key if listing.order else None,
            descending=not mirrored,
            filter_names=STATUS_FILTERS.get(self.profile.status_filter.value, BOTH_FILTERS),
            zone_seconds=None if self.settings.zone_configured else self.profile.zone_seconds,
        )
        return query, mirrored

    @staticmethod
    def _refused_trait(listing: Listing, offset: int, error: RefusedError) -> TraitName | None:
        """What a refusal may speak against; None if it is about something else."""
        if error.reason not in REQUEST_REFUSALS or (error.reason == "internal" and not offset):
            return None
        if listing.status is not None:
            return "status_filter"
        if offset:
            return "depth"
        return "order" if listing.order is not None and listing.order.sort_key else None

    def _believed(self, listing: Listing, told: int | None) -> int | None:
        value = self.profile.total_count.value
        if value == "none" or (listing.status is not None and value != "filtered"):
            return None
        return told

    def _collapsed(self, listing: Listing, placed: Placed) -> bool:
        if listing.status is not None or self.collapse_confirmed:
            return False
        left = placed.total
        if left is not None and placed.jobs and placed.end > left:
            return False  # its own jobs speak against its total
        if left is None:
            left = 0 if not placed.jobs and placed.offset == 0 else self._known_at_begin
        return collapsed(self._known_at_begin, left)

    def _check(self, placed: Placed) -> None:
        jobs, total, listing = placed.jobs, placed.total, placed.listing
        if listing.status is not None:
            if any(job.status != listing.status and not hidden(job.status) for job in jobs):
                raise Contradiction(
                    "status_filter", "a page filtered by status holds jobs in another one"
                )
        elif total is not None and jobs and placed.end > total:
            raise Contradiction("total_count", "the list goes on beyond its total")
        if listing.status is None and placed.limit >= PAGE_LIMIT - 1:
            self._learn_page_size(placed)
        order = listing.order
        if order is not None and self.order is not None and not newest_first(jobs, order.moment):
            raise Contradiction(
                "order", f"a page is not sorted by {order.sort_key or 'submission'}"
            )

    def _learn_page_size(self, placed: Placed) -> None:
        """The longest page yet seen, as soon as one is full or is followed by another."""
        size, known = len(placed.jobs), self.profile.page_size.value
        goes_on = placed.total is not None and placed.end < placed.total
        longer = size > int(known) if known.isdigit() else size >= placed.limit or goes_on
        if size and longer:
            self.found("page_size", str(size), "the longest page yet seen")


def is_refusal(error: Exception) -> bool:
    """Whether a request was refused for what it asked for."""
    refusal = error.__cause__ if isinstance(error, Contradiction) else error
    return isinstance(refusal, RefusedError) and refusal.reason in REQUEST_REFUSALS


def collapsed(known: int, left: int) -> bool:
    """Whether so large a part is gone that it needs a proof. Pure."""
    lost = known - left
    if known and not left:
        return True
    return lost > LEAST_COLLAPSE_JOBS and lost > COLLAPSED_PART * known
