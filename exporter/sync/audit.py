"""Proving that the ledger equals the list.

``total_count`` comes with every page for nothing. What it cannot tell, a few paid calls can, now and
then: whether as many jobs are pending, and running, as the ledger says; and whether a page at a
random rank holds what the ledger holds there.
"""

from collections.abc import Mapping

from exporter.errors import BudgetExhausted
from exporter.model import Page
from exporter.sync.asking import (
    Ask,
    Asking,
    FilterBroken,
    Purpose,
    SecondUnreadable,
    asked,
)
from exporter.sync.context import SyncContext, SyncSettings, bottom_at
from exporter.sync.delta import check_gone, close_head, shows_all_since
from exporter.sync.evidence import by_last_change, changed_at
from exporter.sync.ranks import INFINITE, Boundary, Ranked, Stretch, examine, rank_page
from exporter.sync.reconcile import search
from exporter.sync.second import whole_second
from exporter.sync.settle import surplus_of
from exporter.sync.sweep import SWEPT_STATUSES, check_filter, filtered, sweep_status
from exporter.sync.visit import learn_end, resolve_set_aside, visit_all

MOST_ROUNDS = 3
BUSY_AUDIT_INTERVALS = 1.5
"""While the list moves an audit sometimes needs a second look at its head; rarer ones make up for
that."""
COVER = "active"
PROBE = "probe"
END = "end"
EDGE = "edge"
MOST_AUDITS = 4


def audits_of(*, filters: str, totals: str, windowed: bool) -> tuple[str, ...]:
    """The names of the audits that make sense for a server, and for a whole history or a part of
    it. Pure."""
    actives = (COVER,) if filters == "ignored" else SWEPT_STATUSES
    if windowed:
        return (*actives, PROBE, EDGE)
    return (*actives, PROBE, END) if totals == "missing" else (*actives, PROBE)


def due_audits(
    names: tuple[str, ...],
    audited_at: Mapping[str, float],
    *,
    now_at: float,
    interval_seconds: float,
    busy_interval_seconds: float,
    quiet: bool,
) -> list[str]:
    """Which audits are due. Pure.

    While the list moves, one each ``busy_interval_seconds``, in turn: a call is cheap only if it is
    rare. Once it rests, each that is older than ``interval_seconds``: so that within one interval
    of the last change everything has been proven.
    """
    oldest_first = sorted(names, key=lambda name: audited_at.get(name, 0.0))
    # What seems to have run in the future ran by a clock that was wrong.
    due = [
        name
        for name in oldest_first
        if not 0 <= now_at - audited_at.get(name, 0.0) < interval_seconds
    ]
    if quiet:
        return due
    latest_at = max((audited_at.get(name, 0.0) for name in names), default=0.0)
    return due[:1] if not 0 <= now_at - latest_at < busy_interval_seconds else []


def audit_interval_at_rest(settings: SyncSettings) -> float:
    """How old an audit may become, in seconds, before it is due. A little less than was asked for:
    within one interval of the last change everything must have been proven."""
    return max(0.0, settings.audit_interval_seconds - 2 * settings.interval_seconds)


def audit_calls_per_second(settings: SyncSettings) -> float:
    """What audits cost at most, while nothing is found. Pure."""
    often_seconds = max(audit_interval_at_rest(settings), settings.interval_seconds)
    return MOST_AUDITS / often_seconds


def run_due_audits(ctx: SyncContext, head: Page) -> Asking[None]:
    """Run the audits that are due, as long as the budget leaves calls for them."""
    progress = ctx.progress
    due = due_audits(
        audits_of(filters=progress.filters, totals=progress.totals, windowed=ctx.windowed),
        progress.audited_at,
        now_at=ctx.now_at,
        interval_seconds=audit_interval_at_rest(ctx.settings),
        busy_interval_seconds=BUSY_AUDIT_INTERVALS * ctx.settings.audit_interval_seconds,
        quiet=ctx.intake.changes == 0,
    )
    for name in due:
        if not ctx.may(Purpose.AUDIT, 1):
            return
        try:
            yield from run_audit(ctx, name, head)
            if ctx.ledger.suspects:
                yield from _confirm_gone(ctx)
        except FilterBroken:
            return  # the next sync knows that filters are not to be relied on
        except BudgetExhausted:
            # What the sync has found out stands without it, if it has left nothing half done.
            ctx.ledger.restore_suspects()
            if ctx.ledger.count_status(""):
                raise
            return


def _confirm_gone(ctx: SyncContext) -> Asking[None]:
    """Suspects of an audit may only have moved: the head would show them now."""
    head = yield from close_head(ctx)
    if not ctx.ledger.suspects:
        return
    if not head.jobs:
        ctx.ledger.restore_suspects()  # that shows nothing
        return
    if not ctx.all_known or ctx.windowed:
        if shows_all_since(ctx, head):
            check_gone(ctx)
        return
    if ctx.comparable:
        surplus = surplus_of(ctx, head)
        proven = surplus == 0 or (surplus > 0 and shows_all_since(ctx, head))
    else:
        surplus, proven = 0, (yield from ends_as_known(ctx))
    if not proven:
        if surplus < 0:
            check_gone(ctx)
        ctx.ledger.restore_suspects()


