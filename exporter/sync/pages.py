"""Querying one page in the way that the profile says, and checking the answer against the profile.

All pages come through ``ask``, except those of the search for the depth, which uses ``send``. A page that
does not fit the profile raises a ``Contradiction``, which ends the sync. ``ask`` also finds the page size.
"""

from dataclasses import replace

from exporter.errors import RefusedError, SyncError
from exporter.model import PAGE_LIMIT, JobListQuery, Page, Purpose, hidden
from exporter.profile import KNOWN_DEPTHS, TraitName
from exporter.sync.asking import Ask, Asking, CollapseUnconfirmed, Contradiction
from exporter.sync.context import INFINITE, MANY_TRIES, SCAN, ListView, PlacedPage, Sync, collapsed
from exporter.sync.intake import LATE_SECONDS

FILTER_NAMES = ("jobs_status", "job_status")
MOST_HALVINGS = 40
"""So many calls find the end of any list."""
REQUEST_REFUSALS = frozenset({"request", "client", "internal"})
"""The reasons of refusals that are, or may be, about what was asked for."""


def ask(sync: Sync, view: ListView, offset: int = 0, limit: int = PAGE_LIMIT) -> Asking[PlacedPage]:
    """Query one page, and check it against the profile. Raises ``Contradiction``."""
    page = yield from _with_length(sync, (yield from send(sync, view, offset, limit)))
    if view.status is None:
        if _collapse(sync, page):  # another limit, so that no cache answers
            page = yield from _with_length(sync, (yield from send(sync, view, offset, limit - 1)))
            if collapse := _collapse(sync, page):
                raise CollapseUnconfirmed(collapse)
        yield from _check_length(sync, page)
        sync.update(expected=page.total)
    elif any(job.status != view.status and not hidden(job.status) for job in page.jobs):
        raise Contradiction("status_filter", "a page filtered by status holds jobs in another one")
    order = view.order
    if order is not None and sync.order is not None and not order.sorts(page.jobs):
        raise Contradiction("order", f"a page is not sorted by {order.sort_key or 'submission'}")
    return page


def send(sync: Sync, view: ListView, offset: int, limit: int) -> Asking[PlacedPage]:
    """Query one page, without checks."""
    offset = max(0, offset)
    query = _query(sync, view, offset, limit)
    try:
        page: Page = yield Ask(query, sync.purpose)
    except RefusedError as error:
        trait = _refused_trait(sync, view, offset, error)
        if trait is None:
            raise
        evidence = f"a request was refused: {error}"
        raise Contradiction(trait, evidence, reason=error.reason) from error
    if query.zone_seconds not in (None, sync.profile.zone_seconds):
        raise SyncError("moving", "the zone of its times was found while it was asked for")
    jobs, told = page.jobs, page.total_count if sync.totals_told else None
    view = replace(view, from_end=not query.descending)
    if told is not None:
        sync.totals[view.status] = told
    if not query.descending:
        jobs = tuple(reversed(jobs))
        offset = (told or 0) - query.offset - len(jobs)
    counted = view.status is None or sync.profile.total_count.value == "filtered"
    total = told if counted else None
    most = sync.page_size if sync.page_size > 1 else PAGE_LIMIT
    return PlacedPage(jobs, offset, total, told, view, query.limit, page, sync.depth, most)


def _with_length(sync: Sync, page: PlacedPage) -> Asking[PlacedPage]:
    """A page; if its total is not to be believed, with the list's length in its place, measured with each head."""
    view, order = page.view, sync.order
    if sync.totals_told or view.status is not None or order is None or view.order is None:
        return page
    length = sync.totals.get(None, 0)
    if page.offset == 0 or not length:
        length = yield from _measure(sync, view)
    length = sync.totals[None] = max(length, page.end if page.jobs else 0)
    return replace(page, total=length)


