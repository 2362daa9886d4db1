"""Where in the sorted list the jobs of a moment stand."""

from exporter.sync.asking import Ask, Asking, Purpose
from exporter.sync.context import SyncContext
from exporter.sync.evidence import by_last_change, changed_at


def place_of(ctx: SyncContext, at: int, purpose: Purpose, *, behind: int = 0) -> Asking[int]:
    """A place in front of the jobs that changed at a moment, and less than a page. The ledger can
    count to it, where all that stands before is known. It is looked for behind ``behind``, which
    must be in front of them, too."""
    offset = max(0, ctx.ledger.count_between(float("inf"), at + 1) - 1)
    if at > ctx.known_from_at:
        return offset
    return (yield from _find(ctx, max(offset, behind), at, purpose))


def _find(ctx: SyncContext, above: int, at: int, purpose: Purpose) -> Asking[int]:
    """By leaps that grow, then by halving."""
    below: int | None = None
    leap = ctx.page_size
    while below is None or below - above > max(1, ctx.page_size // 2):
        offset = above + leap if below is None else (above + below) // 2
        page = yield Ask(by_last_change(offset), purpose)
        if page.jobs and changed_at(page.jobs[0]) > at:
            above, leap = offset, 2 * leap
        else:
            below = offset
    return max(0, above - ctx.page_size // 4)  # the jobs may have moved up meanwhile
