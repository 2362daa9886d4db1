"""The loop of one cluster: when it asks, what it publishes, and what it survives."""

import logging
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event, current_thread

import pytest

from exporter.api.budget import Demand
from exporter.clock import SystemClock, instant
from exporter.errors import (
    HttpStatusError,
    PayloadError,
    RefusedError,
    Stopped,
    SyncError,
    TransportError,
)
from exporter.ledger.keeper import DISK_RETRY_SECONDS
from exporter.ledger.store import Ledger, LedgerUnreadable, LedgerUnwritable, open_ledger
from exporter.model import END_STATUSES, JobListQuery
from exporter.polling.poller import STUCK_SECONDS
from exporter.simulator import DIALECTS, DOCUMENTED, Dialect, JobList, fill
from exporter.sync.asking import Ask, Asking
from exporter.sync.context import SyncSettings
from tests.unit.ledger.made import tallied
from tests.unit.polling.polled import IDENTITY, TIMEOUT, PolledCluster
from tests.unit.sync.settled import Traffic, newest_change_first, settled
from tests.unit.sync.simulated import CLUSTER_ID, START_AT, SimulatedCluster
from tests.waiting import PATIENCE_SECONDS


def polled(jobs: int = 300, dialect: Dialect = DOCUMENTED, **how: object) -> PolledCluster:
    listed = JobList()
    fill(listed, jobs, active=min(40, jobs), now_at=START_AT - 5)
    return PolledCluster(SimulatedCluster(dialect, jobs=listed), **how)  # type: ignore[arg-type]


