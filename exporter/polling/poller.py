"""The loop that keeps one cluster up to date; each cluster has its own thread, so none waits for another."""

import logging
from dataclasses import replace
from typing import Any

import msgspec

from exporter.clock import Instant, Loop
from exporter.errors import ApiError, BudgetExhausted, StateError, Stopped, SyncError
from exporter.polling.calling import Background, Caller, PollerParts
from exporter.polling.detector import WHEN_DUE, ChangeDetection
from exporter.polling.ledger_keeper import LedgerKeeper
from exporter.polling.schedule import SyncCost, first_wait_seconds, next_due_at, retry_wait_seconds
from exporter.profile import UNKNOWN
from exporter.snapshot import ClusterSnapshot, ClusterState, SyncFailure
from exporter.sync.replica import Refreshed

__all__ = ["Poller", "PollerParts"]

_LOG = logging.getLogger(__name__)

STUCK_SECONDS = 600.0
"""A poller that is this late for its next turn is not healthy."""


class Poller(Loop):
    """Keeps one cluster's ledger equal to the remote list, and publishes snapshots of it."""

    def __init__(self, parts: PollerParts) -> None:
        super().__init__(f"poll {parts.identity.name}", parts.clock)
        self._parts = parts
        self.identity = parts.identity
        self._name = parts.identity.name
        self._state = ClusterState(
            identity=parts.identity, effective_interval_seconds=parts.settings.interval_seconds
        )
        self._caller = Caller(parts)
        self._keeper = LedgerKeeper(parts)
        self._background = Background(parts, self._keeper.transaction, self._caller)
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

    def start(self) -> None:
        """Start polling in a new thread."""
        self._caller.note_alive()
        super().start()

    def rouse(self) -> None:
        """Wake the loop: a new answer of cluster/list has come, or the call has failed."""
        self._parts.clock.rouse()

    def health(self) -> str | None:
        """Why this poller is not healthy; None if it is healthy."""
        if not self.alive:
            return f"the poller of cluster {self._name} has died"
        late_seconds = self._parts.clock.monotonic_seconds() - self._caller.expected_by_seconds
        if late_seconds > STUCK_SECONDS:
            return f"the poller of cluster {self._name} has not turned for {late_seconds:.0f} s"
        return None

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        parts = self._parts
        try:
            self._declare_demand()
            if self._keeper.replica is None:
                self._show_kept()
            if self._caller.rest(first_wait_seconds(self._name, parts.settings.interval_seconds)):
                return
            while not self._parts.clock.doze(self.step()):
                pass
        except Stopped:
            return
        finally:
            self._keeper.close()

    def step(self) -> float:
        """Run a sync if one is due. It is due when the interval is over, earlier if the cluster's
        counters have moved, and later if they have not. Returns the seconds until the next step, unless
        something rouses the loop before. Raises Stopped if the program stops."""
        clock, verdict = self._parts.clock, WHEN_DUE
        if not self._failures and not self._background_ended:
            verdict = self._detection.verdict(self._keeper.replica)
        if verdict.ask == "later":
            self._due_seconds = verdict.until_seconds
            self._unchanged(verdict.proven, verdict.until_seconds)
        elif verdict.ask == "now":
            self._due_seconds = self._soonest_seconds
        elif self._spared:  # back to its own schedule, so that clusters do not sync all at once
            beat_seconds = self._next_due_seconds(at_once=True)
            self._due_seconds = max(beat_seconds, self._soonest_seconds)
        self._spared = verdict.ask == "later"
        if clock.monotonic_seconds() >= self._due_seconds:
            wait_seconds = self._turn()
            self._due_seconds = clock.monotonic_seconds() + wait_seconds
        wait_seconds = max(0.0, self._due_seconds - clock.monotonic_seconds())
        self._caller.note_alive(wait_seconds)
        return wait_seconds

    def _unchanged(self, proven: Instant | None, until_seconds: float) -> None:
        """Nothing has changed up to the ``proven`` moment, so the published counts are true for it."""
        shown = self._state.snapshot
        if proven is None or shown is None or proven.at == shown.taken_at:
            return
        self._sync_cost.spared(proven.at - shown.taken_at)
        self._declare_demand()
        self._publish(snapshot=replace(shown, taken_at=proven.at))
        self._run_background(until_seconds)

    def _turn(self) -> float:
        """Run one sync, then the background until the next sync is due. Returns the seconds until then."""
        parts = self._parts
        parts.calls.begin_sync()
        started_at = parts.clock.now_at()
        started_seconds = parts.clock.monotonic_seconds()
        try:
            self._sync(Instant(started_at, started_seconds))
        except (ApiError, SyncError, StateError) as error:
            return self._failed(error, started_seconds)
        except Stopped:
            raise
        except Exception as error:
            _LOG.exception("a sync ended in an error of this program", extra=self._parts.fields())
            bug = f"an error of this program ({type(error).__name__})"
            advice = "Report it, with the log's lines about it."
            return self._failed(SyncError("bug", bug, advice=advice), started_seconds)
        effective_seconds = self._state.effective_interval_seconds
        interval_seconds = parts.settings.interval_seconds
        # Listings come about once an interval. One that shows a change should not have to wait for a
        # whole one.
        least = interval_seconds / 2 if effective_seconds <= interval_seconds else effective_seconds
        self._soonest_seconds = started_seconds + least
        due_seconds = self._next_due_seconds(stretched_seconds=effective_seconds)
        self._run_background(due_seconds)
        self._keeper.rest()
        return due_seconds - parts.clock.monotonic_seconds()

    def _next_due_seconds(self, *, stretched_seconds: float = 0.0, at_once: bool = False) -> float:
        """When the next sync is due, by the monotonic clock, which nobody can set."""
        interval_seconds, clock = self._parts.settings.interval_seconds, self._parts.clock
        now_at = clock.now_at()
        due_at = next_due_at(
            self._name,
            interval_seconds,
            now_at,
            stretched_seconds=stretched_seconds,
            at_once=at_once,
        )
        return clock.monotonic_seconds() + due_at - now_at

    def _run_background(self, due_seconds: float) -> None:
        try:
            replica = self._keeper.replica
            worked = replica is not None and self._background.work(replica, due_seconds)
            self._background_ended = worked
            if worked or self._obstacle is not self._state.history_obstacle:
                self._publish_background()
        except Stopped:
            raise
        except Exception:
            _LOG.exception(
                "the background ended in an error of this program", extra=self._parts.fields()
            )
            self._background.give_up()

    def _sync(self, started: Instant) -> None:
        replica, caller, started_at = self._keeper.ready(), self._caller, started.at
        calls_before = caller.made_fresh
        with self._keeper.transaction(replica):
            self._detection.verdict(replica)  # takes in the newest listing
            refreshed = caller.converse(replica.refresh(started_at, caller.allowance))
            snapshot = self._parts.publisher.snapshot(replica.ledger, started_at)
            ledger = replica.ledger
            ledger.progress = msgspec.structs.replace(ledger.progress, synced_at=started_at)
        self._detection.after_sync(replica, refreshed, started)
        self._sync_cost.learn(
            refreshed,
            caller.made_fresh - calls_before,
            started.seconds,
            order_known=replica.ledger.progress.profile.order.value != UNKNOWN,
        )
        self._declare_demand()
        self._succeeded(refreshed, snapshot, started)

    # -- what came of it -------------------------------------------------------------------------

    def _succeeded(
        self, refreshed: Refreshed, snapshot: ClusterSnapshot | None, started: Instant
    ) -> None:
        parts, shown = self._parts, self._state.snapshot
        took_seconds = parts.clock.monotonic_seconds() - started.seconds
        parts.telemetry.sync_succeeded(self._name, took_seconds)
        for kind, jobs in refreshed.corrections.items():
            parts.telemetry.corrected(self._name, kind, jobs)
        self._failures = 0
        if snapshot is None and shown is not None:  # keep the old counts until they are too old
            snapshot = replace(shown, history_complete=False)
        self._publish(
            tried=True,
            up=True,
            snapshot=snapshot,
            last_success_at=started.at,
            failure=None,
            strategy=refreshed.strategy,
        )

    def _failed(self, error: ApiError | SyncError | StateError, started_seconds: float) -> float:
        parts = self._parts
        now_at = parts.clock.now_at()
        took_seconds = parts.clock.monotonic_seconds() - started_seconds
        self._failures += 1
        parts.telemetry.sync_failed(self._name, error.reason, took_seconds)
        failure = SyncFailure(error.reason, str(error), error.advice, now_at)
        self._publish(tried=True, up=False, failure=failure)
        wait_seconds = retry_wait_seconds(self._failures, parts.settings.interval_seconds)
        if isinstance(error, BudgetExhausted) and error.reason == "quota":
            wait_seconds = max(wait_seconds, error.until_at - now_at)
        return wait_seconds

    def _publish(self, **changes: Any) -> None:
        """Publish the state with these changes, and with what any turn may have changed. Raises Stopped if this
        poller is to stop: another may be publishing by now, or the cluster is no longer wanted."""
        replica = self._keeper.replica
        self._state = replace(
            self._state,
            profile=self._state.profile if replica is None else replica.profile,
            history_obstacle=self._obstacle,
            ledger_on_disk=self._keeper.on_disk,
            **changes,
        )
        if self._parts.clock.sleep(0.0):
            raise Stopped("the poller is to stop")
        self._parts.publish(self._state)

    def _declare_demand(self) -> None:
        settings, replica = self._parts.settings, self._keeper.replica
        history = 1 if replica is None else replica.history_calls
        budget = self._parts.budget
        budget.declare(self._name, self._sync_cost.demand(history=history))
        effective = max(settings.interval_seconds, budget.effective_interval_seconds(self._name))
        self._state = replace(
            self._state,
            effective_interval_seconds=effective,
            history_left_seconds=budget.history_seconds() if history else 0.0,
        )

    def _publish_background(self) -> None:
        """Publish how far the history has been read. The sync that finds it complete publishes its jobs."""
        replica, shown = self._keeper.replica, self._state.snapshot
        if replica is None:
            return
        if shown is not None:
            known, expected = replica.ledger.size, replica.ledger.progress.expected
            shown = replace(shown, history_known=known, history_expected=expected)
        self._publish(snapshot=shown)

    @property
    def _obstacle(self) -> SyncFailure | None:
        """Why the history cannot be read to its end; None if nothing is known to prevent it."""
        replica = self._keeper.replica
        return None if replica is None or replica.ledger.progress.complete else replica.obstacle

    def _show_kept(self) -> None:
        """After a restart, publish the counts of the last sync until there are new ones."""
        parts = self._parts
        try:
            replica = self._keeper.ready()
            last_at = replica.ledger.progress.synced_at
            if last_at is not None and parts.clock.now_at() - last_at <= parts.staleness_seconds:
                with replica.ledger.transaction():
                    replica.widen_history()
                    snapshot = parts.publisher.snapshot(replica.ledger, last_at)
                self._state = replace(self._state, snapshot=snapshot, last_success_at=last_at)
            self._publish()
        except Stopped:
            raise
        except Exception as error:  # the first sync will fail in the same way, and report it
            _LOG.debug("the ledger is not yet there", extra=parts.fields(cause=str(error)))
            self._keeper.close()
