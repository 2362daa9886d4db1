"""The active jobs, by status filter. Needs no order, and finds them however long ago they changed."""

from collections.abc import Sequence
from typing import TypeVar

from exporter.errors import RefusedError
from exporter.ledger.records import Change
from exporter.model import Job, Page
from exporter.sync.asking import Ask, Asking, FilterBroken, Purpose, TotalTooLarge, asked
from exporter.sync.context import SyncContext, uuids
from exporter.sync.evidence import changed_at
from exporter.sync.walk import SeenInMemory, Step, Walk, end_of, run_to_end

SWEPT_STATUSES = ("pending", "running")
LOOKS_AT_NOTHING = 3
SETTLED_SECONDS = 60.0
"""A filter may not yet show what has changed since."""
T = TypeVar("T")


def sweep_active(ctx: SyncContext, *, purpose: Purpose = Purpose.FRESH) -> Asking[int]:
    """Read all pending, then all running jobs. Returns how many jobs were found to have left.

    Pending first: a job that starts in between is then seen twice, and not missed.
    """
    left = 0
    for status in SWEPT_STATUSES:
        left += yield from sweep_status(ctx, status, purpose=purpose)
    return left


def sweep_status(ctx: SyncContext, status: str, *, purpose: Purpose) -> Asking[int]:
    """Read all jobs in one status. Those that were known to be in it and are not any more are set
    aside, in no status, until they are seen again. Returns how many. Raises ``FilterBroken``."""
    walk = Walk(
        lambda offset: ctx.query(offset, status),
        SeenInMemory(),
        lambda: ctx.progress,
        purpose=purpose,
        filtered=True,
        newest_first=ctx.progress.sort == "honoured",
    )
    step = yield from filtered(ctx, _read(ctx, walk, status))
    for _ in range(LOOKS_AT_NOTHING - 1):
        if walk.seen.count or step.page.total_count == 0 or not ctx.ledger.count_status(status):
            break
        # All gone at once, and no total to say so: that is asked again before it is believed.
        step = yield from filtered(ctx, walk.run(lambda step: _take(ctx, step, status)))
    if not walk.seen.count and (yield from _is_contradicted(ctx, status)):
        step = yield from filtered(ctx, _read(ctx, walk, status))
        if not walk.seen.count:
            ctx.lose_hiding_filters(status)
            raise FilterBroken(f"asked for {status} jobs, the server sends none of those there are")
    learn_totals(ctx, step.page.total_count, end_of(step))
    return ctx.ledger.leave(status, walk.seen.has)


def _read(ctx: SyncContext, walk: Walk, status: str) -> Asking[Step]:
    def take(step: Step) -> bool:
        return _take(ctx, step, status)

    try:
        return (yield from run_to_end(walk, take))
    except TotalTooLarge:
        ctx.update(totals="unknown")
        walk.seen, walk.strict = SeenInMemory(), True
        return (yield from run_to_end(walk, take))


def _is_contradicted(ctx: SyncContext, status: str) -> Asking[bool]:
    """Whether the list shows jobs in a status of which the filter shows none: one that stands where it
    has been for a minute, as the filter may lag. And, if the filter has never shown any, not all that
    were known to be in it show that they have left it."""
    known = {job.uuid: changed_at(job) for job in ctx.ledger.in_status(status)}
    if not known:
        return False
    head = yield Ask(ctx.query())
    settled_at = ctx.now_at - SETTLED_SECONDS
    if any(
        job.status == status and known.get(job.uuid) == changed_at(job) <= settled_at
        for job in head.jobs
    ):
        return True
    return status not in ctx.progress.matched and not known.keys() <= set(uuids(head))


def unswept(ctx: SyncContext, changes: Sequence[Change]) -> list[Job]:
    """Jobs that were not known, and have waited or run since before the ledger began, in a status of
    which the filter has never shown any: it ought to have shown these."""
    if not ctx.progress.active_known or ctx.progress.filters == "ignored":
        return []  # nobody has relied on it
    began_at = ctx.intake.began_at
    return [
        new
        for old, new in changes
        if old is None
        and new.status in SWEPT_STATUSES
        and new.status not in ctx.progress.matched
        and 0 < changed_at(new) < began_at
    ]


def check_filters(ctx: SyncContext, jobs: Sequence[Job]) -> Asking[None]:
    """If a filter that ought to have shown these jobs, which are still as they were, matches nothing,
    the active jobs are not known after all."""
    known = ctx.ledger.known(job.uuid for job in jobs)
    for status in {job.status for job in jobs if known.get(job.uuid) == job}:
        try:
            page = yield from filtered(ctx, asked(Ask(ctx.query(0, status), Purpose.HISTORY)))
        except FilterBroken:
            return
        if not page.jobs:
            ctx.lose_filters()
            ctx.update(active_known=False)


def filtered(ctx: SyncContext, asking: Asking[T]) -> Asking[T]:
    """Questions with a filter. Raises ``FilterBroken`` where the server refuses filters."""
    try:
        return (yield from asking)
    except RefusedError as error:
        if error.reason != "request":
            raise
        ctx.lose_filters()
        raise FilterBroken("the server refuses the filter by status") from error


def check_filter(ctx: SyncContext, page: Page, status: str) -> None:
    """Learn from a filtered page whether the filter filters. Raises ``FilterBroken``."""
    if any(job.status != status for job in page.jobs):
        ctx.lose_filters()
        raise FilterBroken(f"asked for {status} jobs, the server also sends others")
    if page.jobs:
        matched = ctx.progress.matched
        ctx.update(filters="honoured", matched=matched if status in matched else (*matched, status))


def _take(ctx: SyncContext, step: Step, status: str) -> bool:
    ctx.saw(step.page)
    check_filter(ctx, step.page, status)
    jobs, total = len(step.page.jobs), step.page.total_count
    if (
        total == ctx.progress.expected
        and step.offset + jobs < (total or 0)
        and jobs < ctx.page_size
    ):
        ctx.update(totals="unknown")  # it ends before the total: that counts the whole list
    ctx.intake.take(step.page.jobs)
    return False


def learn_totals(ctx: SyncContext, total: int | None, end: int) -> None:
    """Learn what ``total_count`` of a filtered answer counts, from the page that ends its list after
    so many jobs. (How many were met on the way proves nothing: some may have left since.)"""
    if total is None:
        ctx.update(totals="missing")
    elif total == end != ctx.progress.expected:
        ctx.update(totals="filtered")
    elif total == ctx.progress.expected != end:
        ctx.update(totals="whole")
    elif total != end and ctx.progress.totals == "filtered":
        ctx.update(totals="unknown")


def sweep_cost(ctx: SyncContext) -> int:
    """Calls of a sweep, about."""
    return sum(1 + ctx.ledger.count_status(status) // 99 for status in SWEPT_STATUSES)
