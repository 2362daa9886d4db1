"""The history, continued at the tail of what is known.

The ledger holds the head of the list, newest change first, down to the frontier. How many jobs that
are is also the offset at which the rest begins: so the walk goes on there, whenever the budget
leaves calls, and needs no memory of its own.
"""

from collections.abc import Sequence

from exporter.model import Job
from exporter.sync.asking import Ask, Asking, OrderBroken, Purpose
from exporter.sync.context import SyncContext, bottom_at
from exporter.sync.delta import check_head
from exporter.sync.evidence import by_last_change, changed_at, distinct_times, newest_first
from exporter.sync.place import place_of
from exporter.sync.sweep import check_filters, unswept
from exporter.sync.walk import SeenInMemory, Step, Walk

CHUNK_PAGES = 20
PROBATION_PAGES = 3
PROBATION_DEPTHS = (500, 5_000, 50_000)
"""Where to look, after the second and third page, if the length of the list is not known."""


def backfill(ctx: SyncContext) -> Asking[None]:
    """Read on from the frontier for a while. At the end of the list, or where the known goes on
    again, the history is read through."""
    frontier_at = ctx.progress.frontier_at
    if frontier_at is None:
        return  # a sync has lost the order while the total was looked at
    newer = ctx.ledger.count_between(float("inf"), frontier_at + 1)
    start = max(0, newer - 1)
    if frontier_at < ctx.intake.window_from_at:  # behind it, not every job is kept
        start = yield from place_of(ctx, frontier_at, Purpose.HISTORY)
    pages = 0
    doubtful: list[Job] = []
    read_down_to_at = frontier_at

    def on_step(step: Step) -> bool:
        nonlocal pages, read_down_to_at
        if ctx.progress.frontier_at != read_down_to_at or not ctx.order_trusted:
            return True  # a sync in between has left a newer gap, or lost the order: begin anew
        pages += 1
        ctx.require_full(step.page, step.offset)
        ctx.saw(step.page)
        if not newest_first(step.page.jobs):
            raise OrderBroken("a page of the history is not sorted by the last change")
        doubtful.extend(unswept(ctx, ctx.intake.take(step.page.jobs)))
        reached_at = bottom_at(step.page) if step.page.jobs else 0
        through = step.last or reached_at < _wanted_down_to_at(ctx)
        read_down_to_at = min(frontier_at, reached_at)
        ctx.update(frontier_at=read_down_to_at, read_through=through)
        return through or (pages >= CHUNK_PAGES and reached_at < frontier_at)

    walk = Walk(
        by_last_change,
        SeenInMemory(),
        lambda: ctx.progress,
        purpose=Purpose.HISTORY,
        newest_first=True,
        start=start,
        reaches_above_at=frontier_at if newer else None,
    )
    yield from walk.run(on_step)
    yield from check_filters(ctx, doubtful)


def _wanted_down_to_at(ctx: SyncContext) -> float:
    floor_at = ctx.progress.floor_at
    window_at = ctx.intake.window_from_at
    if not ctx.progress.active_known:
        window_at = float("-inf")  # no filter finds the active jobs: they may stand anywhere
    return max(float("-inf") if floor_at is None else floor_at, window_at)


def probation_calls(ctx: SyncContext) -> int:
    """What a probation costs at most."""
    if ctx.progress.expected is not None:
        return 1 + PROBATION_PAGES
    return 1 + 2 + len(PROBATION_DEPTHS)


def probation(ctx: SyncContext) -> Asking[None]:
    """Prove that the whole list is sorted, not only its head by chance: pages from its end and from
    its middle must be sorted, and each older than what stands before it."""
    if (yield from _is_sorted(ctx)):
        ctx.update(sort="honoured")
    else:
        ctx.update(sort_retry_at=ctx.now_at + ctx.settings.audit_interval_seconds)


def _is_sorted(ctx: SyncContext) -> Asking[bool]:
    """False if nothing speaks against it, but nothing proves it either."""
    offsets = _probation_offsets(ctx)
    if not offsets:
        return False
    above_at = float("inf")
    deepest: Sequence[Job] = ()
    seen: dict[str, int] = {}
    for offset in offsets:
        page = yield Ask(by_last_change(offset), Purpose.FRESH)
        if not page.jobs:
            break
        deepest = page.jobs
        seen.update((job.uuid, changed_at(job)) for job in page.jobs)
        ctx.intake.take(page.jobs)
        above_at = _check_order(page.jobs, above_at)  # its top: the next page may overlap it
    head = yield Ask(by_last_change(), Purpose.FRESH)
    if not head.jobs:
        return False
    _check_order(head.jobs, float("inf"))
    check_head(head, seen)
    # The head alone proves nothing, nor do jobs that all changed in the same second.
    return bool(deepest) and distinct_times([*head.jobs, *deepest]) >= 2


def _probation_offsets(ctx: SyncContext) -> list[int]:
    jobs = ctx.progress.expected
    if jobs is None and ctx.progress.complete and not ctx.windowed:
        jobs = ctx.ledger.size
    if jobs is None:
        page_size = ctx.page_size
        near = (page_size, 2 * page_size)
        return [*near, *(depth for depth in PROBATION_DEPTHS if depth > 2 * page_size)]
    last = jobs - ctx.page_size
    middles = sorted(ctx.rng.randrange(max(1, last)) for _ in range(PROBATION_PAGES - 1))
    return [*middles, last] if last > 0 else []


def _check_order(jobs: Sequence[Job], above_at: float) -> float:
    if not newest_first(jobs) or (jobs and changed_at(jobs[0]) > above_at):
        raise OrderBroken("the list is not sorted by the last change")
    return changed_at(jobs[0]) if jobs else above_at
