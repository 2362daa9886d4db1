"""One sync of one cluster: which ways are gone, in which order, and what is proven at the end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from exporter.errors import SyncError
from exporter.ledger.store import Ledger, Marks
from exporter.model import END_STATUSES, PAGE_LIMIT, Page
from exporter.sync.asking import (
    Allowance,
    Ask,
    Asking,
    FilterBroken,
    OrderBroken,
    PageCutShort,
    Purpose,
)
from exporter.sync.audit import (
    audit_interval_at_rest,
    confirm_without_total,
    run_due_audits,
)
from exporter.sync.backfill import backfill, probation, probation_calls
from exporter.sync.context import SyncContext, SyncSettings, bottom_at, uuids
from exporter.sync.delta import catch_up, close_head, read_head
from exporter.sync.evidence import changed_at, known_up_to_at, newest_first
from exporter.sync.intake import RECENT_SECONDS, Intake
from exporter.sync.scan import is_whole, scan, take_whole
from exporter.sync.settle import MOST_MISMATCHES, settle
from exporter.sync.sweep import sweep_active, sweep_cost
from exporter.sync.total_count import TotalsTrust, explained_by_total, ignored, without_totals
from exporter.sync.visit import resolve_set_aside

MOST_SCANNED_PAGES = 20
GRACE_INTERVALS = 3
"""So long a proven order that was broken may take to be proven again, before the list is scanned."""
BELIEVED_EMPTY_HEADS = BELIEVED_SHORT_PAGES = 3
NOT_ACTIVE = END_STATUSES | {""}


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one sync did."""

    strategy: str
    changes: int
    corrections: dict[str, int]


