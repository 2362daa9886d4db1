"""Ranks in the sorted list, and what pages and the ledger say of them.

A *boundary* is a place between two jobs of the list whose moments differ: on one side stand, say,
``k`` jobs, all of the moment ``t`` or later. The ledger can count the same jobs; where
the two counts differ, something in front of the boundary does.

Ranks are counted from the end of the list where ``total_count`` allows it: what is submitted while
one looks moves every rank from the head, and none from the end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.ledger.store import TimeColumn
from exporter.model import PAGE_LIMIT, Job, JobListQuery, Page
from exporter.sync.asking import OrderBroken
from exporter.sync.context import SyncContext
from exporter.sync.evidence import changed_at, newest_first, submitted_at

INFINITE = float("inf")


@dataclass(frozen=True, slots=True)
class Ranking:
    """By which moment the list is sorted, newest first."""

    sort_key: str
    column: TimeColumn
    moment: Callable[[Job], int]

    def query(self, offset: int) -> JobListQuery:
        """A page of the list in this order."""
        return JobListQuery(offset=offset, sort_key=self.sort_key, descending=True)


BY_CHANGE = Ranking("modified_time", "modified_at", changed_at)
BY_SUBMIT = Ranking("submitted_time", "submitted_at", submitted_at)


@dataclass(frozen=True, slots=True)
class Boundary:
    """All jobs of the moment ``at`` or later stand in front of it."""

    at: float
    rank: int
    """How many they are; counted from the list's end (0 or negative) where that can be."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """The jobs between two boundaries."""

    newer: Boundary
    older: Boundary
    ranking: Ranking = BY_CHANGE

    @property
    def listed(self) -> int:
        """How many there are in the remote list."""
        return self.older.rank - self.newer.rank

    def surplus(self, ctx: SyncContext) -> int:
        """How many more there are in the ledger."""
        return self._known(ctx) - self.listed

    def differs(self, ctx: SyncContext) -> bool:
        """Whether ledger and list count differently. (Less than none is none: then the list has
        moved between the calls that showed the two boundaries.)"""
        return self._known(ctx) != max(0, self.listed)

    def _known(self, ctx: SyncContext) -> int:
        return ctx.ledger.count_between(self.newer.at - 1, self.older.at, by=self.ranking.column)

    def holds(self, moment: int) -> bool:
        """Whether a job of this moment stands here."""
        return self.older.at <= moment < self.newer.at

    def narrowed_by(self, boundaries: Sequence[Boundary]) -> bool:
        """Whether a page with these boundaries settles a part, or divides what is left."""
        return bool(boundaries) and (
            boundaries[0].at > self.older.at and boundaries[-1].at < self.newer.at
        )

    def suspect(self, ctx: SyncContext, *, keep: Sequence[str] = ()) -> None:
        """All jobs here, but those to ``keep``, are perhaps gone."""
        ctx.ledger.suspect_between(
            self.newer.at - 1, self.older.at, keep=keep, by=self.ranking.column
        )


@dataclass(frozen=True, slots=True)
class Ranked:
    """A page of the sorted list, or several that follow one another, and where it stands."""

    jobs: Sequence[Job]
    offset: int
    total: int | None
    ranking: Ranking = BY_CHANGE
    ends: bool = False
    """Whether the list ends with it."""

    @property
    def base(self) -> int:
        """What is taken off a rank from the head to count it from the end."""
        return self.total or 0

    def boundaries(self) -> list[Boundary]:
        """The boundaries on it, newest first."""
        found: list[Boundary] = []
        if self.offset == 0:
            found.append(Boundary(INFINITE, -self.base))
        for index in range(1, len(self.jobs)):
            above = self.ranking.moment(self.jobs[index - 1])
            if above > self.ranking.moment(self.jobs[index]):
                found.append(Boundary(above, self.offset + index - self.base))
        if self.ends:
            end = self.offset + len(self.jobs) - self.base
            found += [Boundary(self.ranking.moment(job), end) for job in self.jobs[-1:]]
            found.append(Boundary(-INFINITE, end))
        return found


def rank_page(ctx: SyncContext, page: Page, offset: int, ranking: Ranking = BY_CHANGE) -> Ranked:
    """A page as it stands in the sorted list. Raises ``OrderBroken`` if it is not sorted, and
    ``PageCutShort`` and ``TotalTooSmall``."""
    ctx.require_full(page, offset)
    if not newest_first(page.jobs, ranking.moment):
        raise OrderBroken(f"a page is not sorted by {ranking.sort_key}")
    return Ranked(page.jobs, offset, page.total_count, ranking, _ends(ctx, page, offset))


def _ends(ctx: SyncContext, page: Page, offset: int) -> bool:
    end = offset + len(page.jobs)
    if page.total_count is None:
        return end == ctx.known_end and len(page.jobs) < ctx.page_size
    # A page as long as was asked for may be followed by others: see ``is_last``.
    return end == page.total_count and len(page.jobs) < PAGE_LIMIT


def examine(ctx: SyncContext, ranked: Ranked) -> list[Boundary]:
    """Make the ledger equal to a page, and return the boundaries between which it now is."""
    ctx.intake.take(ranked.jobs, audit=True)
    boundaries = ranked.boundaries()
    if len(boundaries) >= 2:
        known = Stretch(boundaries[0], boundaries[-1], ranked.ranking)
        known.suspect(ctx, keep=[job.uuid for job in ranked.jobs])
    return boundaries
