"""What is left of a budget for queues and nodes, which come last."""

import pytest

from exporter.api.budget import AccountBudget, Demand
from exporter.model import Purpose
from tests.unit.api.budgets import AT, PERIOD, admitted, budget_of
from tests.unit.manual_clock import ManualClock


def asked(budget: AccountBudget, calls: int) -> None:
    for _ in range(calls):
        assert budget.left(Purpose.CAPACITY) > 0
        budget.admit("a")
        budget.note(Purpose.CAPACITY)


def test_all_of_it_where_nobody_needs_anything() -> None:
    assert budget_of(100, ManualClock(AT)).left(Purpose.CAPACITY) == 100


def test_refreshes_and_audits_go_before_it() -> None:
    clock = ManualClock(AT)
    budget = budget_of(100, clock)
    budget.declare("a", Demand(PERIOD / 40, 1, audits_per_second=22 / PERIOD))
    assert budget.left(Purpose.CAPACITY) == 100 - 40 - 22
    asked(budget, 38)
    assert budget.left(Purpose.CAPACITY) == 0
    assert budget.left(Purpose.AUDIT) == 22
    for _ in range(22):
        budget.admit("a")
        budget.note(Purpose.AUDIT)
    assert budget.left() == 40
    assert budget.left(Purpose.AUDIT) == budget.left(Purpose.CAPACITY) == 0
    clock.advance(PERIOD + 1)
    assert budget.left(Purpose.CAPACITY) == 38


def test_while_there_is_history_it_has_what_audits_leave_of_their_part() -> None:
    budget = budget_of(140, ManualClock(AT))
    budget.declare_capacity(50 / PERIOD)
    budget.declare("a", Demand(PERIOD / 40, 1, audits_per_second=10 / PERIOD, history=100))
    assert budget.left(Purpose.CAPACITY) == 25 - 10
    assert budget.left(Purpose.HISTORY) == 100 - 25
    asked(budget, 15)
    assert budget.left(Purpose.CAPACITY) == 0
    assert budget.left(Purpose.HISTORY) == 75
    while budget.left(Purpose.HISTORY):
        budget.admit("a")
        budget.note(Purpose.HISTORY)
    assert budget.left(Purpose.AUDIT) == 10


def test_the_history_leaves_it_no_more_than_it_wants() -> None:
    budget = budget_of(140, ManualClock(AT))
    budget.declare("a", Demand(PERIOD / 40, 1, history=100))
    assert budget.left(Purpose.HISTORY) == 100
    budget.declare_capacity(7 / PERIOD)
    assert budget.left(Purpose.HISTORY) == 93
    budget.declare_capacity(0.0)
    assert budget.left(Purpose.HISTORY) == 100


@pytest.mark.parametrize("audits", [0, 400])
def test_it_keeps_no_refresh_waiting(audits: int) -> None:
    clock = ManualClock(AT)
    budget = budget_of(600, clock)
    budget.declare_capacity(600 / PERIOD)
    budget.declare("a", Demand(60, 5, audits_per_second=audits / PERIOD))
    made = 0
    for _ in range(300):
        assert admitted(budget, 5) == 5
        asking = budget.left(Purpose.CAPACITY)
        asked(budget, asking)
        made += asking
        interval = budget.effective_interval_seconds("a")
        assert interval == pytest.approx(60, rel=0.001)
        clock.advance(interval)
    assert made >= 5 * (300 - 5) * 0.8 if not audits else made == 0