class Replica:
    """The ledger of one cluster and how it is kept equal to the remote list.

    ``refresh`` and ``background`` are conversations (see ``asking``); whoever holds the other end
    runs a refresh within one transaction, and each step of the background within one of its own.
    """

    def __init__(self, ledger: Ledger, settings: SyncSettings, rng: Random) -> None:
        self.ledger = ledger
        self.settings = settings
        self._rng = rng
        self._scan_marks: Marks | None = None
        self._empty_heads = 0
        self._refreshed = False
        self._doubts = 0
        self._short_pages = 0
        self._pairs: frozenset[tuple[str, str]] | None = None
        """Who had an active job at the end of the last refresh."""
        self._worked_between = self._working_between = False
        """Whether there has been a background since then, and whether one is going on."""
        self._totals = TotalsTrust(BELIEVED_SHORT_PAGES)
        self._background_totals = TotalsTrust(1)

    def refresh(self, now_at: float, allowance: Allowance) -> Asking[Refreshed]:
        """Bring the ledger up to date. ``now_at`` is the server's time as well as it is known."""
        ctx = self._context(now_at, allowance)
        try:
            refreshed = yield from self._totals.listen(ctx, lambda: self._refresh(ctx))
        except PageCutShort:
            self._short_pages += 1
            raise
        self._short_pages = 0
        return refreshed

    def _refresh(self, ctx: SyncContext) -> Asking[Refreshed]:
        if self._short_pages >= BELIEVED_SHORT_PAGES and not ignored(ctx):
            ctx.update(page_cap=0)  # it is no slip: the server's pages have become shorter
        pairs_before = self._pairs_before()
        head = yield from read_head(ctx)
        if ctx.progress.expected is None:  # none is told, or one that its own page disproves
            head = replace(head, total_count=None)
            return (yield from without_totals(self._go_on(ctx, head, pairs_before)))
        return (yield from self._go_on(ctx, head, pairs_before))

    def _go_on(
        self, ctx: SyncContext, head: Page, pairs_before: frozenset[tuple[str, str]]
    ) -> Asking[Refreshed]:
        self._doubt_emptiness(head)
        self._tell_time(ctx, head)
        if ctx.progress.filters == "ignored" and ctx.now_at >= ctx.progress.filters_retry_at:
            ctx.update(filters="unknown")
        if (yield from self._is_whole(ctx, head)):
            strategy = self._one_page(ctx, head)
        else:
            strategy = yield from self._longer_list(ctx, head)
        yield from self._doubt_suspects(ctx, strategy)
        ctx.intake.correct("deleted", self.ledger.forget_suspects(ctx.now_at))
        if ctx.intake.corrections.keys() & {"changed", "missing"}:
            ctx.distrust_order()
            ctx.update(scanned_at=0.0)
        self._finish(ctx, pairs_before)
        self._refreshed = True
        return Refreshed(strategy, ctx.intake.changes, dict(ctx.intake.corrections))

    def full_look(self, now_at: float) -> Asking[Refreshed]:
        """Read the whole list once, whatever it costs."""
        ctx = self._context(now_at, lambda _: 0)
        try:
            return (yield from self._full_look(ctx))
        except SyncError as error:
            if not explained_by_total(error) or not (yield from self._totals.judge(ctx)):
                raise
        return (yield from without_totals(self._full_look(ctx)))

    def _full_look(self, ctx: SyncContext) -> Asking[Refreshed]:
        head = yield from read_head(ctx)
        self._tell_time(ctx, head)
        if is_whole(ctx, head):
            take_whole(ctx, head)
        else:
            yield from scan(ctx, self.ledger.marks(), purpose=Purpose.FRESH, head=head)
        ctx.update(last_success_at=ctx.now_at)
        return Refreshed("scan", ctx.intake.changes, {})

    def background(self, now_at: float, allowance: Allowance) -> Asking[None] | None:
        """What is worth doing with calls that are left over; None if nothing is."""
        ctx = self._context(now_at, allowance)
        conversation = self._worth_doing(ctx)
        if conversation is None:
            return None
        if ctx.progress.expected is None:
            conversation = without_totals(conversation)
        self._worked_between = True
        return self._noted(self._background_totals.listen(ctx, lambda: conversation))

    def _noted(self, asking: Asking[None]) -> Asking[None]:
        self._working_between = True
        try:
            yield from asking
        finally:
            self._working_between = False

    def _worth_doing(self, ctx: SyncContext) -> Asking[None] | None:
        progress = ctx.progress
        if progress.newest_at is not None:
            patient_until_at = max(progress.distrusted_until_at, progress.sort_retry_at)
            if progress.sort == "unknown" and ctx.now_at >= patient_until_at:
                # Its calls are a refresh's: until the order is proven, each costs several.
                affordable = ctx.may(Purpose.FRESH, probation_calls(ctx))
                return guarded(ctx, probation) if affordable else None
            if ctx.order_trusted:
                return None if progress.read_through else guarded(ctx, backfill)
        return self._scan_if_due(ctx)

    def _is_whole(self, ctx: SyncContext, head: Page) -> Asking[bool]:
        """Whether the head is the whole list. A list that seems to have lost most of itself, with no
        total to say so, is asked for more: perhaps its pages have only become shorter. And so is
        one that ends, by its total, with a full page, when a new job stands on it or a known one does
        not: a server may count up to a limit only."""
        size = len(head.jobs)
        full = head.total_count == size >= PAGE_LIMIT
        if not full and not is_whole(ctx, head):
            return False
        if full:
            doubtful = len(self.ledger.known(uuids(head))) < size or self.ledger.size > size
        else:
            doubtful = head.total_count is None and 0 < size < self.ledger.size
        if doubtful:
            more = yield Ask(ctx.query(size - 1))
            ctx.require_full(more, size - 1)
            if len(more.jobs) > 1:
                ctx.update(page_cap=size)
                return False
        return True

    # -- the ways ------------------------------------------------------------------------------

    def _one_page(self, ctx: SyncContext, head: Page) -> str:
        take_whole(ctx, head)
        sorted_by_change = newest_first(head.jobs) and ctx.progress.sort in ("unknown", "honoured")
        ctx.update(newest_at=None, frontier_at=None)
        return "delta" if sorted_by_change and head.jobs else "scan"

    def _longer_list(self, ctx: SyncContext, head: Page) -> Asking[str]:
        self._judge_order(ctx, head)
        if ctx.order_trusted and ctx.progress.newest_at is not None:
            try:
                yield from self._by_delta(ctx, head)
            except OrderBroken:
                self.ledger.restore_suspects()
                ctx.lose_order("ignored")
            else:
                return "delta"
        return (yield from self._without_order(ctx, head))

    def _judge_order(self, ctx: SyncContext, head: Page) -> None:
        sort = ctx.progress.sort
        if sort == "refused":
            return
        if not newest_first(head.jobs):
            if sort != "ignored":
                ctx.lose_order("ignored")
        elif sort == "ignored" and ctx.now_at >= ctx.progress.sort_retry_at:
            ctx.update(sort="unknown")  # it looks sorted again: worth proving

    def _by_delta(self, ctx: SyncContext, head: Page) -> Asking[None]:
        joined = yield from catch_up(ctx, head)
        if not joined:
            ctx.update(active_known=False)
            if ctx.progress.filters != "ignored":
                with suppress(FilterBroken):  # which is remembered: the gap alone will show them
                    yield from sweep_active(ctx)
                    ctx.update(active_known=True)
                head = yield from close_head(ctx)
        yield from settle(ctx, head, self._totals)
        if ctx.all_known and self.ledger.count_status(""):
            yield from resolve_set_aside(ctx)
        # After a restart, first things first: the audits that have fallen due can wait for a sync.
        if ctx.progress.active_known and self._refreshed:
            yield from run_due_audits(ctx, head)

    def _without_order(self, ctx: SyncContext, head: Page) -> Asking[str]:
        ctx.intake.take(head.jobs)
        perhaps_sorted = ctx.progress.sort in ("unknown", "honoured")
        if ctx.progress.filters != "ignored" and self._sweep_is_cheaper(ctx):
            try:
                yield from self._by_sweep(ctx, head, perhaps_sorted=perhaps_sorted)
            except FilterBroken:
                self.ledger.restore_suspects()
            else:
                return "sweep"
        to_be_proven = perhaps_sorted and ctx.now_at >= ctx.progress.sort_retry_at
        if to_be_proven and ctx.whole_list_cost > MOST_SCANNED_PAGES:
            # No filter helps, and a scan is dear: then the order is proven first.
            yield from guarded(ctx, probation)
            if ctx.order_trusted:
                self._note_frontier(ctx, head)
                return "delta"
        self._scan_marks = None
        in_order = yield from scan(ctx, self.ledger.marks(), purpose=Purpose.FRESH, head=head)
        if to_be_proven:
            yield from self._judge_scanned(ctx, in_order=in_order)
        return "scan"

    def _by_sweep(self, ctx: SyncContext, head: Page, *, perhaps_sorted: bool) -> Asking[None]:
        yield from sweep_active(ctx)
        ctx.update(active_known=True)
        if perhaps_sorted and self.ledger.active_statuses():
            yield from self._close_sweep(ctx)
        elif perhaps_sorted:
            self._note_frontier(ctx, head)  # nothing took any time

    def _judge_scanned(self, ctx: SyncContext, *, in_order: bool) -> Asking[None]:
        if not in_order:
            ctx.lose_order("ignored")
        elif ctx.whole_list_cost <= MOST_SCANNED_PAGES:
            if not ctx.order_trusted:  # as it is where a list of one page has only grown
                yield from guarded(ctx, probation)
            if ctx.order_trusted:
                yield from self._close_sweep(ctx)

    def _close_sweep(self, ctx: SyncContext) -> Asking[None]:
        try:
            head = yield from close_head(ctx)
        except OrderBroken:
            self.ledger.restore_suspects()
            ctx.lose_order("ignored")
        else:
            if head.jobs:
                self._note_frontier(ctx, head)

    def _note_frontier(self, ctx: SyncContext, head: Page) -> None:
        frontier_at = bottom_at(head)
        floor_at = ctx.progress.floor_at
        joined = ctx.progress.complete and floor_at is not None and frontier_at < floor_at
        ctx.update(newest_at=changed_at(head.jobs[0]), frontier_at=frontier_at, read_through=joined)

    def _sweep_is_cheaper(self, ctx: SyncContext) -> bool:
        return ctx.whole_list_cost > sweep_cost(ctx) + 1

    # -- in the background -----------------------------------------------------------------------

    def _scan_if_due(self, ctx: SyncContext) -> Asking[None] | None:
        progress = ctx.progress
        if not progress.active_known or not self._sweep_is_cheaper(ctx):
            return None  # then every sync is a scan
        lost_seconds = ctx.now_at - progress.order_lost_at
        if (
            progress.complete
            and 0 <= lost_seconds < GRACE_INTERVALS * self.settings.interval_seconds
        ):
            return None  # it will be known soon whether the order is back
        interval_seconds = audit_interval_at_rest(self.settings)
        if progress.complete and 0 <= ctx.now_at - progress.scanned_at < interval_seconds:
            return None
        return self._scan(ctx)

    def _scan(self, ctx: SyncContext) -> Asking[None]:
        # What a refresh sees while the scan goes on has been seen, wherever the scan has got to.
        self._scan_marks = marks = self.ledger.marks()
        try:
            in_order = yield from scan(ctx, marks, purpose=Purpose.HISTORY)
            if not in_order and ctx.progress.sort != "refused":
                # What pages here and there may hide from a probation.
                floor_at = ctx.progress.floor_at
                ctx.lose_order("ignored")
                ctx.update(floor_at=floor_at)
        finally:
            self._scan_marks = None
            marks.drop()

    def _doubt_suspects(self, ctx: SyncContext, strategy: str) -> Asking[None]:
        """Jobs that the head ought to show, and does not: where no total says so, or by an order
        that has only just been proven. If the list's length is wrong without them, it was proven by
        chance."""
        if not self.ledger.suspects:
            return
        if not ctx.comparable and ctx.order_trusted:
            yield from self._confirm_without_total(ctx)
            return
        known = ctx.progress.complete and ctx.comparable
        if known and strategy != "delta" and self.ledger.size != ctx.progress.expected:
            self.ledger.restore_suspects()
            ctx.lose_order("ignored")

    def _confirm_without_total(self, ctx: SyncContext) -> Asking[None]:
        try:
            proven = yield from confirm_without_total(ctx)
        except OrderBroken:
            proven = False
        self._doubts = 0 if proven else self._doubts + 1
        if not proven:
            self.ledger.restore_suspects()
        if self._doubts >= MOST_MISMATCHES:
            self._doubts = 0
            ctx.distrust_order()

    def _doubt_emptiness(self, head: Page) -> None:
        """A list that was long and is suddenly empty, with no total to say so, is believed only if
        it says so several times."""
        if head.jobs or head.total_count is not None or not self.ledger.size:
            self._empty_heads = 0
            return
        self._empty_heads += 1
        if self._empty_heads < BELIEVED_EMPTY_HEADS:
            raise SyncError(
                "payload",
                f"the server sends no job at all, where {self.ledger.size} were known",
                advice="If the list really is empty now, the next syncs will say so, too.",
            )

    # -- around it -------------------------------------------------------------------------------

    def _context(self, now_at: float, allowance: Allowance) -> SyncContext:
        progress = self.ledger.progress
        intake = Intake(
            ledger=self.ledger,
            began_at=progress.began_at if progress.began_at is not None else float("inf"),
            now_at=now_at,
            settled=progress.all_known,
            known_up_to_at=known_up_to_at(progress),
            also_mark=self._scan_marks,
        )
        ctx = SyncContext(
            ledger=self.ledger,
            intake=intake,
            settings=self.settings,
            allowance=allowance,
            rng=self._rng,
            now_at=now_at,
        )
        ctx.open_window()
        return ctx

    def _tell_time(self, ctx: SyncContext, head: Page) -> None:
        if head.server_time_at is not None:
            ctx.now_at = ctx.intake.now_at = head.server_time_at
            ctx.open_window()
        if ctx.progress.began_at is None:
            tomorrow_at = ctx.now_at + 86400  # what is later is no zone's time, but nonsense
            times = (changed_at(job) for job in head.jobs)
            newest_at = max((at for at in times if at <= tomorrow_at), default=0)
            # What happened in the very second in which the ledger began, happened before.
            began_at = float(max(int(ctx.now_at), newest_at) + 1)
            ctx.intake.began_at = began_at
            ctx.update(began_at=began_at)

    def _pairs_before(self) -> frozenset[tuple[str, str]]:
        """Who has had an active job since the end of the last refresh: what the background finds
        gone in between counts, too."""
        if self._pairs is not None and not self._worked_between:
            return self._pairs
        return active_pairs(self.ledger) | (self._pairs or frozenset())

    def _finish(self, ctx: SyncContext, pairs_before: frozenset[tuple[str, str]]) -> None:
        if ctx.windowed:
            self.ledger.drop_older(ctx.intake.window_from_at)
        self._pairs, self._worked_between = active_pairs(self.ledger), self._working_between
        for queue, user in pairs_before - self._pairs:
            self.ledger.note_activity(queue, user, ctx.now_at)
        self.ledger.forget_activity(ctx.now_at - RECENT_SECONDS)
        ctx.update(last_success_at=ctx.now_at)


def active_pairs(ledger: Ledger) -> frozenset[tuple[str, str]]:
    """The (queue, user) pairs that have an active job."""
    return frozenset(
        (queue, user) for (status, queue, user) in ledger.totals() if status not in NOT_ACTIVE
    )


def guarded(ctx: SyncContext, conversation: Callable[[SyncContext], Asking[None]]) -> Asking[None]:
    """A conversation that relies on the order; if that does not hold, it is remembered."""
    try:
        yield from conversation(ctx)
    except OrderBroken:
        ctx.lose_order("ignored")
