"""Holding the total against the ledger, and what follows when it does not fit."""

from exporter.model import Page
from exporter.sync.asking import Asking
from exporter.sync.context import SyncContext
from exporter.sync.delta import check_gone, close_head, shows_all_since
from exporter.sync.reconcile import reconcile
from exporter.sync.total_count import TotalsTrust

MOST_MISMATCHES = 3
"""After so many syncs in a row the total is looked at, and then the order distrusted."""


def settle(ctx: SyncContext, head: Page, totals: TotalsTrust) -> Asking[None]:
    """Explain the total, or find what it does not fit."""
    if not ctx.progress.read_through:
        return
    if not ctx.comparable or surplus_of(ctx, head) == 0:
        _settled(ctx)
        return
    head = yield from close_head(ctx)
    surplus_before = surplus_of(ctx, head)
    if surplus_before:
        yield from reconcile(ctx, head)
        head = yield from close_head(ctx)
    surplus = surplus_of(ctx, head)
    if surplus == 0:
        _settled(ctx)
        return
    if surplus > 0 and ctx.ledger.suspects and shows_all_since(ctx, head):
        # What is found gone is gone, though there is more: the next sync goes on.
        ctx.intake.correct("deleted", ctx.ledger.forget_suspects(ctx.now_at))
        return
    if surplus < 0:
        check_gone(ctx)
    ctx.ledger.restore_suspects()
    if surplus_of(ctx, head) > surplus_before > 0:
        return  # jobs are deleted faster than they are searched
    yield from _doubt(ctx, totals)


def surplus_of(ctx: SyncContext, head: Page) -> int:
    """How many more jobs the ledger has than the list, by its total."""
    return ctx.ledger.size - (head.total_count or 0)


def _settled(ctx: SyncContext) -> None:
    ctx.update(complete=True, active_known=True, mismatches=0)


def _doubt(ctx: SyncContext, totals: TotalsTrust) -> Asking[None]:
    ctx.update(mismatches=ctx.progress.mismatches + 1)
    if ctx.progress.mismatches >= MOST_MISMATCHES:
        if (yield from totals.judge(ctx)):
            _settled(ctx)
            return
        ctx.distrust_order()
        ctx.update(mismatches=0, scanned_at=0.0)