class TestGoingWell:
    def test_it_publishes_first_that_it_has_not_tried(self) -> None:
        cloud = polled()
        cloud.poller._parts.publish(cloud.poller._state)
        assert not cloud.state.tried
        assert not cloud.state.up
        assert cloud.state.snapshot is None

    def test_the_counts_are_right_after_one_turn_and_its_background(self) -> None:
        cloud = polled()
        cloud.turn()
        cloud.clock.advance(60)
        cloud.turn()
        assert cloud.shown == cloud.cluster.true_counts()
        assert cloud.state.up
        assert cloud.state.tried
        assert cloud.state.failure is None
        assert cloud.state.snapshot is not None
        assert cloud.state.snapshot.history_complete

    def test_it_keeps_its_beat(self) -> None:
        cloud = polled()
        cloud.run(3600)
        assert 59 <= len(cloud.sync_times) <= 62
        gaps = {round(b - a) for a, b in pairwise(cloud.sync_times[1:])}
        assert gaps == {60}

    def test_told_to_stop_it_asks_and_publishes_no_more(self) -> None:
        """Else a cluster that has left would be on the board again."""
        cloud = polled()
        cloud.trouble = lambda query: cloud.clock.stop()
        with pytest.raises(Stopped):
            cloud.turn()
        assert len(cloud.call_times) == 1
        assert not [state for state in cloud.published if state.tried]

    @pytest.mark.parametrize("jump_seconds", [-3600.0, 3600.0])
    def test_a_clock_that_is_set_delays_nothing(self, jump_seconds: float) -> None:
        """While the history is being read."""
        cloud = polled(3_000)
        heads: list[float] = []
        jump = [jump_seconds]

        def set_once(query: JobListQuery) -> None:
            if query.offset > 1_000 and jump:
                cloud.clock.now += jump.pop()
                cloud.clock.stop_at = cloud.clock.now + 7200
            if query.offset == 0 and query.status is None:
                heads.append(cloud.clock.monotonic)

        cloud.trouble = set_once
        cloud.run(600)
        assert not jump
        assert max(b - a for a, b in pairwise(heads)) <= 1.5 * cloud.settings.interval_seconds

    def test_snapshots_tell_when_they_were_true(self) -> None:
        cloud = polled()
        cloud.call_seconds = 7.0
        cloud.run(600)
        for state in cloud.published:
            if state.snapshot is not None:
                assert state.snapshot.taken_at == state.last_success_at
                assert state.last_success_at in cloud.sync_times

    def test_it_follows_the_list(self) -> None:
        cloud = polled()
        traffic = Traffic(cloud.cluster)
        for _ in range(12):
            traffic.pass_by(10)
            cloud.clock.advance(60)
            cloud.turn()
        assert cloud.shown == cloud.cluster.true_counts()
        assert cloud.telemetry.syncs == {"ok": 12}

    def test_a_stop_ends_it_wherever_it_sleeps(self) -> None:
        cloud = polled()
        cloud.clock.stop()
        cloud.poller._run()
        assert cloud.call_times == []

    def test_a_stop_ends_it_wherever_it_calls(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.turn()
        cloud.fail(Stopped("the program is stopping"))
        with pytest.raises(Stopped):
            cloud.turn()
        assert cloud.telemetry.syncs == {"ok": 1}
        cloud.poller._run()  # ends, and closes the ledger
        assert cloud.keeper.ledger is None
        assert cloud.telemetry.syncs == {"ok": 1}


class TestFailing:
    def test_waits_grow_to_the_contracts_limit(self) -> None:
        cloud = polled()
        cloud.fail()
        waits = []
        for _ in range(5):
            waits.append(round(cloud.turn()))
            cloud.clock.advance(waits[-1])
        assert waits == [60, 120, 180, 180, 180]

    def test_a_short_interval_is_tried_again_within_half_a_minute(self) -> None:
        cloud = polled(settings=SyncSettings(interval_seconds=1))
        cloud.fail()
        waits = []
        for _ in range(9):
            waits.append(round(cloud.turn()))
            cloud.clock.advance(waits[-1])
        assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (TIMEOUT, "timeout"),
            (PayloadError("payload", "nonsense", retryable=True, advice="Report it."), "payload"),
            (RefusedError(1400, "denied", "no", retryable=False, advice="Ask."), "denied"),
            (SyncError("moving", "it moves", advice="Wait."), "moving"),
            (LedgerUnreadable("it is damaged"), "state"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_last_snapshot_stays_and_the_failure_is_said(
        self, error: Exception, reason: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        cloud = polled()
        cloud.turn()
        cloud.clock.advance(60)
        cloud.turn()
        before = cloud.state
        cloud.fail(error)
        cloud.clock.advance(60)
        cloud.turn()
        state = cloud.state
        assert not state.up
        assert state.snapshot == before.snapshot
        assert state.last_success_at == before.last_success_at
        assert state.failure is not None
        assert (state.failure.reason, state.failure.message) == (reason, str(error))
        assert cloud.telemetry.syncs[reason] == 1
        assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
            "the cluster could not be synced"
        ]
        cloud.recover()
        cloud.clock.advance(60)
        cloud.turn()
        assert cloud.state.up
        assert cloud.state.failure is None
        assert "the cluster is synced again" in caplog.messages

    def test_a_failed_sync_changes_nothing_that_is_seen(self, tmp_path: Path) -> None:
        """The third page of a long delta does not come: what the first two told is not shown."""
        cloud = polled(2_000, path=tmp_path / "one.ledger")
        cloud.run(1800)
        before = cloud.state.snapshot
        assert cloud.state.strategy == "delta"
        Traffic(cloud.cluster).pass_by(400, seconds=0)
        calls = 0

        def trouble(_: JobListQuery) -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise TIMEOUT

        cloud.trouble = trouble
        cloud.turn()
        assert not cloud.state.up
        assert cloud.state.snapshot == before
        cloud.recover()
        cloud.clock.advance(60)
        cloud.turn()
        assert cloud.shown == cloud.cluster.true_counts()
        assert cloud.state.strategy == "delta"

    def test_a_conversation_ends_with_the_call_that_fails_it(self) -> None:
        """And not when the error that refers to it is forgotten: its ledger may be closed by then."""
        cloud = polled()
        ended: list[bool] = []

        def conversation() -> Asking[None]:
            try:
                yield Ask(JobListQuery(offset=0, limit=1))
            finally:
                ended.append(True)

        asking = conversation()
        cloud.fail()
        with pytest.raises(TransportError):
            cloud.poller._caller.converse(asking, 60.0)
        assert ended

    def test_an_error_of_the_program_does_not_end_the_loop(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        cloud = polled()
        cloud.fail(ZeroDivisionError("nobody thought of it"))
        cloud.run(600)
        assert cloud.telemetry.syncs["bug"] >= 3
        assert cloud.state.failure is not None
        assert cloud.state.failure.reason == "bug"
        assert "ZeroDivisionError" in cloud.state.failure.message
        assert "nobody thought" not in cloud.state.failure.message
        cloud.recover()
        cloud.run(600)
        assert cloud.state.up

    def test_nor_does_one_in_the_background(self) -> None:
        cloud = polled(2_000)

        def trouble(query: JobListQuery) -> None:
            if query.offset > 300 and query.status is None:
                raise ZeroDivisionError("nobody thought of it")

        cloud.trouble = trouble
        cloud.run(600)
        assert cloud.telemetry.syncs["ok"] >= 5
        cloud.recover()
        cloud.run(600)
        assert cloud.shown == cloud.cluster.true_counts()

    def test_nor_does_one_in_opening_the_ledger(self) -> None:
        cloud = polled()
        opens = cloud.open

        def fail_once() -> Ledger:
            cloud.open = opens
            raise ZeroDivisionError("nobody thought of it")

        cloud.open = fail_once
        cloud.run(600)
        assert cloud.state.up


class TestTooManyAtOnce:
    """A gateway that lets a few calls through in a moment, and refuses the next."""

    def test_a_check_that_is_refused_is_put_off_and_the_sync_stands(self) -> None:
        cloud = PolledCluster(settled(3_000))
        cloud.open = lambda: cloud.cluster.ledger
        cloud.call_seconds = 0.25

        def trouble(_: JobListQuery) -> None:
            just_now = [at for at in cloud.call_times if at > cloud.clock.now - 3]
            if len(just_now) > 4:
                raise HttpStatusError(429, "http_429", "slow down", retryable=False, advice="")

        cloud.trouble = trouble
        Traffic(cloud.cluster).pass_by(10)
        moved_at = cloud.cluster.now_at
        cloud.run(900)
        assert set(cloud.telemetry.syncs) == {"ok"}
        assert min(cloud.cluster.ledger.progress.checked_at.values()) > moved_at


class TestPagesThatAreTooSlow:
    """A database that takes longer for a page the deeper it is; at some depth, longer than a call may take."""

    @pytest.mark.parametrize("name", ["documented", "sort-ignored-by-id"])
    def test_the_history_is_withheld_for_that_reason_and_seldom_tried(self, name: str) -> None:
        listed = JobList()
        fill(listed, 3_000, active=40, now_at=START_AT - 5)
        cloud = PolledCluster(SimulatedCluster(DIALECTS[name], jobs=listed))

        def trouble(query: JobListQuery) -> None:
            if query.offset > 1_500:
                raise TransportError("timeout", "no answer", retryable=True, advice="Wait.")

        cloud.trouble = trouble
        cloud.run(1200)
        before = len(cloud.call_times)
        assert cloud.state.history_obstacle is not None
        assert cloud.state.history_obstacle.reason == "timeout"
        assert cloud.state.up
        assert cloud.state.snapshot is not None
        assert not cloud.state.snapshot.history_complete
        assert before <= 130


class TestWithheld:
    def test_counts_that_may_be_wrong_grow_old_though_syncs_succeed(self) -> None:
        """A long gap where no filter works: what is active is known only once it is closed."""
        cloud = PolledCluster(settled(3_000, "filters-ignored"), allowed=24)
        cloud.open = lambda: cloud.cluster.ledger
        cloud.turn()
        before, right_at = cloud.shown, cloud.clock.now
        Traffic(cloud.cluster).pass_by(1_500)
        cloud.clock.advance(1_500)
        turns = 0
        wait_seconds = cloud.turn()
        while cloud.shown == before:
            turns += 1
            assert cloud.state.up
            assert cloud.state.snapshot is not None
            assert not cloud.state.snapshot.history_complete
            assert cloud.state.snapshot.taken_at == right_at
            cloud.clock.advance(wait_seconds)
            wait_seconds = cloud.turn()
        assert turns
        assert cloud.shown == cloud.cluster.true_counts()


class TestBudget:
    def test_used_up_it_waits_and_says_so(self) -> None:
        cloud = polled(allowed=30)
        cloud.turn()
        for _ in range(30 - cloud.budget.used()):
            cloud.budget.admit("another")
        cloud.clock.advance(60)
        wait = cloud.turn()
        assert cloud.state.failure is not None
        assert cloud.state.failure.reason == "budget"
        assert wait == pytest.approx(60, abs=1)
        cloud.clock.advance(3600)
        cloud.turn()
        assert cloud.state.up

    def test_locked_out_it_waits_for_the_end_of_the_pause(self) -> None:
        cloud = polled()
        cloud.turn()
        cloud.budget.over_quota()
        cloud.clock.advance(1)
        wait = cloud.turn()
        assert cloud.state.failure is not None
        assert cloud.state.failure.reason == "quota"
        assert wait == pytest.approx(299, abs=1)
        cloud.clock.advance(wait + 1)
        cloud.turn()
        assert cloud.state.up

    def test_no_call_goes_beyond_the_share_and_the_history_is_read_all_the_same(self) -> None:
        cloud = polled(4_000, allowed=100)
        cloud.run(3 * 3600)
        times = cloud.call_times
        assert all(b - a >= 3600 for a, b in zip(times, times[100:], strict=False))
        assert cloud.state.snapshot is not None
        assert cloud.state.snapshot.history_complete
        assert "budget" not in cloud.telemetry.syncs

    @pytest.mark.parametrize(
        ("allowed", "room_in_seconds", "succeeds"),
        [(200, 50, True), (200, 100, False), (20, 100, True), (20, 2000, False)],
    )
    def test_a_sync_waits_for_room_that_comes_within_its_interval(
        self, allowed: int, room_in_seconds: float, succeeds: bool
    ) -> None:
        """Others of the account were a little earlier: that is no failure. A small share stretches the interval."""
        cloud = polled(allowed=allowed)
        cloud.turn()
        cloud.clock.advance(cloud.budget.period_seconds + 1)
        for _ in range(allowed):
            cloud.budget.admit("another")
        cloud.clock.advance(cloud.budget.period_seconds - room_in_seconds)
        began = cloud.clock.now
        cloud.turn()
        assert cloud.state.up == succeeds
        assert (cloud.clock.now - began >= room_in_seconds) == succeeds
        assert cloud.telemetry.syncs["budget"] == (not succeeds)

    def test_a_cluster_whose_first_sync_finds_no_room_then_waits_as_long_as_others(self) -> None:
        """Else others, whose intervals are stretched, take each call before it does: it was never synced."""
        cloud = polled(allowed=20)
        for _ in range(20):
            cloud.budget.admit("another")
            cloud.clock.advance(170)
        cloud.turn()
        assert cloud.telemetry.syncs == {"budget": 1}
        assert cloud.state.effective_interval_seconds > 170
        cloud.turn()
        assert cloud.telemetry.syncs["ok"] == 1

    def test_the_search_for_deleted_jobs_waits_for_room(self) -> None:
        """A search that was given up would begin from its start in the next sync, and never come to its end."""
        cloud = polled(2_000, allowed=200)
        for _ in range(3):
            cloud.turn()
            cloud.clock.advance(cloud.budget.period_seconds)
        for _ in range(20):
            cloud.budget.admit("another")
        cloud.clock.advance(cloud.budget.period_seconds - 40)
        while cloud.budget.used() < 198:
            cloud.budget.admit("another")
        cloud.cluster.jobs.delete(newest_change_first(cloud.cluster.jobs)[900:903])
        cloud.turn()
        assert cloud.shown == cloud.cluster.true_counts()

    def test_the_background_does_not_wait_for_room_that_others_have_taken(self) -> None:
        """It would keep its transaction open, and the next sync waiting."""
        cloud = polled(allowed=20)
        cloud.budget.admit("another")
        cloud.clock.advance(cloud.budget.period_seconds - 50)
        admit, began = cloud.budget.admit, cloud.clock.now

        def late(cluster_name: str) -> None:
            for _ in range(cloud.budget.left() if cloud.published else 0):
                admit("another")
            admit(cluster_name)

        cloud.budget.admit = late  # type: ignore[method-assign]
        cloud.turn()
        assert cloud.budget.left() == 0
        assert cloud.clock.now == began
        assert cloud.state.up

    @pytest.mark.parametrize(
        ("name", "jobs", "days"),
        [
            ("documented", 4_000, math.inf),
            ("sort-ignored-arbitrary", 4_000, math.inf),
            ("documented", 20_000, 7),  # wanted are some 4,000
        ],
    )
    def test_how_long_the_history_takes_is_told_from_the_beginning(
        self, name: str, jobs: int, days: float
    ) -> None:
        settings = SyncSettings(interval_seconds=60, history_seconds=days * 86400)
        cloud = polled(jobs, DIALECTS[name], allowed=100, settings=settings)
        cloud.run(6 * 3600)
        told = [
            (each.last_success_at, each.history_left_seconds, each.snapshot.history_complete)
            for each in cloud.published
            if each.snapshot is not None and each.last_success_at is not None
        ]
        complete_at = next(at for at, _, complete in told if complete)
        early = [(at, left) for at, left, _ in told if 600 < at - START_AT < 900]
        assert early
        for at, left_seconds in early:
            assert (complete_at - at) / 2 < left_seconds < 2 * (complete_at - at)
        assert told[-1][1] == 0

    def test_the_background_leaves_refreshes_their_calls(self) -> None:
        """A list that takes much longer to read than one window allows."""
        cloud = polled(9_000, allowed=80)
        cloud.run(2 * 3600)
        assert cloud.telemetry.syncs["ok"] >= 90
        assert set(cloud.telemetry.syncs) == {"ok"}
        assert not cloud.state.snapshot.history_complete  # type: ignore[union-attr]
        assert cloud.state.snapshot.history_known > 1_200  # type: ignore[union-attr]

    @pytest.mark.parametrize("allowed", [10, 20])
    def test_the_history_is_read_in_any_budget_that_leaves_a_call(self, allowed: int) -> None:
        """Refreshes would use it up alone, and audits what they leave."""
        cloud = polled(700, allowed=allowed)
        traffic = Traffic(cloud.cluster)
        turn = cloud.poller._turn

        def turn_until_complete() -> float:
            traffic.pass_by(2, seconds=0)
            due_at = turn()
            if cloud.ledger.progress.complete:
                cloud.clock.stop()
            return due_at

        cloud.poller._turn = turn_until_complete  # type: ignore[method-assign]
        cloud.run(12 * 3600)
        assert cloud.clock.now < START_AT + 12 * 3600
        times = cloud.call_times
        assert all(b - a >= 3600 for a, b in zip(times, times[allowed:], strict=False))
        assert set(cloud.telemetry.syncs) == {"ok"}

    def test_a_sync_that_takes_more_than_a_window_allows_waits_for_the_rest(self) -> None:
        cloud = polled(allowed=3)
        cloud.run(5 * 3600)
        assert set(cloud.telemetry.syncs) == {"ok"}

    def test_the_interval_is_stretched_before_the_share_is_exceeded(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        cloud = polled(allowed=20)
        cloud.run(3 * 3600)
        assert cloud.state.effective_interval_seconds >= 3600 / 20
        assert cloud.telemetry.syncs["ok"] >= 12
        assert cloud.telemetry.syncs["budget"] <= 3
        stretched = [m for m in caplog.messages if "stretched" in m]
        assert len(stretched) == 1

    def test_a_scan_longer_than_a_window_comes_to_its_end(self) -> None:
        listed = JobList()
        fill(listed, 8_000, active=10, now_at=START_AT - 5)
        cluster = SimulatedCluster(DIALECTS["nothing-honoured"], jobs=listed)
        cloud = PolledCluster(cluster, allowed=60)
        cloud.run(3 * 3600)
        assert cloud.state.up
        assert cloud.shown == cloud.cluster.true_counts()


class TestBackground:
    def test_its_failures_are_not_the_syncs(self) -> None:
        cloud = polled(3_000)

        def trouble(query: JobListQuery) -> None:
            if query.offset > 150 and query.status is None:
                raise TIMEOUT

        cloud.trouble = trouble
        cloud.run(600)
        assert set(cloud.telemetry.syncs) == {"ok"}
        assert cloud.state.up
        cloud.recover()
        cloud.run(600)
        assert cloud.shown == cloud.cluster.true_counts()

    def test_it_gives_way_to_the_next_sync(self) -> None:
        cloud = polled(6_000)
        cloud.call_seconds = 5.0
        cloud.run(900)
        gaps = [b - a for a, b in pairwise(cloud.sync_times)]
        assert max(gaps) <= 90

    def test_it_shows_how_far_it_is(self) -> None:
        cloud = polled(6_000)
        cloud.call_seconds = 2.0
        cloud.run(900)
        known = [s.snapshot.history_known for s in cloud.published if s.snapshot is not None]
        assert known == sorted(known)
        assert len(set(known)) >= 4
        assert cloud.state.snapshot.history_expected == 6_000  # type: ignore[union-attr]
        before_complete = [
            s.snapshot for s in cloud.published if s.snapshot and not s.snapshot.history_complete
        ]
        for snapshot in before_complete:
            assert {count.status for count in snapshot.counts} == {"pending", "running"}


class TestDisk:
    def test_the_last_thing_of_a_turn_gives_back_the_memory_of_the_file(
        self, tmp_path: Path
    ) -> None:
        cloud = polled(2_000, path=tmp_path / "one.ledger")
        cloud.turn()  # the history is read in the background of this turn, or of the next one
        for _ in range(2):
            done: list[str] = []
            cloud.ledger._connection.set_trace_callback(done.append)
            cloud.clock.advance(60)
            cloud.turn()
            cloud.ledger._connection.set_trace_callback(None)
            assert "COMMIT" in done
            assert done[-1] == "PRAGMA shrink_memory"

    def test_memory_by_choice_is_no_want_of_a_disk(self) -> None:
        cloud = polled()
        cloud.turn()
        assert cloud.state.up
        assert cloud.state.ledger_on_disk is None

    def test_it_goes_on_in_memory_and_returns(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        for _ in range(2):
            cloud.turn()
            cloud.clock.advance(60)
        assert cloud.state.ledger_on_disk is True
        traffic = Traffic(cloud.cluster)
        cloud.ledger._connection.execute("PRAGMA query_only = 1")  # as a read-only disk does
        traffic.pass_by(20)
        cloud.turn()
        assert cloud.state.failure is not None
        assert cloud.state.failure.reason == "state"
        assert cloud.ledger.in_memory
        assert cloud.state.ledger_on_disk is False
        cloud.clock.advance(60)
        cloud.turn()
        assert cloud.state.up
        assert cloud.shown == cloud.cluster.true_counts()
        counted = dict(tallied(cloud.ledger))
        cloud.clock.advance(DISK_RETRY_SECONDS)
        cloud.turn()
        assert not cloud.ledger.in_memory
        assert cloud.state.ledger_on_disk is True
        assert tallied(cloud.ledger) == counted
        cloud.keeper.close()
        kept = open_ledger(tmp_path / "one.ledger", CLUSTER_ID)
        assert kept.size == len(cloud.cluster.jobs)
        assert tallied(kept) == counted
        kept.close()

    def test_a_disk_that_stays_full_is_tried_again_now_and_then(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.turn()
        tries = 0

        def full(ledger: Ledger) -> Ledger:
            nonlocal tries
            if not ledger.in_memory:
                return ledger.copied_to(None)
            tries += 1
            raise LedgerUnwritable("it cannot be written (full)")

        cloud.keeper._moved = full
        cloud.ledger._connection.execute("PRAGMA query_only = 1")
        Traffic(cloud.cluster).pass_by(20)
        cloud.run(3600)
        assert cloud.telemetry.syncs["state"] == 1
        assert 9 <= tries <= 12
        assert cloud.state.up

    def test_a_ledger_that_was_damaged_is_opened_anew(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.turn()
        opened = 0
        opens = cloud.open

        def count() -> Ledger:
            nonlocal opened
            opened += 1
            return opens()

        cloud.open = count
        cloud.fail(LedgerUnreadable("it is damaged"))
        cloud.clock.advance(60)
        cloud.turn()
        cloud.recover()
        cloud.clock.advance(60)
        cloud.turn()
        assert opened == 1
        assert cloud.state.up

    @pytest.mark.parametrize(("away", "there"), [(200, True), (400, False)])
    def test_after_a_restart_what_is_not_stale_is_shown_at_once(
        self, tmp_path: Path, away: float, there: bool
    ) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.run(300)
        shown = cloud.shown
        last_at = cloud.state.last_success_at
        cloud.clock.advance(away - (cloud.clock.now - (last_at or 0)))
        cloud.board.remove(IDENTITY.name)
        cloud.poller = cloud.new_poller()
        cloud.fail()
        cloud.run(1)
        assert cloud.shown == shown
        assert cloud.state.last_success_at == last_at
        assert cloud.state.snapshot is not None
        assert cloud.state.snapshot.taken_at == last_at
        assert cloud.state.is_withdrawn(instant(cloud.clock)) is not there

    def test_a_restart_does_not_tell_how_long_a_history_takes_that_nobody_has_seen(
        self, tmp_path: Path
    ) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.budget.declare("another", Demand(60, 1, history=100_000))
        cloud.fail()
        cloud.run(120)
        assert cloud.state.failure is not None
        assert cloud.state.history_left_seconds == 0

    def test_a_longer_history_is_not_complete_from_the_restart_on(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        longer, cloud.settings = cloud.settings, replace(cloud.settings, history_seconds=86400.0)
        cloud.poller = cloud.new_poller()
        cloud.run(300)
        assert {status for status, _, _ in cloud.shown} & END_STATUSES
        cloud.settings = longer
        cloud.poller = cloud.new_poller()
        cloud.fail()
        cloud.run(1)
        assert cloud.state.snapshot is not None
        assert not cloud.state.snapshot.history_complete
        assert not {status for status, _, _ in cloud.shown} & END_STATUSES

    def test_what_was_kept_is_judged_by_this_machines_clock(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.server_ahead_seconds = 7200.0
        cloud.run(300)
        cloud.clock.advance(1000)
        cloud.board.remove(IDENTITY.name)
        cloud.poller = cloud.new_poller()
        cloud.fail()
        cloud.run(1)
        assert cloud.state.is_withdrawn(instant(cloud.clock))

    def test_a_restart_goes_on_where_it_was(self, tmp_path: Path) -> None:
        cloud = polled(path=tmp_path / "one.ledger")
        cloud.run(300)
        before = len(cloud.call_times)
        Traffic(cloud.cluster).pass_by(20)
        cloud.poller = cloud.new_poller()
        cloud.turn()
        assert len(cloud.call_times) - before <= 3
        assert cloud.shown == cloud.cluster.true_counts()


class TestHealth:
    def test_one_that_never_began_is_not_alive(self) -> None:
        assert polled().poller.health() == "the poller of cluster cfd has died"

    def test_alive_while_it_turns_and_dead_when_it_ended(self) -> None:
        cloud = polled()
        cloud.clock = SystemClock()  # type: ignore[assignment]
        cloud.poller = cloud.new_poller()
        cloud.poller.start()
        assert cloud.poller.health() is None
        assert cloud.poller._thread is not None
        assert cloud.poller._thread.name == "poll cfd"
        assert cloud.poller._thread.daemon
        cloud.poller.stop()
        assert cloud.poller.join(PATIENCE_SECONDS)
        assert cloud.poller.health() == "the poller of cluster cfd has died"

    def test_one_that_is_stuck_in_a_call_is_told(self) -> None:
        cloud = polled()
        called, go_on = Event(), Event()

        def trouble(_: JobListQuery) -> None:
            called.set()
            go_on.wait(PATIENCE_SECONDS)
            raise Stopped("enough")

        cloud.trouble = trouble
        cloud.poller.start()
        assert called.wait(PATIENCE_SECONDS)
        assert cloud.poller.health() is None
        cloud.clock.advance(STUCK_SECONDS + 1)
        health = cloud.poller.health()
        go_on.set()
        assert cloud.poller.join(PATIENCE_SECONDS)
        assert health == "the poller of cluster cfd has not turned for 601 s"

    def test_a_long_rest_is_no_illness(self) -> None:
        cloud = polled()
        cloud.poller._thread = current_thread()
        healths = []
        sleep = cloud.clock.sleep

        def look_and_sleep(seconds: float) -> bool:
            stopped = sleep(seconds)
            if seconds:
                healths.append(cloud.poller.health())
            return stopped

        cloud.clock.sleep = look_and_sleep  # type: ignore[method-assign]
        for _ in range(4):  # 300 s, 600 s, 1200 s, 2400 s
            cloud.budget.over_quota()
            cloud.clock.advance(2400)
        cloud.budget.over_quota()
        cloud.run(2.5 * 3600)
        assert max(cloud.clock.slept) > STUCK_SECONDS
        assert set(healths) == {None}
