"""A budget of one account, by hand."""

from exporter.api.budget import FIRST_PAUSE_SECONDS, AccountBudget
from exporter.errors import BudgetExhausted
from exporter.ledger.spending import MemorySpendingLog
from tests.unit.manual_clock import ManualClock

AT = 1_700_000_000.0
PERIOD = 3600.0


def budget_of(
    allowed: int, clock: ManualClock, log: MemorySpendingLog | None = None
) -> AccountBudget:
    return AccountBudget(
        allowed=allowed, period_seconds=PERIOD, clock=clock, log=log or MemorySpendingLog()
    )


def after_a_pause(clock: ManualClock) -> AccountBudget:
    """One whose only call was refused for the quota; the pause is just over."""
    budget = budget_of(100, clock)
    budget.admit("any")
    budget.over_quota()
    clock.advance(FIRST_PAUSE_SECONDS + 1)
    return budget


def admitted(budget: AccountBudget, times: int = 1) -> int:
    """Try so many calls; returns how many may be sent."""
    sent = 0
    for _ in range(times):
        try:
            budget.admit("any")
        except BudgetExhausted:
            continue
        sent += 1
    return sent
