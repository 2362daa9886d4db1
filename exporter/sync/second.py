"""Reading all jobs of one second, where they are more than a page can show with both of their ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from exporter.errors import SyncError
from exporter.model import Job
from exporter.sync.asking import Ask, Asking, SecondUnreadable
from exporter.sync.context import SyncContext
from exporter.sync.ranks import Ranked, Ranking, rank_page

MOST_TIE_ROUNDS = 12
STABLE_TIE_ROUNDS = 3
"""After so many rounds, jobs of one second are taken to be in another order at every call."""
MOST_FALLS = 2


def whole_second(ctx: SyncContext, ranked: Ranked, at: int) -> Asking[Ranked]:
    """More jobs are of one second than a page can show with both of its ends: read all of them,
    beginning at a page that shows some.

    Their order may differ from call to call, so it is read until as many are found as there are
    ranks: neither fewer, nor more, for then the list has moved between two pages. Raises
    ``SecondUnreadable``.
    """
    offset = yield from _in_front_of_second(ctx, ranked, at)
    found: dict[str, Job] = {}
    count = fell = 0
    for tries in range(MOST_TIE_ROUNDS):
        second = Second(at, (yield from _read_second(ctx, ranked.ranking, offset, at)))
        fell += second.count < count
        if fell >= MOST_FALLS:
            break  # somebody is deleting them: later
        found |= second.jobs
        if second.count != count or len(found) > count:
            found, count = second.jobs, second.count  # what was found before may have gone
        if len(found) == count and (second.joined or tries >= STABLE_TIE_ROUNDS):
            return second.ranked(found)
    raise SecondUnreadable


@dataclass(frozen=True, slots=True)
class Second:
    """The jobs of one moment, as pages show them of which each begins with the last job of the one
    before, if nothing has moved meanwhile."""

    at: int
    pages: Sequence[Ranked]

    @property
    def jobs(self) -> dict[str, Job]:
        """All that were met."""
        return {job.uuid: job for _, job, moment in self._places() if moment == self.at}

    @property
    def count(self) -> int:
        """How many there are, by the places of those around them."""
        return self._behind - self._first

    @property
    def joined(self) -> bool:
        """Whether each page begins with a job of the one before."""
        return all(
            not page.jobs or page.jobs[0].uuid in {job.uuid for job in before.jobs}
            for before, page in pairwise(self.pages)
        )

    def ranked(self, jobs: dict[str, Job]) -> Ranked:
        """These jobs as one page, with one in front of them and one behind them."""
        first, behind = self._first, self._behind
        before = [job for place, job, _ in self._places() if place == first - 1][:1]
        after = [job for place, job, _ in self._places() if place == behind][-1:]
        return replace(
            self.pages[-1],
            jobs=[*before, *jobs.values(), *after],
            offset=first - len(before),
            ends=self.pages[-1].ends and not after,
        )

    @property
    def _first(self) -> int:
        newer = (place + 1 for place, _, moment in self._places() if moment > self.at)
        return max(newer, default=self.pages[0].offset)

    @property
    def _behind(self) -> int:
        last = self.pages[-1]
        older = (place for place, _, moment in self._places() if moment < self.at)
        return min(older, default=last.offset + len(last.jobs))

    def _places(self) -> Iterator[tuple[int, Job, int]]:
        for page in self.pages:
            for place, job in enumerate(page.jobs, page.offset):
                yield place, job, page.ranking.moment(job)


def _in_front_of_second(ctx: SyncContext, ranked: Ranked, at: int) -> Asking[int]:
    """A place from which on all jobs of a second stand."""
    ranking, offset = ranked.ranking, ranked.offset
    newest_at = ranking.moment(ranked.jobs[0])
    while offset > 0 and newest_at <= at:
        offset = max(0, offset - max(1, ctx.page_size - 1))
        page = yield Ask(ranking.query(offset))
        above = rank_page(ctx, page, offset, ranking).jobs
        if not above:
            raise SyncError("order", "the list ends before where it was seen to go on")
        newest_at = ranking.moment(above[0])
    return offset


def _read_second(ctx: SyncContext, ranking: Ranking, offset: int, at: int) -> Asking[list[Ranked]]:
    """The pages from a place to the end of a second."""
    pages: list[Ranked] = []
    while True:
        page = yield Ask(ranking.query(offset))
        ranked = rank_page(ctx, page, offset, ranking)
        if page.total_count is None and pages and 1 == len(page.jobs) < ctx.page_size:
            ranked = replace(ranked, ends=True)  # nothing follows the last job that was known
        pages.append(ranked)
        if ranked.ends or len(ranked.jobs) < 2 or ranking.moment(ranked.jobs[-1]) < at:
            return pages
        offset += len(ranked.jobs) - 1