def confirm_without_total(ctx: SyncContext) -> Asking[bool]:
    """Where no total says that jobs are gone, the list's end does, when all that are gone have been
    found. Raises ``OrderBroken``."""
    if ctx.windowed or not ctx.all_known or (yield from ends_as_known(ctx)):
        return True
    yield from _audit_end(ctx)
    yield from close_head(ctx)
    return (yield from ends_as_known(ctx))


def run_audit(ctx: SyncContext, name: str, head: Page) -> Asking[None]:
    """Run one audit and put right what it finds."""
    if name in SWEPT_STATUSES:
        yield from _audit_status(ctx, name)
    elif name == COVER:
        yield from _audit_active(ctx)
    elif name == PROBE:
        yield from _audit_random_rank(ctx, head)
    elif name == EDGE:
        yield from _audit_edge(ctx, head)
    else:
        yield from _audit_end(ctx)
    ctx.update(audited_at={**ctx.progress.audited_at, name: ctx.now_at})


def _audit_status(ctx: SyncContext, status: str) -> Asking[None]:
    for _ in range(MOST_ROUNDS):
        counted = yield from _look_at_status(ctx, status)
        if counted == ctx.ledger.count_status(status):
            return
        yield from close_head(ctx)  # or has it changed just now?
        if counted == ctx.ledger.count_status(status):
            return
    before = dict(ctx.intake.corrections)
    yield from sweep_status(ctx, status, purpose=Purpose.AUDIT)
    yield from close_head(ctx)  # most of those that are set aside have left it since the last look
    aside = {job.uuid: changed_at(job) for job in ctx.ledger.in_status("")}
    yield from resolve_set_aside(ctx)
    found = ctx.ledger.known(aside).values()
    if any(job.status == status and changed_at(job) == aside[job.uuid] for job in found):
        ctx.lose_hiding_filters(status)
        return
    known_up_to_at = ctx.intake.known_up_to_at
    if ctx.intake.corrections == before and ctx.intake.settled and known_up_to_at is not None:
        unmoved = [job for job in found if job.status and changed_at(job) < known_up_to_at]
        ctx.intake.correct("changed", len(unmoved))


