"""The head of the list, newest change first, down to what is known.

Whatever changes comes to the head, if the server sorts by the last change. So one page is mostly
enough, however long the list is. It is read until it reaches well below the newest change known
before, and until its tail shows nothing new.
"""

from collections.abc import Collection, Mapping, Sequence

from exporter.errors import RefusedError, SyncError
from exporter.ledger.records import Change
from exporter.model import Job, Page
from exporter.sync.asking import Ask, Asking, OrderBroken, Purpose
from exporter.sync.context import SyncContext, bottom_at, uuids
from exporter.sync.evidence import (
    LATE_SECONDS,
    by_last_change,
    changed_at,
    known_up_to_at,
    newest_first,
    unsorted,
)
from exporter.sync.sweep import sweep_cost
from exporter.sync.walk import SeenInMemory, Step, Walk

MOST_CATCH_UP_PAGES = 500
"""After more pages than this the active jobs are swept first: their counts are wanted now."""

UNCHANGED_TAIL = 5
"""So many jobs at the end of a page must be as they were known, for the delta to end there.
It guards against change times in the future, which pin the newest known change."""

SORT_RETRY_SECONDS = 3600.0
NOT_AT_HEAD = "a job that has changed is not at the head of the list"


def read_head(ctx: SyncContext) -> Asking[Page]:
    """The first page of the whole list; learns whether a sort key is accepted at all."""
    if ctx.progress.sort == "refused" and ctx.now_at < ctx.progress.sort_retry_at:
        page = yield Ask(unsorted())
    else:
        try:
            page = yield Ask(by_last_change())
            if ctx.progress.sort == "refused":
                ctx.update(sort="unknown")
        except RefusedError as error:
            if error.reason != "request":
                raise
            ctx.lose_order("refused")
            ctx.update(sort_retry_at=ctx.now_at + SORT_RETRY_SECONDS)
            page = yield Ask(unsorted())
    if not page.jobs and (page.total_count or 0) > 0:
        raise SyncError(
            "payload",
            f"the server says that there are {page.total_count} jobs, and sends none",
            advice="The cloud is in trouble, or its API has changed; if it lasts, report it.",
        )
    ctx.require_full(page, 0)
    ctx.saw_head(page)
    return page


def take_head(ctx: SyncContext, page: Page) -> list[Change]:
    """Take in the head of the list: if sorted, it shows every job that changed after its last."""
    changes = ctx.intake.take(page.jobs)
    if page.jobs and ctx.order_trusted:
        missing = _missing(page, ctx.intake.changed)
        spared = missing if ctx.windowed and all_ended(ctx, missing) else []
        oldest_at = bottom_at(page) + 1
        ctx.ledger.suspect_between(float("inf"), oldest_at, keep=[*uuids(page), *spared])
        if missing and not spared and not (ctx.comparable and ctx.all_known):
            raise OrderBroken(NOT_AT_HEAD)
    return changes


def all_ended(ctx: SyncContext, names: Collection[str]) -> bool:
    """In a part of the history no total tells whether jobs have been deleted just now, or stand
    elsewhere. Those that have ended are often deleted soon: they prove nothing, and wait for the
    next audit."""
    return all(job.ended for job in ctx.ledger.known(names).values())


def check_head(head: Page, seen: Mapping[str, int]) -> None:
    """Jobs that have been seen before the head was read, and when they changed: those newer than its
    last one must stand on it. Raises ``OrderBroken``. (One that was deleted in between is taken for
    a proof of disorder; that costs some calls.)"""
    if _missing(head, seen):
        raise OrderBroken(NOT_AT_HEAD)


def _missing(head: Page, seen: Mapping[str, int]) -> list[str]:
    on_head = set(uuids(head))
    oldest_at = bottom_at(head)
    return [uuid for uuid, at in seen.items() if at > oldest_at and uuid not in on_head]


