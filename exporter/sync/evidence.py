"""What the answers themselves prove about the server. Pure.

Nothing that the API reference marks as unverified is relied on before a page has shown it, and
every page is looked at again.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from exporter.ledger.records import Progress
from exporter.model import PAGE_LIMIT, Job, JobListQuery, Page

SORT_KEY = "modified_time"

LATE_SECONDS = 10
"""How much older than the newest known change a change may be stamped and still be found by a
delta: the server's clocks are not quite monotone, and times have steps of one second."""


def changed_at(job: Job) -> int:
    """The moment by which the list is sorted; 0 for a job that has none."""
    return job.modified_at or 0


def submitted_at(job: Job) -> int:
    """The moment of submission; 0 for a job that has none."""
    return job.submitted_at or 0


def known_up_to_at(progress: Progress) -> int | None:
    """Every change that is stamped before this moment has been seen; None before the first head.

    That is up to the newest change known; but one job stamped in the future is no knowledge of what
    is stamped until then. (Stamps may also lie behind the clock: then the newest one counts.)
    """
    if progress.newest_at is None:
        return None
    newest_at: float = progress.newest_at
    if progress.last_success_at is not None:
        newest_at = min(newest_at, progress.last_success_at)
    return int(newest_at) - LATE_SECONDS


def newest_first(jobs: Sequence[Job], at: Callable[[Job], int] = changed_at) -> bool:
    """Whether the jobs could be the answer of a server that sorts by a moment, newest first."""
    times = [at(job) for job in jobs]
    return all(newer >= older for newer, older in pairwise(times))


def distinct_times(jobs: Sequence[Job]) -> int:
    """How many different change times there are: order shows only between different ones."""
    return len({changed_at(job) for job in jobs})


def by_last_change(offset: int = 0, status: str | None = None) -> JobListQuery:
    """The list newest change first."""
    return JobListQuery(offset=offset, status=status, sort_key=SORT_KEY, descending=True)


def unsorted(offset: int = 0, status: str | None = None) -> JobListQuery:
    """The list in whatever order the server keeps."""
    return JobListQuery(offset=offset, status=status)


def after_page(progress: Progress, page: Page, limit: int) -> Progress:
    """Remember how long pages can be."""
    if len(page.jobs) > progress.page_cap and len(page.jobs) <= limit:
        return msgspec.structs.replace(progress, page_cap=len(page.jobs))
    return progress


def is_last(progress: Progress, page: Page, *, offset: int, filtered: bool) -> bool:
    """Whether a page certainly ends its list. False also when it only may.

    ``total_count`` decides where it is known to count this list; else a page shorter than another
    has been does. A page of the longest length yet seen proves nothing without a total; and one as
    long as was asked for proves nothing with one, either: a server may count up to a limit only.
    """
    end = offset + len(page.jobs)
    total = page.total_count
    if total is not None and end > total and not filtered:
        total = None  # it counts something else
    if total is not None and end == total:
        return len(page.jobs) < PAGE_LIMIT
    if total is not None and (not filtered or progress.totals == "filtered"):
        return False
    return 0 < len(page.jobs) < progress.page_cap or (not page.jobs and offset == 0)
