"""What an account may spend: never more in any window, whatever is asked and whatever the clock does."""

import math
import threading
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.api.budget import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Demand,
    fair_intervals,
    longer_pause,
)
from exporter.clock import instant
from exporter.errors import BudgetExhausted
from exporter.ledger.spending import FileSpendingLog, MemorySpendingLog
from exporter.model import Pause, Purpose
from tests.unit.api.budgets import AT, PERIOD, admitted, after_a_pause, budget_of
from tests.unit.manual_clock import ManualClock


def log_of(path: Path, clock: ManualClock, most_calls: int = 100) -> FileSpendingLog:
    return FileSpendingLog(path / "default.calls", instant(clock), most_calls)


class TestWindow:
    def test_the_share_is_used_and_not_exceeded(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(10, clock)
        assert admitted(budget, 50) == 10
        assert budget.used() == 10
        clock.advance(PERIOD - 1)
        assert admitted(budget) == 0
        clock.advance(2)
        assert admitted(budget, 50) == 10

    def test_refused_says_when_to_try_again_and_then_it_passes(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(3, clock)
        for _ in range(3):
            budget.admit("any")
            clock.advance(100)
        with pytest.raises(BudgetExhausted) as caught:
            budget.admit("any")
        assert caught.value.reason == "budget"
        assert str(caught.value) == "this exporter's share of the quota is used up (3 of 3 calls)"
        assert not caught.value.retryable
        assert caught.value.until_at == pytest.approx(AT + PERIOD)
        clock.advance(caught.value.until_at - clock.now)
        budget.admit("any")
        with pytest.raises(BudgetExhausted):
            budget.admit("any")

    def test_a_refused_call_is_not_counted(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(1, clock)
        assert admitted(budget, 1000) == 1
        assert budget.used() == 1
        clock.advance(PERIOD + 1)
        assert admitted(budget) == 1

    def test_a_restart_forgets_nothing(self, tmp_path: Path) -> None:
        clock = ManualClock(AT)
        sent = 0
        for _ in range(30):
            log = log_of(tmp_path, clock)
            sent += admitted(budget_of(10, clock, log), 3)
            log.close()
            clock.advance(60)
        assert sent == 10

    def test_threads_together_stay_within_it(self) -> None:
        budget = budget_of(500, ManualClock(AT))
        sent: list[int] = []
        threads = [
            threading.Thread(target=lambda: sent.append(admitted(budget, 200))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(sent) == 500

    def test_threads_of_two_processes_on_one_file_stay_within_it(self, tmp_path: Path) -> None:
        clock = ManualClock(AT)
        logs = [log_of(tmp_path, clock) for _ in range(3)]
        budgets = [budget_of(100, clock, log) for log in logs]
        sent: list[int] = []
        threads = [
            threading.Thread(target=lambda b=budget: sent.append(admitted(b, 60)))
            for budget in budgets * 2
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(sent) == 100
        for log in logs:
            log.close()


class BudgetMachine(RuleBasedStateMachine):
    """Calls, refusals, restarts and a clock that is set back and forth; time itself goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name)
        self.clock = ManualClock(AT)
        self.sent: list[float] = []
        """When, by a clock that nobody sets."""

    @initialize(allowed=st.integers(1, 7), on_disk=st.booleans())
    def begin(self, allowed: int, on_disk: bool) -> None:
        self.allowed = allowed
        self.on_disk = on_disk
        self.logs: list[MemorySpendingLog] = []
        self.restart(processes=2 if on_disk else 1)

    @rule(processes=st.integers(1, 3))
    def restart(self, processes: int) -> None:
        if self.logs and not self.on_disk:
            return
        self._close()
        self.logs = [
            log_of(self.path, self.clock) if self.on_disk else MemorySpendingLog()
            for _ in range(processes if self.on_disk else 1)
        ]
        self.budgets = [budget_of(self.allowed, self.clock, log) for log in self.logs]

    @rule(which=st.integers(0, 2), times=st.integers(1, 9))
    def call(self, which: int, times: int) -> None:
        budget = self.budgets[which % len(self.budgets)]
        for _ in range(times):
            self.sent += [self.clock.monotonic] * admitted(budget)

    @rule(which=st.integers(0, 2), good=st.booleans())
    def answer(self, which: int, good: bool) -> None:
        budget = self.budgets[which % len(self.budgets)]
        if good:
            budget.passed()
        else:
            budget.over_quota()

    @rule(seconds=st.one_of(st.floats(0, 30), st.floats(0, 2 * PERIOD), st.just(PERIOD)))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.one_of(st.floats(-100_000, 100_000), st.sampled_from([-86400, 86400])))
    def set_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def never_too_many(self) -> None:
        for place, at in enumerate(self.sent):
            # The clocks are read a few millionths apart, and lines are rounded as much.
            window = bisect_left(self.sent, at + PERIOD - 0.01) - place
            assert window <= self.allowed, self.sent[place : place + window]

    def teardown(self) -> None:
        self._close()
        self.directory.cleanup()

    def _close(self) -> None:
        for log in getattr(self, "logs", []):
            if isinstance(log, FileSpendingLog):
                log.close()


TestBudgetStateful = BudgetMachine.TestCase
TestBudgetStateful.settings = settings(max_examples=60, stateful_step_count=20)


@pytest.mark.parametrize("back_first", [False, True])
def test_a_clock_that_is_set_forward_gives_no_more_calls(back_first: bool) -> None:
    """A machine that wakes up with a wrong clock, and then hears of the right one."""
    clock = ManualClock(AT)
    budget = budget_of(10, clock)
    if back_first:
        clock.now -= 2 * PERIOD
    sent = admitted(budget, 20)
    clock.advance(5)
    clock.now += 2 * PERIOD
    sent += admitted(budget, 20)
    assert sent == 10


DAY = 86400.0


@pytest.mark.parametrize(
    "acts",
    [
        ["call", DAY, "call", -DAY, "restart", "call"],
        ["call", -DAY, "call", "restart", DAY, "call"],
        ["call", DAY, "restart", "call", -DAY, "restart", "call"],
        ["call", "restart", -DAY, "restart", "call", DAY, "restart", "call"],
        [-1_690_000_000.0, "restart", "call", 1_690_000_000.0, "restart", "call"],
    ],
    ids=["forth and back", "back and forth", "wrong at a start", "often", "in 1970"],
)
def test_a_clock_that_jumps_makes_no_restart_forget(
    tmp_path: Path, acts: list[str | float]
) -> None:
    clock = ManualClock(AT)
    log = log_of(tmp_path, clock)
    budget, sent = budget_of(200, clock, log), 0
    for act in acts:
        if isinstance(act, float):
            clock.now += act
        elif act == "call":
            sent += admitted(budget, 120)
        else:
            log.close()
            log = log_of(tmp_path, clock)
            budget = budget_of(200, clock, log)
    sent += admitted(budget, 300)
    assert sent == 200
    clock.advance(PERIOD + 1)
    assert admitted(budget, 300) == 200
    log.close()


def test_a_clock_put_right_before_the_machine_starts_anew_makes_it_forget_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began with a wrong clock, heard of the right one, and was started again."""
    clock = ManualClock(AT - DAY)
    log = log_of(tmp_path, clock)
    budget = budget_of(200, clock, log)
    assert admitted(budget, 150) == 150
    clock.now += DAY
    assert admitted(budget, 1) == 1
    log.close()
    monkeypatch.setattr("exporter.ledger.spending.boot_id", lambda: "another")
    clock.advance(100)
    clock.monotonic = 5.0
    log = log_of(tmp_path, clock)
    assert admitted(budget_of(200, clock, log), 300) == 49
    log.close()


class TestPause:
    def test_it_grows_from_minutes_to_hours(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(10**6, clock)
        pauses = []
        for _ in range(9):
            budget.admit("any")
            budget.over_quota()
            with pytest.raises(BudgetExhausted) as caught:
                budget.admit("any")
            assert caught.value.reason == "quota"
            pauses.append(caught.value.until_at - clock.now)
            clock.advance(pauses[-1])
        assert pauses == pytest.approx([300, 600, 1200, 2400, 4800, 9600, 14400, 14400, 14400])

    @pytest.mark.parametrize("times", [0, 1, 50, 5000, 10**9])
    def test_it_has_bounds_however_often(self, times: int) -> None:
        pause = longer_pause(Pause(1000.0, times), 1001.0)
        assert FIRST_PAUSE_SECONDS <= pause.until_seconds - 1001.0 <= LONGEST_PAUSE_SECONDS
        assert pause.times == times + 1

    def test_refusals_of_one_moment_are_one(self) -> None:
        """Several threads hear of it at once."""
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        assert admitted(budget, 5) == 5
        for _ in range(5):
            budget.over_quota()
            clock.advance(1)
        with pytest.raises(BudgetExhausted) as caught:
            budget.admit("any")
        assert caught.value.until_at == pytest.approx(AT + FIRST_PAUSE_SECONDS)

    def test_one_careful_call_when_it_is_over(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        budget.admit("any")
        budget.over_quota()
        assert admitted(budget, 20) == 0
        clock.advance(FIRST_PAUSE_SECONDS + 1)
        assert admitted(budget, 20) == 1
        clock.advance(10)
        assert admitted(budget, 20) == 0
        budget.passed()
        assert admitted(budget, 20) == 20

    def test_a_careful_call_without_an_answer_is_repeated_after_a_while(self) -> None:
        clock = ManualClock(AT)
        budget = after_a_pause(clock)
        calls = 0
        for _ in range(600):
            calls += admitted(budget, 3)
            clock.advance(1)
        assert 2 <= calls <= 11

    def test_answers_to_earlier_calls_do_not_end_it(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        assert admitted(budget, 2) == 2
        budget.over_quota()
        budget.passed()
        assert admitted(budget) == 0

    def test_a_good_answer_makes_the_next_pause_short_again(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        for _ in range(4):
            budget.admit("any")
            budget.over_quota()
            clock.advance(LONGEST_PAUSE_SECONDS)
        budget.admit("any")
        budget.passed()
        budget.admit("any")
        budget.over_quota()
        with pytest.raises(BudgetExhausted) as caught:
            budget.admit("any")
        assert caught.value.until_at - clock.now == pytest.approx(FIRST_PAUSE_SECONDS)

    def test_a_restart_does_not_end_it(self, tmp_path: Path) -> None:
        clock = ManualClock(AT)
        log = log_of(tmp_path, clock)
        budget = budget_of(100, clock, log)
        for _ in range(2):
            budget.admit("any")
            budget.over_quota()
            clock.advance(FIRST_PAUSE_SECONDS + 1)
        log.close()
        log = log_of(tmp_path, clock)
        budget = budget_of(100, clock, log)
        assert admitted(budget, 5) == 0
        clock.advance(FIRST_PAUSE_SECONDS)
        assert admitted(budget, 5) == 1
        budget.over_quota()
        with pytest.raises(BudgetExhausted) as caught:
            budget.admit("any")
        assert caught.value.until_at - clock.now == pytest.approx(4 * FIRST_PAUSE_SECONDS)
        log.close()

    @pytest.mark.parametrize("jump", [-30 * DAY, 30 * DAY])
    def test_a_clock_that_is_set_changes_nothing(self, jump: float, tmp_path: Path) -> None:
        clock = ManualClock(AT)
        log = log_of(tmp_path, clock)
        budget = budget_of(100, clock, log)
        budget.admit("any")
        budget.over_quota()
        clock.now += jump
        for seconds, calls in ((0, 0), (FIRST_PAUSE_SECONDS - 1, 0), (2, 1)):
            clock.advance(seconds)
            log.close()
            log = log_of(tmp_path, clock)
            assert admitted(budget_of(100, clock, log)) == calls
        log.close()

    def test_one_that_was_written_by_a_wrong_clock_has_an_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = ManualClock(AT + 30 * DAY)
        log = log_of(tmp_path, clock)
        budget_of(100, clock, log).over_quota()
        log.close()
        monkeypatch.setattr("exporter.ledger.spending.boot_id", lambda: "another")
        clock.now = AT
        log = log_of(tmp_path, clock)
        budget = budget_of(100, clock, log)
        assert admitted(budget) == 0
        clock.advance(LONGEST_PAUSE_SECONDS + 61)
        assert admitted(budget) == 1
        log.close()

    def test_a_clock_that_is_set_back_after_the_careful_call_does_not_lock_out(self) -> None:
        clock = ManualClock(AT)
        budget = after_a_pause(clock)
        budget.admit("any")  # no answer comes
        clock.now -= 30 * 86400
        assert admitted(budget) == 0
        clock.advance(LONGEST_PAUSE_SECONDS + 61)
        assert admitted(budget) == 1


DEMANDS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.builds(
        Demand,
        interval_seconds=st.floats(1, 86400),
        calls=st.floats(1, 20_000),
    ),
    min_size=1,
)


class TestFairIntervals:
    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5))
    def test_together_they_need_no_more_than_there_is(
        self, demands: dict[str, Demand], calls: float
    ) -> None:
        intervals = fair_intervals(demands, calls, PERIOD)
        assert intervals.keys() == demands.keys()
        need = sum(demands[name].calls * PERIOD / intervals[name] for name in demands)
        assert need <= calls * (1 + 1e-9)

    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5))
    def test_nobody_is_asked_more_often_than_wanted(
        self, demands: dict[str, Demand], calls: float
    ) -> None:
        intervals = fair_intervals(demands, calls, PERIOD)
        assert all(intervals[name] >= demands[name].interval_seconds for name in demands)

    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5))
    def test_who_needs_no_more_than_an_equal_part_is_not_stretched(
        self, demands: dict[str, Demand], calls: float
    ) -> None:
        intervals = fair_intervals(demands, calls, PERIOD)
        for name, demand in demands.items():
            if demand.calls * PERIOD / demand.interval_seconds <= calls / len(demands):
                assert intervals[name] == demand.interval_seconds

    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5))
    def test_no_call_is_left_over_while_somebody_is_stretched(
        self, demands: dict[str, Demand], calls: float
    ) -> None:
        intervals = fair_intervals(demands, calls, PERIOD)
        if any(intervals[name] > demands[name].interval_seconds * (1 + 1e-9) for name in demands):
            need = sum(demands[name].calls * PERIOD / intervals[name] for name in demands)
            assert need == pytest.approx(calls)

    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5), more=st.floats(1, 100))
    def test_a_bigger_share_makes_no_interval_longer(
        self, demands: dict[str, Demand], calls: float, more: float
    ) -> None:
        before = fair_intervals(demands, calls, PERIOD)
        after = fair_intervals(demands, calls * more, PERIOD)
        assert all(after[name] <= before[name] * (1 + 1e-9) for name in demands)

    @given(demands=DEMANDS, calls=st.floats(0.9, 1e5), more=st.floats(1, 100))
    def test_what_one_costs_more_shortens_no_other_interval(
        self, demands: dict[str, Demand], calls: float, more: float
    ) -> None:
        dear = min(demands)
        costlier = demands | {
            dear: Demand(demands[dear].interval_seconds, demands[dear].calls * more)
        }
        before = fair_intervals(demands, calls, PERIOD)
        after = fair_intervals(costlier, calls, PERIOD)
        assert all(after[name] >= before[name] * (1 - 1e-9) for name in demands)

    def test_nobody_wants_anything(self) -> None:
        assert fair_intervals({}, 900.0, PERIOD) == {}

    def test_half_goes_by_what_has_happened(self) -> None:
        demands = {f"{n}": Demand(60, 1, worth=worth) for n, worth in enumerate((0, 0, 1, 3))}
        intervals = fair_intervals(demands, 16.0, PERIOD)
        parts = [PERIOD / intervals[name] for name in demands]
        assert parts == pytest.approx([2, 2, 4, 8])

    @given(
        demands=DEMANDS, calls=st.floats(0.9, 1e5), worths=st.lists(st.floats(0, 1e3), min_size=9)
    )
    def test_no_interval_is_longer_than_twice_what_equal_parts_make_it(
        self, demands: dict[str, Demand], calls: float, worths: list[float]
    ) -> None:
        pairs = zip(demands.items(), worths * len(demands), strict=False)
        worthy = {name: replace(demand, worth=worth) for (name, demand), worth in pairs}
        intervals = fair_intervals(worthy, calls, PERIOD)
        for name, demand in demands.items():
            least = demand.calls * PERIOD / (calls / len(demands))
            assert intervals[name] <= max(demand.interval_seconds, 2 * least) * (1 + 1e-9)
        need = sum(demands[name].calls * PERIOD / intervals[name] for name in demands)
        assert need <= calls * (1 + 1e-9)

    def test_what_serves_all_is_served_first_and_leaves_half(self) -> None:
        demands = {"list": Demand(60, 1, worth=math.inf), "a": Demand(60, 1), "b": Demand(60, 1)}
        assert fair_intervals(demands, 90.0, PERIOD) == pytest.approx(
            {"list": 80, "a": 160, "b": 160}
        )
        assert fair_intervals(demands, 180.0, PERIOD) == {"list": 60, "a": 60, "b": 60}

    def test_a_costly_cluster_stretches_itself(self) -> None:
        demands = {"small": Demand(60, 1), "large": Demand(60, 1000)}
        intervals = fair_intervals(demands, 900.0, PERIOD)
        assert intervals["small"] == 60
        assert intervals["large"] == pytest.approx(1000 * 3600 / 840)


