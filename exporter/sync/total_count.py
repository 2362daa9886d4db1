"""Whether ``total_count`` counts the list at all.

Some servers may count more than they send: deleted jobs too, say. Every page at the list's end then
looks cut short, and every scan as if the list had moved. Others may count fewer: up to a limit, say.
Their pages reach beyond their totals. Such a total is not told to the conversations for a while: the
rules for servers that tell none are enough.
"""

from collections.abc import Callable
from dataclasses import replace

from exporter.errors import ApiError, RefusedError, SyncError
from exporter.model import Page
from exporter.sync.asking import Ask, Asking, PageCutShort, T, TotalTooSmall, advance
from exporter.sync.context import SyncContext
from exporter.sync.evidence import unsorted

IGNORED_SECONDS = 3600.0
LONGEST_IGNORED_SECONDS = 86400.0


def miscounts() -> Asking[bool]:
    """Whether the list, in whatever order, ends before its total says so, or goes on after it.

    The last place is asked for: if more than one job is there, the total is too small. If nothing is
    there, the end is looked for, and pages that reach from several places to it must all end just as
    far from their totals: those of a server that cuts pages short, at this place or that, do not.
    """
    head = yield Ask(unsorted())
    total, size = head.total_count, len(head.jobs)
    if not size or total is None:
        return False
    if total < size:
        return True
    try:  # a deep place may be refused
        last = yield Ask(unsorted(total - 1))
        if last.jobs or last.total_count is None:
            return (last.total_count or total) < total - 1 + len(last.jobs)
        if last.total_count < total or total == size:
            return False
        end = yield from _find_end(total - 1, size)
        missing = set()
        for before in (size // 2, size // 3, 1):
            offset = max(0, end - max(1, before))
            page = yield Ask(unsorted(offset))
            missing.add((page.total_count or 0) - offset - len(page.jobs))
    except RefusedError:
        return False
    return len(missing) == 1 and missing.pop() > 0


def _find_end(beyond: int, page_size: int) -> Asking[int]:
    inside = 0
    while inside < beyond:
        offset = (inside + beyond) // 2
        page = yield Ask(unsorted(offset))
        if page.jobs and len(page.jobs) < page_size:
            return offset + len(page.jobs)
        if page.jobs:
            inside = offset + len(page.jobs)
        else:
            beyond = offset
    return inside


def without_totals(asking: Asking[T]) -> Asking[T]:
    """The same conversation with a server that tells no totals."""
    answer: Page | ApiError | None = None
    try:
        while isinstance(step := advance(asking, answer), Ask):
            try:
                page = yield step
            except ApiError as error:
                answer = error
            else:
                answer = replace(page, total_count=None)
        return step.value
    finally:
        asking.close()


class TotalsTrust:
    """Whether totals are told to the conversations of one kind, of one cluster.

    ``patience``: after so many failures in a row that a wrong total would explain, it is looked at.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._failures = 0

    def listen(self, ctx: SyncContext, conversation: Callable[[], Asking[T]]) -> Asking[T]:
        """A conversation that hears of totals as long as they are believed."""
        progress = ctx.progress
        if self._failures >= self._patience and not ignored(ctx):
            yield from self.judge(ctx)
        elif progress.totals_ignored_times and not ignored(ctx):
            yield from self.judge(ctx)  # the time is up: is it still wrong?
        try:
            asking = conversation()
            result = yield from without_totals(asking) if ignored(ctx) else asking
        except SyncError as error:
            self._failures += explained_by_total(error)
            if isinstance(error, TotalTooSmall):  # which is no accident
                self._failures = self._patience
            raise
        self._failures = 0
        return result

    def judge(self, ctx: SyncContext) -> Asking[bool]:
        """Look whether the total is wrong, and remember it. It is looked at again after an hour,
        and if it was wrong again, after twice that, up to a day."""
        self._failures = 0
        wrong = yield from miscounts()
        if wrong:
            times = ctx.progress.totals_ignored_times
            pause_seconds = min(LONGEST_IGNORED_SECONDS, IGNORED_SECONDS * 2 ** min(times, 10))
            ctx.update(
                totals="missing",
                expected=None,
                totals_ignored_until_at=ctx.now_at + pause_seconds,
                totals_ignored_times=times + 1,
            )
        elif ctx.progress.totals_ignored_times:
            ctx.update(totals_ignored_until_at=0.0, totals_ignored_times=0)
        return wrong


def ignored(ctx: SyncContext) -> bool:
    """Whether totals are not to be listened to now."""
    left_seconds = ctx.progress.totals_ignored_until_at - ctx.now_at
    return 0 < left_seconds <= LONGEST_IGNORED_SECONDS  # more: by a clock that was wrong


def explained_by_total(error: SyncError) -> bool:
    """Whether a total that is too large would explain a failure."""
    return isinstance(error, PageCutShort | TotalTooSmall) or error.reason in ("moving", "order")
