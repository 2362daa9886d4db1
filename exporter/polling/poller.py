"""The loop that keeps one cluster up to date; each cluster has its own thread, so none waits for another."""

import logging
from dataclasses import replace
from typing import Any

from exporter.clock import Instant, Loop, instant
from exporter.errors import ApiError, BudgetExhausted, StateError, Stopped, SyncError
from exporter.model import Purpose
from exporter.polling.calling import Background, Caller, PollerParts
from exporter.polling.detector import WHEN_DUE, ChangeDetection, Verdict
from exporter.polling.schedule import SyncCost, first_wait_seconds, next_due_at, retry_wait_seconds
from exporter.profile import UNKNOWN
from exporter.snapshot import ClusterState, SyncFailure
from exporter.sync.replica import Replica

__all__ = ["Poller", "PollerParts"]

_LOG = logging.getLogger(__name__)

STUCK_SECONDS = 600.0
"""A poller that is this late for its next turn is not healthy."""


class Poller(Loop):
    """Keeps one cluster's ledger equal to the remote list, and publishes snapshots of it."""

    def __init__(self, parts: PollerParts) -> None:
        name = parts.identity.name
        super().__init__(f"poll {name}", f"the poller of cluster {name}", parts.clock)
        self._parts = parts
        self.identity = parts.identity
        self._name = name
        self._state = ClusterState(
            identity=parts.identity, effective_interval_seconds=parts.settings.interval_seconds
        )
        self._caller = Caller(parts)
        self._background = Background(parts, self._caller)
        self._opened: Replica | None = None
        self._sync_cost = SyncCost(parts.settings)
        self._detection = ChangeDetection(
            parts.listings, parts.identity.cluster_id, parts.settings, parts.clock
        )
        self._background_ended = False
        """Whether the background has just finished something that the next sync will publish."""
        self._due_seconds = float("-inf")
        self._spared = False
        """Whether the next sync was put off because the counters have not moved."""
        self._soonest_seconds = 0.0
        """No sync begins before this moment, even if the counters move."""
        self._failures = 0

    # -- from other threads ------------------------------------------------------------------

    def rouse(self) -> None:
        """Wake the loop: a new answer of cluster/list has come, or the call has failed."""
        self._parts.clock.rouse()

    def health(self) -> str | None:
        """Why it is not healthy; None if it is."""
        late_seconds = self._parts.clock.late_seconds()
        if self.alive and late_seconds > STUCK_SECONDS:
            return f"{self._what} has not turned for {late_seconds:.0f} s"
        return super().health()

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        parts = self._parts
        try:
            self._declare_demand()
            if self._replica is None:
                self._show_kept()
            first_seconds = first_wait_seconds(self._name, parts.settings.interval_seconds)
            if parts.clock.sleep(first_seconds):
                return
            while not parts.clock.doze(self.step()):
                pass
        except Stopped:
            return
        finally:
            self._parts.keeper.close()

    def step(self) -> float:
        """Run a sync if one is due. It is due when the interval is over, earlier if the cluster's
        counters have moved, and later if they have not. Returns the seconds until the next step, unless
        something rouses the loop before. Raises Stopped if the program stops."""
        clock, verdict = self._parts.clock, WHEN_DUE
        if not self._failures and not self._background_ended:
            verdict = self._detection.verdict(self._replica)
        if verdict.ask == "later":
            self._due_seconds = verdict.until_seconds
            self._unchanged(verdict)
        elif verdict.ask == "now":
            self._due_seconds = self._soonest_seconds
        elif self._spared:  # back to its own schedule, so that clusters do not sync all at once
            self._due_seconds = self._next_due_seconds(self._soonest_seconds)
        self._spared = verdict.ask == "later"
        if clock.monotonic_seconds() >= self._due_seconds:
            wait_seconds = self._turn()
            self._due_seconds = clock.monotonic_seconds() + wait_seconds
        return max(0.0, self._due_seconds - clock.monotonic_seconds())

    def _unchanged(self, verdict: Verdict) -> None:
        """Nothing has changed up to the ``proven`` moment, so the published counts are true for it."""
        shown, proven = self._state.snapshot, verdict.proven
        if proven is None or shown is None or proven.at == shown.taken_at:
            return
        self._sync_cost.spared(proven.at - shown.taken_at)
        self._declare_demand()
        self._publish(snapshot=replace(shown, taken_at=proven.at))
        self._run_background(verdict.until_seconds)

    def _turn(self) -> float:
        """Run one sync, then the background until the next sync is due. Returns the seconds until then."""
        clock, interval_seconds = self._parts.clock, self._parts.settings.interval_seconds
        self._parts.calls.begin_sync()
        started = instant(clock)
        try:
            self._sync(started)
        except (ApiError, SyncError, StateError) as error:
            return self._failed(error, started)
        except Stopped:
            raise
        except Exception as error:
            _LOG.exception(
                "a sync ended in an error of this program", extra=self._parts.identity.fields()
            )
            bug = f"an error of this program ({type(error).__name__})"
            advice = "Report it, with the log's lines about it."
            return self._failed(SyncError("bug", bug, advice=advice), started)
        effective_seconds = self._state.effective_interval_seconds
        ended_seconds = clock.monotonic_seconds()
        if effective_seconds > interval_seconds:  # stretched by the budget
            self._soonest_seconds = started.seconds + effective_seconds
            due_seconds = ended_seconds + effective_seconds
        else:
            # Listings come about once an interval: one that shows a change does not wait for a whole one. And
            # a sync that ended just before its moment is not followed by another at once.
            self._soonest_seconds = started.seconds + interval_seconds / 2
            due_seconds = self._next_due_seconds(ended_seconds + interval_seconds / 2)
        self._run_background(due_seconds)
        if self._replica is not None:
            self._replica.ledger.rest()
        return due_seconds - clock.monotonic_seconds()

    def _next_due_seconds(self, not_before_seconds: float) -> float:
        """The next moment of the cluster's schedule, by the monotonic clock, which nobody can set."""
        now = instant(self._parts.clock)
        not_before_at = max(now.at, now.at + not_before_seconds - now.seconds)
        due_at = next_due_at(self._name, self._parts.settings.interval_seconds, not_before_at)
        return now.seconds + due_at - now.at

    def _run_background(self, due_seconds: float) -> None:
        """Work until the next sync is due, and publish how far the history has been read. The sync that finds it complete
        publishes its jobs."""
        try:
            self._background_ended = self._background.work(self._replica, due_seconds)
            replica, shown = self._replica, self._state.snapshot
            if replica is not None and (
                self._background_ended or replica.obstacle is not self._state.history_obstacle
            ):
                if shown is not None:
                    known, expected = replica.ledger.size, replica.ledger.progress.expected
                    shown = replace(shown, history_known=known, history_expected=expected)
                self._publish(snapshot=shown)
        except Stopped:
            raise
        except Exception:
            _LOG.exception(
                "the background ended in an error of this program",
                extra=self._parts.identity.fields(),
            )

    def _sync(self, started: Instant) -> None:
        parts, replica, caller = self._parts, self._ready(), self._caller
        calls_before = caller.made[Purpose.FRESH]
        with parts.keeper.transaction(replica.ledger):
            self._detection.verdict(replica)  # takes in the newest listing
            refreshed = caller.converse(
                replica.refresh(started.at, parts.budget.left),
                self._state.effective_interval_seconds,
            )
            snapshot = parts.publisher.snapshot(replica.ledger, started.at)
        self._detection.after_sync(replica, refreshed, started)
        self._sync_cost.learn(
            refreshed,
            caller.made[Purpose.FRESH] - calls_before,
            started.seconds,
            order_known=replica.profile.order.value != UNKNOWN,
        )
        self._declare_demand()
        took_seconds = parts.clock.monotonic_seconds() - started.seconds
        parts.telemetry.sync_succeeded(self._name, took_seconds)
        for kind, jobs in refreshed.corrections.items():
            parts.telemetry.corrected(self._name, kind, jobs)
        self._failures, shown = 0, self._state.snapshot
        if snapshot is None and shown is not None:  # keep the old counts until they are too old
            snapshot = replace(shown, history_complete=False)
        self._publish(
            tried=True,
            snapshot=snapshot,
            last_success_at=started.at,
            failure=None,
            strategy=refreshed.strategy,
        )

    def _ready(self) -> Replica:
        """The replica, and its ledger open. Raises ``StateError``."""
        ledger = self._parts.keeper.ready()
        if self._opened is None or self._opened.ledger is not ledger:
            self._opened = Replica(ledger, self._parts.settings, self._parts.rng)
        return self._opened

    @property
    def _replica(self) -> Replica | None:
        """The replica; None while its ledger is not open, or has just been replaced."""
        known = self._opened
        return None if known is None or known.ledger is not self._parts.keeper.ledger else known

    # -- what came of it -------------------------------------------------------------------------

    def _failed(self, error: ApiError | SyncError | StateError, started: Instant) -> float:
        parts = self._parts
        now_at = parts.clock.now_at()
        took_seconds = parts.clock.monotonic_seconds() - started.seconds
        self._failures += 1
        self._declare_demand()  # so that it waits for room as long as others do
        parts.telemetry.sync_failed(self._name, error.reason, took_seconds)
        failure = SyncFailure(error.reason, str(error), error.advice, now_at)
        self._publish(tried=True, failure=failure)
        wait_seconds = retry_wait_seconds(self._failures, parts.settings.interval_seconds)
        if isinstance(error, BudgetExhausted) and error.reason == "quota":
            wait_seconds = max(wait_seconds, error.until_at - now_at)
        return wait_seconds

    def _publish(self, **changes: Any) -> None:
        """Publish the state with these changes, and with what any turn may have changed. Raises Stopped if this
        poller is to stop: another may be publishing by now, or the cluster is no longer wanted."""
        replica = self._replica
        self._state = replace(
            self._state,
            profile=self._state.profile if replica is None else replica.profile,
            history_obstacle=None if replica is None else replica.obstacle,
            ledger_on_disk=self._parts.keeper.on_disk,
            **changes,
        )
        if self._parts.clock.sleep(0.0):
            raise Stopped("the poller is to stop")
        self._parts.publish(self._state)

    def _declare_demand(self) -> None:
        settings, replica = self._parts.settings, self._replica
        history = 1 if replica is None else replica.history_calls
        seen = replica is not None and replica.ledger.progress.last_success_at is not None
        budget = self._parts.budget
        budget.declare(self._name, self._sync_cost.demand(history=history))
        effective = max(settings.interval_seconds, budget.effective_interval_seconds(self._name))
        self._state = replace(
            self._state,
            effective_interval_seconds=effective,
            history_left_seconds=budget.history_seconds() if seen and history else 0.0,
        )

    def _show_kept(self) -> None:
        """After a restart, publish the counts of the last sync until there are new ones, or they are too old."""
        parts = self._parts
        try:
            replica = self._ready()
            last_at = replica.ledger.progress.synced_at
            if last_at is not None:
                with replica.ledger.transaction():
                    replica.widen_history()
                    snapshot = parts.publisher.snapshot(replica.ledger, last_at)
                self._state = replace(self._state, snapshot=snapshot, last_success_at=last_at)
            self._publish()
        except Stopped:
            raise
        except Exception as error:  # the first sync will fail in the same way, and report it
            _LOG.debug("the ledger is not yet there", extra=parts.identity.fields(cause=str(error)))
            parts.keeper.close()
