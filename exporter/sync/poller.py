"""The loop: one for each cluster, in a thread of its own, so that none waits for another."""

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

import msgspec

from exporter.api.budget import AccountBudget, Demand
from exporter.clock import SystemClock
from exporter.errors import (
    ApiError,
    BudgetExhausted,
    RefusedError,
    StateError,
    Stopped,
    SyncError,
)
from exporter.ledger.store import Ledger, LedgerUnreadable, LedgerUnwritable
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.snapshot import ClusterSnapshot, ClusterState, SyncFailure
from exporter.sync.asking import Ask, Asking, Finished, Purpose, advance
from exporter.sync.audit import audit_calls_per_second
from exporter.sync.context import SyncSettings
from exporter.sync.publishing import Publisher
from exporter.sync.replica import Refreshed, Replica
from exporter.sync.schedule import first_wait_seconds, next_due_at, retry_wait_seconds
from exporter.sync.telling import Rarely
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

STUCK_SECONDS = 600.0
"""A poller that has not turned for so long beyond its time is not healthy."""
LONG_READ_CALLS = 50
"""A sync that has made so many calls, or all of a window, waits for the budget rather than begin
anew."""
COST_SMOOTHING = 0.2
MOST_BACKGROUND_TRIES = 5
CALLS_WRITTEN_TOGETHER = 20
"""Of the background, in one transaction: a kill loses no more than these."""
DISK_RETRY_SECONDS = 300.0
HISTORY_TOLD_SECONDS = 300.0
"""How often the log says how far the history is."""
CHANGE_TOLD_SECONDS = 1800.0
"""How often it says that the way of syncing, or the interval, has changed, should they alternate."""


class Calls(Protocol):
    """The remote list of one cluster, with retries allowed anew for every sync."""

    def begin_sync(self) -> None:
        """Allow the retries of one sync."""
        ...

    def list_jobs(self, query: JobListQuery) -> Page:
        """Ask for one page. Raises ApiError, or Stopped."""
        ...