class TestLeftFor:
    def test_all_of_it_where_nobody_needs_anything(self) -> None:
        budget = budget_of(100, ManualClock(AT))
        assert budget.left() == 100
        assert budget.left(Purpose.AUDIT) == 100
        assert budget.left(Purpose.HISTORY) == 100

    def test_what_refreshes_need_is_kept(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        budget.declare("a", Demand(3600 / 40, 1))
        assert budget.left(Purpose.AUDIT) == 60
        for _ in range(39):
            clock.advance(90)
            budget.admit("a")
            clock.advance(1)
            assert budget.left(Purpose.AUDIT) == 60
            clock.advance(-1)
        assert budget.left() == 61

    def test_calls_that_came_all_at_once_are_missed_until_they_leave(self) -> None:
        """They come back all at once, too: until then the refreshes need what is left."""
        budget = budget_of(100, ManualClock(AT))
        budget.declare("a", Demand(3600 / 40, 1))
        assert admitted(budget, 50) == 50
        assert budget.left(Purpose.AUDIT) == 50 - 40
        assert admitted(budget, 50) == 50
        assert budget.left(Purpose.AUDIT) == 0

    def test_what_was_taken_beside_refreshes_counts_for_one_window(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        budget.declare("a", Demand(3600 / 40, 1))
        for _ in range(25):
            budget.admit("a")
            budget.note(Purpose.AUDIT)
        assert budget.left(Purpose.AUDIT) == budget.left(Purpose.HISTORY) == 35
        for _ in range(39):
            clock.advance(90)
            budget.admit("a")
        assert budget.left(Purpose.AUDIT) == budget.left(Purpose.HISTORY) == 35
        clock.advance(91)
        budget.admit("a")
        clock.advance(1)
        assert budget.left(Purpose.AUDIT) == budget.left(Purpose.HISTORY) == 60

    def test_audits_and_the_history_leave_each_other_a_part(self) -> None:
        budget = budget_of(100, ManualClock(AT))
        budget.declare("a", Demand(3600 / 40, 1, audits_per_second=22 / PERIOD, history=100))
        assert budget.left(Purpose.AUDIT) == 30
        assert budget.left(Purpose.HISTORY) == 45
        for _ in range(45):
            budget.admit("a")
            budget.note(Purpose.HISTORY)
        assert budget.left(Purpose.AUDIT) == 15
        assert budget.left(Purpose.HISTORY) == 0
        for _ in range(15):
            budget.admit("a")
            budget.note(Purpose.AUDIT)
        assert budget.left(Purpose.AUDIT) == 0

    def test_how_long_all_histories_take_with_what_is_left(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        budget.declare("a", Demand(PERIOD / 40, 1, history=60))
        assert budget.history_seconds() == 0
        budget.declare("b", Demand(PERIOD / 20, 1, history=80))
        assert budget.history_seconds() == 3 * PERIOD  # 40 calls now, and in each window
        for _ in range(40):
            clock.advance(10)
            budget.admit("a")
            budget.note(Purpose.HISTORY)
        budget.declare("a", Demand(PERIOD / 40, 1, history=20))
        assert budget.history_seconds() == 3 * PERIOD - 200  # the last call follows one 200 s ago

    @pytest.mark.parametrize("allowed", [2, 3, 9, 15, 100])
    def test_the_history_has_a_call_in_any_budget_that_leaves_one(self, allowed: int) -> None:
        budget = budget_of(allowed, ManualClock(AT))
        budget.declare("a", Demand(60, 1, audits_per_second=30 / PERIOD, history=100))
        audits = 0
        while budget.left(Purpose.AUDIT):
            budget.admit("a")
            budget.note(Purpose.AUDIT)
            audits += 1
        assert budget.left(Purpose.HISTORY) >= 1
        assert audits or allowed < 20

    def test_it_is_never_negative_where_the_share_is_short(self) -> None:
        budget = budget_of(100, ManualClock(AT))
        budget.declare("a", Demand(60, 50))
        budget.declare("b", Demand(60, 50))
        assert 0 <= budget.left(Purpose.HISTORY) <= 10
        assert admitted(budget, 100) == 100
        assert budget.left(Purpose.AUDIT) == 0

    def test_a_cluster_that_left_needs_nothing(self) -> None:
        budget = budget_of(100, ManualClock(AT))
        budget.declare("a", Demand(60, 50))
        budget.declare("a", None)
        budget.declare("never there", None)
        assert budget.left(Purpose.AUDIT) == 100

    @pytest.mark.parametrize("clusters", [1, 2, 5, 9])
    def test_spending_what_is_left_refuses_no_refresh_and_wastes_little(
        self, clusters: int
    ) -> None:
        """One cluster reads its history with all that is left, for many hours."""
        clock = ManualClock(AT)
        budget = budget_of(600, clock)
        names = [f"cluster-{number}" for number in range(clusters)]
        for name in names:
            budget.declare(name, Demand(60, 1, history=100))
        history = 0
        for _ in range(300):
            for name in names:
                budget.admit(name)
            for _ in range(budget.left(Purpose.HISTORY)):
                budget.admit("cluster-0")
                budget.note(Purpose.HISTORY)
                history += 1
            interval = max(budget.effective_interval_seconds(name) for name in names)
            assert interval == pytest.approx(60, rel=0.001)
            clock.advance(interval)
        assert history >= 5 * (600 * 0.95 - 60 * clusters) * 0.8

    def test_after_a_restart_calls_that_nobody_knows_are_not_forgotten(
        self, tmp_path: Path
    ) -> None:
        clock = ManualClock(AT)
        log = log_of(tmp_path, clock)
        assert admitted(budget_of(100, clock, log), 50) == 50
        log.close()
        clock.advance(10)
        log = log_of(tmp_path, clock)
        budget = budget_of(100, clock, log)
        budget.declare("a", Demand(3600 / 40, 1))
        assert budget.left(Purpose.AUDIT) == 50 - 39
        log.close()

    def test_a_clock_that_is_set_forward_frees_nothing(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        assert admitted(budget, 70) == 70
        clock.now += 2 * PERIOD
        assert budget.left() == budget.left(Purpose.HISTORY) == 30


class TestEffectiveInterval:
    def test_with_room_it_is_as_wanted(self) -> None:
        budget = budget_of(100, ManualClock(AT))
        budget.declare("a", Demand(60, 1))
        assert budget.effective_interval_seconds("a") == 60

    def test_it_is_stretched_before_the_window_is_full(self) -> None:
        """Sixty calls have been made at once: the forty that are left last until they are back."""
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        budget.declare("a", Demand(60, 1))
        assert admitted(budget, 60) == 60
        syncs = 0
        while clock.now < AT + 3 * PERIOD:
            interval = budget.effective_interval_seconds("a")
            assert 60 <= interval <= 90
            clock.advance(interval)
            budget.admit("a")
            syncs += 1
        assert syncs >= 150

    def test_who_needs_little_is_not_stretched_with_who_needs_much(self) -> None:
        budget = budget_of(1000, ManualClock(AT))
        budget.declare("small", Demand(60, 1))
        budget.declare("large", Demand(60, 10))
        assert admitted(budget, 500) == 500
        assert budget.effective_interval_seconds("small") == 60
        assert budget.effective_interval_seconds("large") > 80

    def test_nobody_waits_longer_than_until_there_is_room_for_all(self) -> None:
        clock = ManualClock(AT)
        budget = budget_of(100, clock)
        for number in range(10):
            budget.declare(f"cluster-{number}", Demand(60, 1))
        assert admitted(budget, 100) == 100
        clock.advance(600)
        waits = [budget.effective_interval_seconds(f"cluster-{n}") for n in range(10)]
        assert waits == pytest.approx([3000] * 10, abs=1)