def _look_at_status(ctx: SyncContext, status: str) -> Asking[int | None]:
    """Look at a page of a status at random, and count how many jobs are in it: by the total, or else
    by where the last one stands. None if that cannot be told."""
    expected = ctx.ledger.count_status(status)
    offsets = [ctx.rng.randrange(max(1, expected - ctx.page_size + 1))]
    if ctx.progress.totals != "filtered":
        last = max(0, expected - ctx.page_size // 2)
        offsets = [*offsets, last] if expected > ctx.page_size else [last]
    for offset in offsets:
        page = yield from filtered(ctx, asked(Ask(by_last_change(offset, status), Purpose.AUDIT)))
        check_filter(ctx, page, status)
        ctx.intake.take(page.jobs, audit=True)
    return _counted(ctx, page, offset)


def _counted(ctx: SyncContext, page: Page, offset: int) -> int | None:
    total = page.total_count
    if ctx.progress.totals == "filtered" and total is not None:
        if len(page.jobs) >= min(ctx.page_size, total - offset):
            return total
        ctx.update(totals="unknown")  # the list ends before its total says so
        return None
    if page.jobs or offset == 0:
        return offset + len(page.jobs) if len(page.jobs) < ctx.page_size else None
    return None


def _audit_active(ctx: SyncContext) -> Asking[None]:
    """Where no filter helps: look at every active job where it stands in the order."""
    yield from visit_all(ctx, [at for _, _, at in ctx.ledger.active_jobs()])


def _audit_random_rank(ctx: SyncContext, head: Page) -> Asking[None]:
    known = ctx.ledger.count_between(INFINITE, ctx.known_from_at)
    offset = ctx.rng.randrange(max(1, known - ctx.page_size + 1))
    yield from _audit_rank(ctx, head, offset)


def _audit_edge(ctx: SyncContext, head: Page) -> Asking[None]:
    """Of a part of the history: do as many jobs stand in front of its edge as are known?"""
    known = ctx.ledger.count_between(INFINITE, ctx.known_from_at)
    yield from _audit_rank(ctx, head, max(0, known - ctx.page_size // 2))
    if ctx.all_known and not ctx.ledger.active_statuses().issubset(SWEPT_STATUSES):
        # Behind it nothing is counted, and what is neither pending nor running has no other audit.
        behind = [
            at
            for _, status, at in ctx.ledger.active_jobs()
            if at <= ctx.known_from_at and status not in SWEPT_STATUSES
        ]
        yield from visit_all(ctx, behind)


def _audit_rank(ctx: SyncContext, head: Page, offset: int) -> Asking[None]:
    page, offset = yield from _known_page(ctx, offset)
    ctx.saw_head(page)
    yield from learn_end(ctx, page, offset)
    ranked = rank_page(ctx, page, offset)
    if page.jobs and not ranked.boundaries():
        # Amid a crowded second it is seen what these jobs are; how many there are, where it begins.
        examine(ctx, ranked)
        in_front = ctx.ledger.count_between(INFINITE, bottom_at(page) + 1)
        page, offset = yield from _known_page(ctx, max(0, in_front - ctx.page_size // 2))
        ranked = rank_page(ctx, page, offset)
    if page.jobs and not ranked.boundaries():
        try:
            ranked = yield from whole_second(ctx, ranked, bottom_at(page))
        except SecondUnreadable:
            return
    boundaries = [known for known in examine(ctx, ranked) if known.at >= ctx.known_from_at]
    # What a search by ranks finds while the list moves is a guess that only the total proves, and
    # that fits when the history is complete. What the page itself shows needs no such proof.
    if not boundaries or not ctx.all_known:
        return
    if _surplus_in_front(ctx, boundaries[0]) == 0:
        return
    head = yield from close_head(ctx)  # or has the list moved just now?
    if _surplus_in_front(ctx, boundaries[0]) == 0:
        return
    yield from reconcile_from(ctx, head, ranked, boundaries)


def _known_page(ctx: SyncContext, offset: int) -> Asking[tuple[Page, int]]:
    """A page of the part that is known, and where it stands: there, or, if so many jobs are gone that
    the known ends further up, where it shows that end."""
    known: tuple[Page, int] | None = None
    beyond: int | None = None
    step_back = max(1, ctx.page_size // 2)
    while True:
        page = yield Ask(by_last_change(offset), Purpose.AUDIT)
        newest_at = changed_at(page.jobs[0]) if page.jobs else -INFINITE
        if offset == 0 or newest_at > ctx.known_from_at:
            known = page, offset
        else:
            beyond = offset
        if known is None:
            offset = max(0, offset - step_back)
            step_back *= 2
        elif beyond is None or beyond - known[1] < max(2, ctx.page_size):
            return known
        else:
            offset = (known[1] + beyond) // 2


def reconcile_from(
    ctx: SyncContext, head: Page, ranked: Ranked, boundaries: list[Boundary]
) -> Asking[None]:
    """Search on both sides of a page whose rank is wrong, as far as the list is known."""
    whole = Stretch(
        Boundary(INFINITE, -(head.total_count or 0)),
        Boundary(-INFINITE, 0) if ctx.comparable and ctx.all_known else boundaries[-1],
    )
    yield from search(ctx, whole, ranked)


def _surplus_in_front(ctx: SyncContext, boundary: Boundary) -> int:
    in_front = ctx.ledger.count_between(INFINITE, boundary.at)
    return in_front - (boundary.rank + (ctx.progress.expected or 0))


def _audit_end(ctx: SyncContext) -> Asking[None]:
    """Where the server tells no total: does the list end where the ledger does?"""
    if not ctx.all_known:
        return
    size = ctx.ledger.size
    offset = max(0, size - ctx.page_size // 2)
    page = yield Ask(by_last_change(offset), Purpose.AUDIT)
    end = offset + len(page.jobs)
    if page.jobs and len(page.jobs) < ctx.page_size and end == ctx.ledger.size:
        examine(ctx, rank_page(ctx, page, offset))
        return
    yield from close_head(ctx)
    if page.jobs and len(page.jobs) < ctx.page_size and end == ctx.ledger.size:
        return
    end = yield from _find_end(ctx)
    ctx.known_end = end
    yield from search(ctx, Stretch(Boundary(INFINITE, 0), Boundary(-INFINITE, end)))


def ends_as_known(ctx: SyncContext) -> Asking[bool]:
    """Whether the list ends where the ledger does, if the server tells no total."""
    size = ctx.ledger.size
    offset = max(0, size - max(1, ctx.page_size // 2))
    page = yield Ask(by_last_change(offset), Purpose.AUDIT)
    return offset + len(page.jobs) == size and bool(page.jobs or not size)


def _find_end(ctx: SyncContext) -> Asking[int]:
    """How long the list is, by bisection."""
    inside, beyond = 0, max(ctx.page_size, 2 * ctx.ledger.size)
    ended = False
    while inside < beyond:
        offset = (inside + beyond) // 2
        page = yield Ask(by_last_change(offset), Purpose.AUDIT)
        if not page.jobs:
            beyond, ended = offset, True
        elif len(page.jobs) < ctx.page_size:
            return offset + len(page.jobs)
        else:
            inside = offset + len(page.jobs)
            if inside >= beyond and not ended:
                beyond = 2 * inside
    return inside