def check_gone(ctx: SyncContext) -> None:
    """Suspects that this very sync has seen, and that are not in their place any more, although no
    total says that they are gone: then that is no order. They are put back. Raises ``OrderBroken``."""
    seen = ctx.intake.changed.keys()
    if gone := seen - ctx.ledger.known(seen).keys():
        ctx.ledger.restore_suspects()
        if not (ctx.windowed and all_ended(ctx, gone)):
            raise OrderBroken("a job that was seen just now is not where it ought to stand")


def shows_all_since(ctx: SyncContext, head: Page) -> bool:
    """Whether a head, read once more, shows everything that has changed since the first one."""
    newest_at = ctx.progress.newest_at
    return bool(head.jobs) and newest_at is not None and bottom_at(head) < newest_at - LATE_SECONDS


def close_head(ctx: SyncContext) -> Asking[Page]:
    """Look at the head once more: what has changed since the sync began stands there."""
    page = yield Ask(by_last_change())
    ctx.require_full(page, 0)
    ctx.saw_head(page)
    if not newest_first(page.jobs):
        raise OrderBroken("the head of the list is not sorted by the last change")
    take_head(ctx, page)
    return page


def most_catch_up_pages(*, calls_left: int, sweep_calls: int) -> int:
    """How many pages a catch-up may take before the active jobs are swept instead. Pure.

    Never more than half of the calls that are left, so that it does not come to its end with the
    account's calls, and begin anew; but what a sweep would cost, it may cost, too.
    """
    return min(MOST_CATCH_UP_PAGES, max(calls_left // 2, sweep_calls + 1))


def catch_up(ctx: SyncContext, head: Page) -> Asking[bool]:
    """Read from the head down to what is known. False if that would take too long: then what lies
    between is left as a gap for the backfill to close."""
    progress = ctx.progress
    newest_at = progress.newest_at
    assert newest_at is not None  # noqa: S101 - the order is only trusted after a first head
    # Whatever has changed since the last sync is stamped after it, but for what comes late. (The
    # newest change alone would not do: thousands of jobs may have changed in one second.)
    known_below_at = max(newest_at, progress.last_success_at or 0) - LATE_SECONDS
    changes = take_head(ctx, head)
    step = Step(head, 0, _whole(head))
    joined = step.last or _reached(head.jobs, changes, known_below_at)
    if not joined:
        pages = 1
        swept = progress.filters == "honoured"  # else nothing but reading on finds what is active
        most_pages = most_catch_up_pages(
            calls_left=ctx.allowance(Purpose.FRESH),
            sweep_calls=sweep_cost(ctx) if swept else MOST_CATCH_UP_PAGES,
        )

        def on_step(step: Step) -> bool:
            nonlocal joined, pages
            pages += 1
            ctx.require_full(step.page, step.offset)
            if not newest_first(step.page.jobs):
                raise OrderBroken("a page is not sorted by the last change")
            changes = ctx.intake.take(step.page.jobs)
            joined = step.last or _reached(step.page.jobs, changes, known_below_at)
            return joined or pages >= most_pages

        walk = Walk(ctx.query, SeenInMemory(), lambda: ctx.progress, newest_first=True, after=step)
        step = yield from walk.run(on_step)
    if not joined:
        _leave_gap(ctx, step)
    ctx.update(newest_at=max(newest_at, changed_at(head.jobs[0])))
    return joined


def _whole(page: Page) -> bool:
    return page.total_count is not None and len(page.jobs) >= page.total_count


def _reached(jobs: Sequence[Job], changes: Sequence[Change], known_below_at: float) -> bool:
    if changed_at(jobs[-1]) >= known_below_at:
        return False
    changed = {change.new.uuid for change in changes}
    return not any(job.uuid in changed for job in jobs[-UNCHANGED_TAIL:])


def _leave_gap(ctx: SyncContext, step: Step) -> None:
    progress = ctx.progress
    floor_at = known_up_to_at(progress) if progress.read_through else progress.floor_at
    ctx.update(
        frontier_at=bottom_at(step.page), floor_at=floor_at, complete=False, read_through=False
    )