def _measure(sync: Sync, view: ListView) -> Asking[int]:
    """How many jobs a sorted list has. Looks for its end from where it was, by steps that grow, then by halving."""
    above, below, step = 0, INFINITE, sync.page_size
    offset = max(1, sync.length - step // 2)
    for _ in range(MOST_HALVINGS):
        try:
            page = yield from send(sync, view, offset, PAGE_LIMIT)
        except SyncError as error:
            if error.reason == "depth" or is_refusal(error):
                break
            raise
        above, below = (page.end, below) if page.jobs else (above, page.offset)
        if above >= below or 0 < len(page.jobs) < min(page.limit, sync.page_size):
            return above
        offset = int(above + below) // 2 if below < INFINITE else above + step
        step *= 2
    raise Contradiction("order", "the end of the list is not shown")


def _query(sync: Sync, view: ListView, offset: int, limit: int) -> JobListQuery:
    """The query for a page at an offset. Beyond the server's depth, it is counted from the other end, in reverse."""
    depth, mirrored, place = sync.profile.most_offset, False, offset
    name = sync.profile.status_filter.value
    total = sync.totals.get(view.status, sync.progress.expected)
    if sync.profile.depth.contradictions:
        # Such a server refuses any page that reaches beyond its depth, even if no job is there.
        ends = KNOWN_DEPTHS if depth == INFINITE else (max(total or 0, offset + 1),)
        reaches = (each for each in ends if total is not None and offset < each >= total)
        reach = next(reaches, INFINITE)
        limit = int(min(limit, sync.page_size if sync.page_size > 1 else limit, reach - offset))
    least = min(2, limit)  # pages overlap by one job, so a page of one shows nothing new
    sort_key = view.order.sort_key if view.order else None
    if offset + limit > depth or view.from_end:
        ahead = max(0, (total or 0) - offset - limit)
        if sort_key and ahead + limit <= depth < (total or 0):
            mirrored, place = True, ahead
        else:
            limit = int(min(limit, max(0, depth - offset)))
    if limit < least:
        raise SyncError(
            "depth",
            f"the server shows no more than {sync.profile.depth.value} jobs from"
            " either end of the list",
            advice="Shorten collection.history to what lies within, or delete old jobs.",
        )
    return JobListQuery(
        offset=place,
        limit=limit,
        status=view.status,
        sort_key=sort_key,
        descending=not mirrored,
        filter_names=(name,) if name in FILTER_NAMES else FILTER_NAMES,
        zone_seconds=None if sync.settings.zone_configured else sync.profile.zone_seconds,
    )


def _refused_trait(
    sync: Sync, view: ListView, offset: int, error: RefusedError
) -> TraitName | None:
    """The trait that a refusal may contradict; None if it is about something else."""
    if error.reason not in REQUEST_REFUSALS:
        return None
    if error.reason == "internal":  # at this request, or at any
        if offset:
            return "depth"
        if sync.memory.refused < MANY_TRIES:
            return None
    if view.status is not None:
        return "status_filter"
    if offset:
        return "depth"
    return "order" if view.order is not None and view.order.sort_key else None


def is_refusal(error: Exception) -> bool:
    """Whether a request was refused because of what it asked for."""
    refusal = error.__cause__ if isinstance(error, Contradiction) else error
    return isinstance(refusal, RefusedError) and refusal.reason in REQUEST_REFUSALS


def _collapse(sync: Sync, page: PlacedPage) -> str:
    """What is missing, in words, if so many jobs are that it is not believed at once; else empty."""
    if sync.collapse_confirmed:
        return ""
    listed, known = page.total, sync.known_at_begin
    if listed is None:
        listed = 0 if not page.jobs and page.offset == 0 else known
    if collapsed(known, listed):
        return f"of {known} jobs the server shows {listed}"
    return another_list(sync, page)


def another_list(sync: Sync, page: PlacedPage) -> str:
    """How many jobs on a page are unknown, in words, if it seems to be of another cluster's list; else empty. Those
    count that were submitted when all jobs were known there."""
    progress = sync.progress
    if sync.purpose is Purpose.HISTORY:
        return ""  # nothing that a page between two syncs seems to say would be confirmed
    scanned = sync.intake.timed and progress.complete  # where syncs are sweeps
    known_at = progress.newest_at or (progress.checked_at.get(SCAN, 0) if scanned else 0)
    to_at = min(known_at, progress.last_success_at or 0) - sync.lag_seconds - LATE_SECONDS
    from_at = progress.frontier_at or 1
    jobs = page.jobs[1:] if page.offset else page.jobs  # without the overlap
    old = [job.uuid for job in jobs if from_at <= (job.submitted_at or 0) < to_at]
    known = len(sync.ledger.known(old))
    return f"of {len(old)} jobs on a page, {known} are known" if collapsed(len(old), known) else ""


def _check_length(sync: Sync, page: PlacedPage) -> Asking[None]:
    """Check the length of a page of the whole list, and learn the page size from it."""
    size, total, known = len(page.jobs), page.total_count, sync.profile.page_size.value
    if total is not None and size and page.end > total:
        raise Contradiction("total_count", "the list goes on beyond its total")
    if total is not None and size < min(sync.page_size, page.limit, total - page.offset):
        yield from _judge_short(sync, page)
    goes_on = total is not None and page.end < total
    longer = size > int(known) if known.isdigit() else size >= page.limit or goes_on
    if size and longer and page.limit >= PAGE_LIMIT - 1:
        sync.found("page_size", str(size), "the longest page yet seen")


def _judge_short(sync: Sync, page: PlacedPage) -> Asking[None]:
    """By its total, the list should go on behind a short page. Look whether it does; raise ``Contradiction``."""
    following = yield from send(sync, page.view, page.end, page.limit)
    if following.jobs:
        size = len(page.jobs)
        raise Contradiction("page_size", f"a page has {size} jobs, and others follow it")
    if not page.offset and not page.jobs:
        raise SyncError(
            "payload",
            f"the server says that there are {page.total} jobs, and sends none",
            advice="The cloud is in trouble, or its API has changed; if it lasts, report it.",
        )
    trait: TraitName = "depth" if page.offset else "total_count"
    raise Contradiction(
        trait, f"the list ends after {page.end} jobs, and says that it has {page.total}"
    )
