"""How few calls anybody could do with: a client that knows where to look, and has only to see it.

It is told which jobs of the list have changed, and where jobs are gone. Still it must see each changed
job on some page, and each gap on a page with its two neighbours; a page shows 100 jobs in a row.
"""

from collections.abc import Sequence
from math import ceil

from exporter.model import PAGE_LIMIT
from exporter.simulator import JobList, ListedJob, Order


def in_order(jobs: JobList) -> list[ListedJob]:
    """The list, newest change first."""
    return list(jobs.page(order=Order.MODIFIED, limit=10**9).jobs)


def calls_to_see_changes(before: Sequence[ListedJob], after: Sequence[ListedJob]) -> int:
    """What one refresh needs; one call at least, to know that there is nothing to see."""
    known = set(before)
    changed = [(rank, rank) for rank, job in enumerate(after) if job not in known]
    return max(1, _pages_that_show(sorted(changed + _gaps(before, after))))


def calls_to_begin(jobs: JobList) -> int:
    """What the first counts of active jobs need: all in each status, or the whole list."""
    by_status: dict[str, int] = {}
    for job in jobs.jobs():
        by_status[job.status] = by_status.get(job.status, 0) + 1
    active = sum(ceil(by_status.get(status, 0) / PAGE_LIMIT) for status in ("pending", "running"))
    return max(1, min(active, ceil(len(jobs) / PAGE_LIMIT)))


def _gaps(before: Sequence[ListedJob], after: Sequence[ListedJob]) -> list[tuple[int, int]]:
    """The ranks beside each place where jobs are gone."""
    rank_of = {job: rank for rank, job in enumerate(after)}
    still_there = {job.uuid for job in after}
    gaps, gap = [], False
    for job in before:
        if job.uuid not in still_there:
            gap = True
        elif gap and job in rank_of:  # it has stayed where it was, below the gap
            older = rank_of[job]
            gaps.append((max(0, older - 1), older))
            gap = False
    end = max(0, len(after) - 1)
    return [*gaps, (end, end)] if gap else gaps


def _pages_that_show(to_see: Sequence[tuple[int, int]]) -> int:
    """How many pages show all of these (first, last) ranks: each begins at the first not yet seen."""
    pages, seen_to = 0, -1
    for first, last in to_see:
        if last > seen_to:
            pages += 1
            seen_to = first + PAGE_LIMIT - 1
    return pages
