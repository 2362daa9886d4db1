"""Everything, in any order: the way that needs nothing of the server but that its pages join."""

from exporter.errors import SyncError
from exporter.ledger.store import Marks
from exporter.model import Job, Page
from exporter.sync.asking import Ask, Asking, Purpose
from exporter.sync.context import SyncContext, uuids
from exporter.sync.evidence import LATE_SECONDS, is_last, newest_first
from exporter.sync.sweep import check_filters, unswept
from exporter.sync.walk import MOST_ROUNDS, OnStep, Step, Walk, end_of

MOST_HEAD_PAGES = 20
SHORT_LIST_PAGES = 50
MOST_ROUNDS_LONG = 3


def take_whole(ctx: SyncContext, page: Page) -> None:
    """A page that is the whole list: what is not on it is gone."""
    ctx.intake.take(page.jobs)
    ctx.ledger.suspect_between(float("inf"), float("-inf"), keep=uuids(page))
    _is_complete(ctx, ctx.now_at)


def is_whole(ctx: SyncContext, page: Page) -> bool:
    """Whether a first page certainly is the whole list."""
    return is_last(ctx.progress, page, offset=0, filtered=False)


def scan(
    ctx: SyncContext, marks: Marks, *, purpose: Purpose, head: Page | None = None
) -> Asking[bool]:
    """Read the whole list, of which ``head`` may be the first page, read just now. Jobs that it does
    not show are gone, if it is proven whole. Returns whether every page was in order, newest change
    first."""
    # In the background, now is by the exporter's own clock, which may be ahead.
    started_at = min(ctx.now_at, ctx.progress.last_success_at or ctx.now_at)
    in_order = head is None or newest_first(head.jobs)
    doubtful: list[Job] = []

    def on_step(step: Step) -> bool:
        nonlocal in_order
        in_order = in_order and newest_first(step.page.jobs)
        ctx.require_full(step.page, step.offset)
        ctx.saw(step.page)
        doubtful.extend(unswept(ctx, ctx.intake.take(step.page.jobs)))
        return False

    walk = Walk(ctx.query, marks, lambda: ctx.progress, purpose=purpose)
    if head is not None:
        ctx.intake.take(head.jobs)
        walk.after = Step(head, 0, last=False)
    try:
        yield from _read_all(ctx, walk, on_step, marks)
        yield from check_filters(ctx, doubtful)
    except SyncError:
        marks.drop()
        raise
    ctx.ledger.drop_unmarked(marks)
    marks.drop()
    ctx.intake.correct("deleted", ctx.ledger.forget_suspects(ctx.now_at))
    _is_complete(ctx, started_at)
    frontier_at, floor_at = ctx.progress.frontier_at, ctx.progress.floor_at or 0
    if frontier_at is not None and frontier_at >= floor_at:
        ctx.update(
            read_through=False
        )  # what has changed while it was read, and before that frontier
    return in_order


def _read_all(ctx: SyncContext, walk: Walk, on_step: OnStep, marks: Marks) -> Asking[None]:
    """Walk through the list until as many jobs have been met as there are: by its total or, where
    none is told, by the rank of its last job."""
    rounds = MOST_ROUNDS if ctx.whole_list_cost <= SHORT_LIST_PAGES else MOST_ROUNDS_LONG
    for _ in range(rounds):
        try:
            step = yield from walk.run(on_step)
        except SyncError as error:
            # Without a total nobody could tell whether pages that do not join miss a job.
            if error.reason != "order" or not walk.strict or ctx.progress.expected is None:
                raise
        else:
            jobs = _length(step.page, end_of(step))
            if marks.count < jobs:
                jobs = yield from _read_inserted(ctx, marks, walk.purpose, jobs)
            if marks.count >= jobs:
                return
        walk.strict, walk.after = False, None
    raise SyncError("moving", "the list moved while it was read, and could not be read whole")


def _length(page: Page, otherwise: int) -> int:
    return otherwise if page.total_count is None else page.total_count


def _read_inserted(ctx: SyncContext, marks: Marks, purpose: Purpose, jobs: int) -> Asking[int]:
    """What was inserted at the head while the walk was further down. Returns how many jobs there
    are, which were ``jobs`` before."""
    offset = 0
    for _ in range(MOST_HEAD_PAGES):
        page = yield Ask(ctx.query(offset), purpose)
        jobs = _length(page, jobs)
        new = [job for job in page.jobs if not marks.has(job.uuid)]
        ctx.intake.take(page.jobs)
        marks.add(uuids(page))
        if not new or marks.count >= jobs:
            break
        offset += max(1, len(page.jobs) - 1)
    return jobs


def _is_complete(ctx: SyncContext, as_of_at: float) -> None:
    ctx.update(
        complete=True,
        active_known=True,
        read_through=True,
        mismatches=0,
        scanned_at=ctx.now_at,
        floor_at=int(as_of_at) - LATE_SECONDS,
    )
