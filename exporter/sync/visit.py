"""Looking jobs up where they stand in the sorted list, by when they last changed."""

from collections.abc import Sequence
from contextlib import suppress

from exporter.model import Job, Page
from exporter.sync.asking import Ask, Asking, Purpose, SecondUnreadable
from exporter.sync.context import SyncContext, uuids
from exporter.sync.evidence import by_last_change, changed_at
from exporter.sync.place import place_of
from exporter.sync.ranks import INFINITE, examine, rank_page
from exporter.sync.second import whole_second


def resolve_set_aside(ctx: SyncContext) -> Asking[None]:
    """Find what became of jobs that are in no status: they stand where they last changed. One that
    is neither there nor shown to be gone stays aside: the audits by rank will tell."""
    behind = 0
    for job in ctx.ledger.in_status(""):
        at = changed_at(job)
        if _is_aside(ctx, job):
            _, behind = yield from _visit(ctx, at, behind)
        if _is_aside(ctx, job):
            yield from _visit_whole_second(ctx, at)


def _is_aside(ctx: SyncContext, job: Job) -> bool:
    known = ctx.ledger.known([job.uuid]).get(job.uuid)
    return known is not None and known.status == ""


def _visit(ctx: SyncContext, at: int, behind: int) -> Asking[tuple[float, int]]:
    """Read the pages on which the jobs that changed at a moment stand, which is not before
    ``behind``. Returns down to which moment all jobs have been seen, and where the last page
    begins."""
    offset = yield from place_of(ctx, at, Purpose.AUDIT, behind=behind)
    in_front, step_back = False, 1
    while True:
        page = yield Ask(by_last_change(offset), Purpose.AUDIT)
        ctx.saw_head(page)
        in_front = in_front or offset == 0 or bool(page.jobs and changed_at(page.jobs[0]) > at)
        if not in_front:  # so many are gone that stood before it
            offset = max(0, offset - step_back)
            step_back *= 2
            continue
        yield from learn_end(ctx, page, offset)
        boundaries = examine(ctx, rank_page(ctx, page, offset))
        if len(page.jobs) < ctx.page_size:
            return -INFINITE, offset
        if boundaries and boundaries[-1].at <= at:
            return boundaries[-1].at, offset
        offset += max(1, ctx.page_size - 2)  # two jobs show what lies between them


def _visit_whole_second(ctx: SyncContext, at: int) -> Asking[None]:
    """Where no page shows both ends of a second, only all of its jobs show that one is missing."""
    offset = yield from place_of(ctx, at, Purpose.AUDIT)
    page = yield Ask(by_last_change(offset), Purpose.AUDIT)
    if any(changed_at(job) == at for job in page.jobs):
        with suppress(SecondUnreadable):
            examine(ctx, (yield from whole_second(ctx, rank_page(ctx, page, offset), at)))


def learn_end(ctx: SyncContext, page: Page, offset: int) -> Asking[None]:
    """Where no total is told, a page that holds the last job alone shows that the list ends. (That
    is worth a call only if the ledger knows of others behind the last place where times differ.)"""
    if page.total_count is not None or not 0 < len(page.jobs) < ctx.page_size:
        return
    moments = [changed_at(job) for job in page.jobs]
    above_at = min((at for at in moments if at > moments[-1]), default=moments[-1] + 1)
    shown = ctx.ledger.known(job.uuid for job in page.jobs if changed_at(job) == moments[-1])
    if ctx.ledger.count_between(above_at - 1, -INFINITE) > len(shown):
        end = offset + len(page.jobs)
        last = yield Ask(by_last_change(end - 1), Purpose.AUDIT)
        if uuids(last) == uuids(page)[-1:]:
            ctx.known_end = end


def visit_all(ctx: SyncContext, moments: Sequence[int]) -> Asking[None]:
    """Look at the jobs that changed at these moments, newest first, a page once."""
    seen_down_to_at, behind = INFINITE, 0
    for at in moments:
        if at < seen_down_to_at:
            seen_down_to_at, behind = yield from _visit(ctx, at, behind)
