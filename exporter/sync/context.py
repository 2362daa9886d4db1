"""What the parts of one sync share: the ledger, its door, and what has been learned so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from exporter.ledger.records import Progress
from exporter.ledger.store import Ledger
from exporter.model import PAGE_LIMIT, JobListQuery, Page
from exporter.sync.asking import Allowance, PageCutShort, Purpose, TotalTooSmall
from exporter.sync.evidence import (
    after_page,
    by_last_change,
    changed_at,
    known_up_to_at,
    unsorted,
)
from exporter.sync.intake import Intake

SHORTEST_WINDOW_SECONDS = 3600.0
"""Ended jobs are remembered at least so long, lest one still at the head be taken for new."""

FILTER_RETRY_INTERVALS = 6
"""After so many audit intervals a filter that was ignored is tried again."""

UNKNOWN_COST = 10**6

DISTRUST_SECONDS = 3600.0
LONGEST_DISTRUST_SECONDS = 86400.0
MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What the configuration says about syncing one cluster."""

    interval_seconds: float = 60.0
    history_seconds: float = float("inf")
    """How far back ended jobs are counted; infinite for all, 0 for none."""
    audit_interval_seconds: float = 600.0


@dataclass(slots=True)
class SyncContext:
    """One sync of one cluster."""

    ledger: Ledger
    intake: Intake
    settings: SyncSettings
    allowance: Allowance
    rng: Random
    now_at: float
    known_end: int | None = None
    """How long the list is, as an audit has found out where the server tells no total."""

    @property
    def progress(self) -> Progress:
        """How far the ledger is known to be right."""
        return self.ledger.progress

    def update(self, **changes: Any) -> None:
        """Change the progress; it is saved with the transaction."""
        self.ledger.progress = msgspec.structs.replace(self.ledger.progress, **changes)

    def query(self, offset: int = 0, status: str | None = None) -> JobListQuery:
        """A page of the list, newest change first unless the server refuses to sort."""
        if self.progress.sort == "refused":
            return unsorted(offset, status)
        return by_last_change(offset, status)

    def saw(self, page: Page) -> None:
        """Learn from a page what every page can teach."""
        learned = after_page(self.progress, page, PAGE_LIMIT)
        if learned is not self.progress:
            self.ledger.progress = learned

    def require_full(self, page: Page, offset: int) -> None:
        """A page of the whole list must be as long as pages are, or end the list. Raises
        ``PageCutShort``: from such a page nothing follows of where jobs stand, or that they do not;
        and ``TotalTooSmall``. (A head with such a total is taken for one without: see
        ``saw_head``.)"""
        total = page.total_count
        if total is None:
            return
        if len(page.jobs) < min(self.progress.page_cap, total - offset):
            raise PageCutShort
        believed = self.progress.expected is not None
        if page.jobs and offset > 0 and believed and total < offset + len(page.jobs):
            raise TotalTooSmall

    def saw_head(self, page: Page) -> None:
        """Learn from the first page of the whole list."""
        self.saw(page)
        if page.total_count is None or page.total_count < len(page.jobs):
            self.update(totals="missing", expected=None)
        else:
            totals = "unknown" if self.progress.totals == "missing" else self.progress.totals
            self.update(totals=totals, expected=page.total_count)

    @property
    def order_trusted(self) -> bool:
        """Whether the order by last change has been proven, and nothing speaks against it."""
        return self.progress.sort == "honoured" and self.now_at >= self.progress.distrusted_until_at

    def distrust_order(self) -> None:
        """Some change did not move its job to the head: rely on other ways for a while, and the
        longer the sooner it happens again."""
        good_seconds = self.now_at - self.progress.distrusted_until_at
        times = 1 if good_seconds > LONGEST_DISTRUST_SECONDS else self.progress.distrusted_times + 1
        doubled = DISTRUST_SECONDS * 2 ** min(times - 1, MOST_DOUBLINGS)
        pause = min(LONGEST_DISTRUST_SECONDS, doubled)
        self.lose_order("unknown")
        self.update(distrusted_until_at=self.now_at + pause, distrusted_times=times)

    def lose_order(self, sort: str) -> None:
        """The list is not sorted as asked. What is known stays known, up to now.

        An order that has been proven may have been lost for one answer: it is proven again at once;
        if that fails, or does not hold for long, it is tried rarely.
        """
        progress = self.progress
        floor_at = known_up_to_at(progress) if self.all_known else None
        if floor_at is None:
            floor_at = progress.floor_at
        self.update(
            sort=sort,
            newest_at=None,
            frontier_at=None,
            floor_at=floor_at,
            sort_retry_at=self.now_at + self.settings.audit_interval_seconds,
        )
        lost_seconds = self.now_at - progress.order_lost_at
        often = 0 <= lost_seconds < self.settings.audit_interval_seconds
        if progress.sort == "honoured" and sort == "ignored" and not often:
            self.update(sort_retry_at=self.now_at, order_lost_at=self.now_at)

    def lose_filters(self) -> None:
        """A filtered answer held other jobs, too. It is tried again after a while."""
        retry_seconds = FILTER_RETRY_INTERVALS * self.settings.audit_interval_seconds
        self.update(filters="ignored", filters_retry_at=self.now_at + retry_seconds)

    def lose_hiding_filters(self, status: str) -> None:
        """A filtered answer left the jobs of a status out. If it never showed any, and has been
        believed, those behind the edge of a part of the history are yet to be found."""
        believed = status not in self.progress.matched and not self.progress.filters_retry_at
        self.lose_filters()
        if believed and self.windowed:
            edge_at, frontier_at = int(self.intake.window_from_at), self.progress.frontier_at
            self.update(
                active_known=False,
                complete=False,
                read_through=False,
                frontier_at=None if frontier_at is None else max(frontier_at, edge_at),
                floor_at=None,
            )

    def open_window(self) -> None:
        """Say which part of the history is wanted, as of now."""
        kept_seconds = self.settings.history_seconds
        if kept_seconds != float("inf"):
            kept_seconds = max(kept_seconds, SHORTEST_WINDOW_SECONDS)
            self.intake.window_from_at = self.now_at - kept_seconds

    @property
    def all_known(self) -> bool:
        """See ``Progress``."""
        return self.progress.all_known

    @property
    def known_from_at(self) -> float:
        """All jobs that changed after this moment are known, as far as the order holds; of older
        ones, some."""
        unread_at = -float("inf") if self.all_known else self.progress.frontier_at or 0
        return max(unread_at, self.intake.window_from_at)

    @property
    def comparable(self) -> bool:
        """Whether the size of a complete ledger must equal ``total_count``."""
        return self.progress.expected is not None and not self.windowed

    @property
    def windowed(self) -> bool:
        """Whether only a part of the history is kept, so that ``total_count`` counts more."""
        return self.intake.window_from_at != float("-inf")

    def may(self, purpose: Purpose, calls: int) -> bool:
        """Whether the budget leaves this many calls."""
        return self.allowance(purpose) >= calls

    @property
    def page_size(self) -> int:
        """How many jobs a full page has, as far as is known."""
        return self.progress.page_cap or PAGE_LIMIT

    @property
    def whole_list_cost(self) -> int:
        """Calls to read everything, about; very many while nobody can tell."""
        jobs = self.progress.expected
        if jobs is None:
            if not self.progress.complete or self.windowed:
                return UNKNOWN_COST
            jobs = self.ledger.size
        return max(1, -(-jobs // max(1, self.page_size - 1)))


def bottom_at(page: Page) -> int:
    """The last change of the last job of a page."""
    return changed_at(page.jobs[-1])


def uuids(page: Page) -> Sequence[str]:
    """The identities on a page."""
    return [job.uuid for job in page.jobs]