class RepeatGuard(Protocol):
    """Which failures are worth a line in the log."""

    def failed(self, subject: Hashable, reason: Hashable, now_seconds: float) -> int | None:
        """None: keep silent. A number: log it; so many before it were not logged."""
        ...

    def succeeded(self, subject: Hashable) -> int | None:
        """None: keep silent. A number: log that it is well again after so many failures."""
        ...


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller is made of."""

    identity: ClusterIdentity
    calls: Calls
    open_ledger: Callable[[], Ledger]
    keeps_on_disk: bool
    """Whether the ledger is to be in a file, if it can be."""
    reopen_on_disk: Callable[[Ledger], Ledger]
    """The ledger, kept in memory for want of a disk, back in its file. Raises ``StateError``."""
    settings: SyncSettings
    publisher: Publisher
    staleness_seconds: float
    budget: AccountBudget
    publish: Callable[[ClusterState], None]
    telemetry: Telemetry
    guard: RepeatGuard
    clock: SystemClock
    """Of this poller alone: stopping it stops only this one."""
    rng: Random


class Poller:
    """Keeps one cluster's ledger equal to the remote list, and publishes what it says."""

    def __init__(self, parts: PollerParts) -> None:
        self._parts = parts
        self._name = parts.identity.name
        self._state = ClusterState(
            identity=parts.identity, effective_interval_seconds=parts.settings.interval_seconds
        )
        self._thread: threading.Thread | None = None
        self._replica: Replica | None = None
        self._cost = 1.0
        self._calls_made = 0
        self._fresh_calls_made = 0
        self._failures = 0
        self._background: tuple[Asking[None], Ask] | None = None
        self._background_failures = 0
        self._expected_turn_by = 0.0
        self._disk_retry_at = 0.0
        self._history_told = Rarely(HISTORY_TOLD_SECONDS)
        self._strategy_told = Rarely(CHANGE_TOLD_SECONDS)
        self._stretch_told = Rarely(CHANGE_TOLD_SECONDS)

    # -- from other threads ------------------------------------------------------------------

    def start(self) -> None:
        """Begin to poll, in a thread of its own."""
        self._parts.publish(self._state)
        self._turning(0.0)
        self._thread = threading.Thread(target=self._run, name=f"poll {self._name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon; ``join`` waits for it."""
        self._parts.clock.stop()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until the thread has ended; False if it has not."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            return not self._thread.is_alive()
        return True

    def health(self) -> str | None:
        """Why this poller is not healthy; None if it is."""
        if self._thread is None or not self._thread.is_alive():
            return f"the poller of cluster {self._name} has died"
        late_seconds = self._parts.clock.monotonic_seconds() - self._expected_turn_by
        if late_seconds > STUCK_SECONDS:
            return f"the poller of cluster {self._name} has not turned for {late_seconds:.0f} s"
        return None

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        parts = self._parts
        try:
            self._declare()
            self._show_kept_at_once()
            if self._sleep(first_wait_seconds(self._name, parts.settings.interval_seconds)):
                return
            while True:
                wait_until_at = self._turn()
                if self._sleep(wait_until_at - parts.clock.now_at()):
                    return
        except Stopped:
            return
        finally:
            self._close()

    def _turn(self) -> float:
        """One sync, and the background until the next is due; returns when that is."""
        parts = self._parts
        parts.calls.begin_sync()
        started_at = parts.clock.now_at()
        started_seconds = parts.clock.monotonic_seconds()
        try:
            refreshed = self._sync(started_at)
        except (ApiError, SyncError, StateError) as error:
            return self._failed(error, started_seconds)
        except Stopped:
            raise
        except Exception as error:
            _LOG.exception("a sync ended in an error of this program", extra=self._fields())
            return self._failed(_as_failure(error), started_seconds)
        self._succeeded(refreshed, started_seconds)
        due_at = next_due_at(
            self._name,
            parts.settings.interval_seconds,
            parts.clock.now_at(),
            stretched_seconds=self._state.effective_interval_seconds,
        )
        try:
            self._work_in_background(due_at)
        except Stopped:
            raise
        except Exception:
            _LOG.exception("the background ended in an error of this program", extra=self._fields())
            self._background = None
        return due_at

    def _sync(self, started_at: float) -> Refreshed:
        replica = self._ready_replica()
        calls_before = self._fresh_calls_made
        try:
            with replica.ledger.transaction():
                refreshed = self._converse(replica.refresh(started_at, self._allowance))
                snapshot = self._parts.publisher.snapshot(replica.ledger, started_at)
                ledger = replica.ledger
                ledger.progress = msgspec.structs.replace(ledger.progress, synced_at=started_at)
        except LedgerUnwritable as error:
            self._go_on_in_memory(error)
            raise
        except LedgerUnreadable:
            self._close()
            raise
        self._learn_cost(self._fresh_calls_made - calls_before, refreshed.strategy)
        self._publish_success(refreshed, snapshot, started_at)
        return refreshed

    def _converse(self, asking: Asking[Refreshed]) -> Refreshed:
        calls_before = self._calls_made
        step: Ask | Finished[Refreshed] = advance(asking, None)
        while isinstance(step, Ask):
            answer: Page | ApiError
            try:
                answer = self._call(step, patient=self._calls_made - calls_before)
            except (RefusedError, BudgetExhausted) as error:
                answer = error  # a conversation may know another way, or do without
            step = advance(asking, answer)
        return step.value

    def _call(self, ask: Ask, *, patient: int) -> Page:
        while True:
            self._turning(0.0)
            try:
                page = self._parts.calls.list_jobs(ask.query)
            except BudgetExhausted as error:
                if error.reason != "budget" or patient < min(
                    LONG_READ_CALLS, self._parts.budget.allowed
                ):
                    raise
                if self._sleep(error.until_at - self._parts.clock.now_at()):
                    raise Stopped("the program is stopping") from error
            else:
                self._calls_made += 1
                self._count_call(ask.purpose)
                return page

    def _count_call(self, purpose: Purpose) -> None:
        if purpose is Purpose.FRESH:
            self._fresh_calls_made += 1
        elif purpose is Purpose.AUDIT:
            self._parts.budget.note_audit()
        else:
            self._parts.budget.note_history()

    def _allowance(self, purpose: Purpose) -> int:
        budget = self._parts.budget
        if purpose is Purpose.FRESH:
            return budget.left()
        return budget.left_for_audits() if purpose is Purpose.AUDIT else budget.left_for_history()

    # -- what came of it -------------------------------------------------------------------------

    def _succeeded(self, refreshed: Refreshed, started_seconds: float) -> None:
        parts = self._parts
        took_seconds = parts.clock.monotonic_seconds() - started_seconds
        parts.telemetry.sync_succeeded(self._name, took_seconds)
        for kind, jobs in refreshed.corrections.items():
            parts.telemetry.corrected(self._name, kind, jobs)
        self._failures = 0
        parts.publish(self._state)
        failures = parts.guard.succeeded(self._name)
        if failures is not None:
            _LOG.info("the cluster is synced again", extra=self._fields(failed_syncs=failures))

    def _publish_success(
        self, refreshed: Refreshed, snapshot: ClusterSnapshot | None, started_at: float
    ) -> None:
        before = self._state
        if before.strategy != refreshed.strategy:
            told = not before.strategy or self._strategy_told.permits(self._seconds())
            _LOG.log(
                logging.INFO if told else logging.DEBUG,
                "how the cluster is synced has changed"
                if before.strategy
                else "the first sync is done",
                extra=self._fields(strategy=refreshed.strategy),
            )
        if snapshot is not None and snapshot.history_complete and self._history_told.forget():
            _LOG.info("the history is complete", extra=self._fields(known=snapshot.history_known))
        self._state = replace(
            before,
            tried=True,
            up=True,
            snapshot=snapshot or before.snapshot,
            last_success_at=started_at,
            failure=None,
            strategy=refreshed.strategy,
            ledger_on_disk=self._ledger_on_disk(),
        )
        self._note_interval()

    def _failed(self, error: ApiError | SyncError | StateError, started_seconds: float) -> float:
        parts = self._parts
        now_at = parts.clock.now_at()
        took_seconds = parts.clock.monotonic_seconds() - started_seconds
        reason = getattr(error, "reason", "state")
        advice = getattr(error, "advice", "")
        self._failures += 1
        parts.telemetry.sync_failed(self._name, reason, took_seconds)
        self._state = replace(
            self._state,
            tried=True,
            up=False,
            failure=SyncFailure(reason, str(error), advice, now_at),
            ledger_on_disk=self._ledger_on_disk(),
        )
        parts.publish(self._state)
        unlogged = parts.guard.failed(self._name, reason, parts.clock.monotonic_seconds())
        if unlogged is not None:
            _LOG.warning(
                "the cluster could not be synced",
                extra=self._fields(
                    reason=reason, cause=str(error), advice=advice, unlogged_before=unlogged
                ),
            )
        wait_until_at = now_at + retry_wait_seconds(self._failures, parts.settings.interval_seconds)
        if isinstance(error, BudgetExhausted) and error.reason == "quota":
            wait_until_at = max(wait_until_at, error.until_at)
        return wait_until_at

    def _learn_cost(self, calls: int, strategy: str) -> None:
        """What a sync costs: known at once when the way changes or grows dearer, else smoothed."""
        before = self._state.strategy
        replica = self._replica
        if before is None and replica is not None and replica.ledger.progress.sort == "unknown":
            calls = min(calls, 3)  # the first sync is dearer than those that follow by delta
        if strategy != before or (strategy != "delta" and calls > self._cost):
            self._cost = float(calls)
        else:
            self._cost += COST_SMOOTHING * (calls - self._cost)
        self._cost = max(self._cost, 1.0)
        self._declare()

    def _declare(self) -> None:
        settings, replica = self._parts.settings, self._replica
        demand = Demand(
            settings.interval_seconds,
            self._cost,
            audit_calls_per_second(settings),
            history=replica is None or not replica.ledger.progress.complete,
        )
        self._parts.budget.declare(self._name, demand)

    def _note_interval(self) -> None:
        parts = self._parts
        wanted = parts.settings.interval_seconds
        effective = max(wanted, parts.budget.effective_interval_seconds(self._name))
        begins = self._state.effective_interval_seconds <= wanted * 1.1 < effective
        if begins and self._stretch_told.permits(self._seconds()):
            _LOG.warning(
                "the interval is stretched: the account's share of calls does not allow more",
                extra=self._fields(
                    interval_seconds=round(effective),
                    calls_a_sync=round(self._cost, 1),
                    advice="Lengthen collection.interval, raise quota.share, or give the cluster"
                    " an account of its own."
                    + (
                        " Counts are withdrawn between two syncs: raise collection.staleness."
                        if effective > parts.staleness_seconds
                        else ""
                    ),
                ),
            )
        self._state = replace(self._state, effective_interval_seconds=effective)

    # -- in the background -----------------------------------------------------------------------

    def _work_in_background(self, until_at: float) -> None:
        """Spend what calls are left on the history, until the next sync is due."""
        calls_before = self._calls_made
        while self._replica is not None and self._batch_in_background(self._replica, until_at):
            pass
        worked = self._calls_made > calls_before
        if worked and self._replica is not None and self._background is None:
            self._publish_background(self._replica)

    def _batch_in_background(self, replica: Replica, until_at: float) -> bool:
        """Some calls, written down together: that costs a third of writing each. False at the end."""
        try:
            with replica.ledger.transaction():
                for _ in range(CALLS_WRITTEN_TOGETHER):
                    if self._parts.clock.now_at() >= until_at:
                        return False
                    if not self._step_background(replica):
                        return False
        except LedgerUnwritable as error:
            self._background = None
            self._go_on_in_memory(error)
            return False
        except LedgerUnreadable:
            self._close()
            return False
        return True

    def _step_background(self, replica: Replica) -> bool:
        """One call of the background; False if there is nothing to do, no call left to do it with,
        or it fails just now."""
        try:
            if self._background is None and not self._begin_background(replica):
                return False
            assert self._background is not None  # noqa: S101 - it has begun
            asking, ask = self._background
            if self._allowance(ask.purpose) < 1:
                return False
            page = self._call(ask, patient=0)
            self._background_next(asking, advance(asking, page))
        except (ApiError, SyncError) as error:
            self._background_failed(error)
            return False
        self._background_failures = 0
        return True

    def _begin_background(self, replica: Replica) -> bool:
        asking = replica.background(self._parts.clock.now_at(), self._allowance)
        if asking is None:
            return False
        step = advance(asking, None)
        if isinstance(step, Ask) and self._allowance(step.purpose) < 1:
            asking.close()  # by the time there is a call for it, it would begin elsewhere
            return False
        self._background_next(asking, step)
        return self._background is not None

    def _background_next(self, asking: Asking[None], step: Ask | Finished[None]) -> None:
        self._background = (asking, step) if isinstance(step, Ask) else None

    def _background_failed(self, error: ApiError | SyncError) -> None:
        self._background_failures += 1
        lasting = not isinstance(error, ApiError) or isinstance(error, RefusedError)
        if lasting or self._background_failures >= MOST_BACKGROUND_TRIES:
            self._background = None
            self._background_failures = 0
        _LOG.debug("the history could not be read on", extra=self._fields(cause=str(error)))

    def _publish_background(self, replica: Replica) -> None:
        """Show how far the history is. Its jobs are shown by the sync that proves it complete."""
        progress = replica.ledger.progress
        if self._state.snapshot is None:
            return
        shown = replace(
            self._state.snapshot,
            history_known=replica.ledger.size,
            history_expected=progress.expected,
        )
        self._state = replace(self._state, snapshot=shown)
        self._parts.publish(self._state)
        if not progress.complete and self._history_told.permits(self._seconds()):
            _LOG.info(
                "reading the history",
                extra=self._fields(known=replica.ledger.size, expected=progress.expected),
            )

    # -- the ledger ------------------------------------------------------------------------------

    def _ready_replica(self) -> Replica:
        parts = self._parts
        if self._replica is None:
            ledger = parts.open_ledger()
            if ledger.in_memory and parts.keeps_on_disk:
                self._disk_retry_at = parts.clock.monotonic_seconds() + DISK_RETRY_SECONDS
            self._replica = Replica(ledger, parts.settings, parts.rng)
            self._show_kept(ledger)
        elif self._disk_retry_at and parts.clock.monotonic_seconds() >= self._disk_retry_at:
            self._return_to_disk(self._replica)
        return self._replica

    def _show_kept_at_once(self) -> None:
        try:
            self._ready_replica()
        except Exception as error:  # the first sync will meet it, too, and tell of it
            _LOG.debug("the ledger is not yet there", extra=self._fields(cause=str(error)))
            self._close()

    def _show_kept(self, ledger: Ledger) -> None:
        """After a restart, what was true a moment ago is shown until the first sync."""
        parts = self._parts
        last_at = ledger.progress.synced_at
        if last_at is None or parts.clock.now_at() - last_at > parts.staleness_seconds:
            return
        with ledger.transaction():
            snapshot = parts.publisher.snapshot(ledger, last_at)
        self._state = replace(self._state, snapshot=snapshot, last_success_at=last_at)
        parts.publish(self._state)

    def _go_on_in_memory(self, error: StateError) -> None:
        if self._replica is None or self._replica.ledger.in_memory:
            return
        _LOG.error(
            "the ledger cannot be written and is kept in memory until it can be",
            extra=self._fields(
                reason=str(error), advice="Make room on the disk of state.path, or mend it."
            ),
        )
        try:
            copy = self._replica.ledger.copied_to(None)
        except StateError:
            self._close()
            return
        self._replica.ledger.close()
        self._replica = Replica(copy, self._parts.settings, self._parts.rng)
        self._background = None
        self._disk_retry_at = self._parts.clock.monotonic_seconds() + DISK_RETRY_SECONDS

    def _ledger_on_disk(self) -> bool | None:
        if not self._parts.keeps_on_disk or self._replica is None:
            return None
        return not self._replica.ledger.in_memory

    def _return_to_disk(self, replica: Replica) -> None:
        try:
            ledger = self._parts.reopen_on_disk(replica.ledger)
        except StateError:
            self._disk_retry_at = self._parts.clock.monotonic_seconds() + DISK_RETRY_SECONDS
            return
        replica.ledger.close()
        self._replica = Replica(ledger, self._parts.settings, self._parts.rng)
        self._background = None
        self._disk_retry_at = 0.0
        _LOG.info("the ledger is on disk again", extra=self._fields())

    def _close(self) -> None:
        self._background = None
        if self._replica is not None:
            self._replica.ledger.close()
            self._replica = None

    # -- small things ----------------------------------------------------------------------------

    def _sleep(self, seconds: float) -> bool:
        self._turning(max(0.0, seconds))
        return self._parts.clock.sleep(seconds)

    def _turning(self, resting_seconds: float) -> None:
        """Say that the loop is alive, and will be silent for so long."""
        self._expected_turn_by = self._parts.clock.monotonic_seconds() + resting_seconds

    def _seconds(self) -> float:
        return self._parts.clock.monotonic_seconds()

    def _fields(self, **more: object) -> dict[str, object]:
        identity = self._parts.identity
        return {"cluster": identity.name, "account": identity.account, **more}


def _as_failure(error: Exception) -> SyncError:
    return SyncError(
        "bug",
        f"an error of this program ({type(error).__name__})",
        advice="Report it, with the log's lines about it.",
    )
