"""Sends the queries of conversations as the budget allows, those of syncs and those of the background, which
is the work between two syncs: above all, reading the history. And what a poller is made of."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from random import Random
from typing import Protocol

from exporter.api.budget import AccountBudget
from exporter.api.lists import Listings
from exporter.clock import SystemClock
from exporter.errors import ApiError, BudgetExhausted, RefusedError, StateError, Stopped, SyncError
from exporter.ledger.store import Ledger
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterState
from exporter.sync.asking import Ask, Asking, Finished, Purpose, T, advance
from exporter.sync.context import FEW_TRIES, SyncSettings
from exporter.sync.replica import Replica
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

LONG_READ_CALLS = 50
"""A sync that has made this many calls, or a whole window of them, waits for the budget, and does not fail."""
CALLS_WRITTEN_TOGETHER = 20
"""In the background, this many calls share a transaction, so a kill loses no more than their results."""

Transaction = Callable[[Replica], AbstractContextManager[None]]


class Calls(Protocol):
    """The remote list of one cluster, with a number of retries for every sync."""

    def begin_sync(self) -> None:
        """Allow the retries of one sync."""
        ...

    def list_jobs(self, query: JobListQuery) -> Page:
        """Ask for one page. Raises ApiError, or Stopped."""
        ...


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller is made of."""

    identity: ClusterIdentity
    calls: Calls
    open_ledger: Callable[[], Ledger]
    keeps_on_disk: bool
    """Whether the ledger is to be in a file, if it can be."""
    moved: Callable[[Ledger], Ledger]
    """Copies a ledger from file to memory or back, and opens the copy. Raises ``StateError`` or ``Stopped``."""
    settings: SyncSettings
    publisher: Publisher
    staleness_seconds: float
    budget: AccountBudget
    publish: Callable[[ClusterState], None]
    telemetry: Telemetry
    clock: SystemClock
    """This poller's own: stopping it stops no other poller."""
    rng: Random
    listings: Listings | None = None
    """Those of the cluster's zone, if there is a change detector."""

    def fields(self, **more: object) -> dict[str, object]:
        """The fields of a log line about the cluster."""
        return {"cluster": self.identity.name, "account": self.identity.account, **more}


class Caller:
    """Makes the calls of one cluster and tells the budget what they were for."""

    def __init__(self, parts: PollerParts) -> None:
        self._parts = parts
        self.expected_by_seconds = 0.0
        """When the next sign of life is due, by the monotonic clock."""
        self.made = 0
        """How many calls were answered, for any purpose."""
        self.made_fresh = 0
        """How many of these were ``Purpose.FRESH``."""

    def converse(self, asking: Asking[T]) -> T:
        """Run a conversation to its end, and return its result."""
        made_before = self.made
        with closing(asking):  # if a call fails, its last steps belong to the same transaction
            step: Ask | Finished[T] = advance(asking, None)
            while isinstance(step, Ask):
                answer: Page | ApiError
                try:
                    answer = self.call(step, made_for_it=self.made - made_before)
                except ApiError as error:
                    answer = error  # the conversation may try another way
                step = advance(asking, answer)
        return step.value

    def call(self, ask: Ask, *, made_for_it: int = 0) -> Page:
        """Make one call of a conversation that has made ``made_for_it`` before. Raises ApiError or Stopped."""
        while True:
            self.note_alive()
            try:
                page = self._parts.calls.list_jobs(ask.query)
            except BudgetExhausted as error:
                enough = min(LONG_READ_CALLS, self._parts.budget.allowed)
                if error.reason != "budget" or made_for_it < enough:
                    raise
                if self.rest(error.until_at - self._parts.clock.now_at()):
                    raise Stopped("the program is stopping") from error
            else:
                self._count(ask.purpose)
                if self._parts.clock.sleep(0.0):  # else it would publish a cluster that is gone
                    raise Stopped("the program is stopping")
                return page

    def rest(self, seconds: float) -> bool:
        """Sleep; returns True if the program is stopping."""
        self.note_alive(max(0.0, seconds))
        return self._parts.clock.sleep(seconds)

    def note_alive(self, resting_seconds: float = 0.0) -> None:
        """Note a sign of life, and that the next one may take this long."""
        self.expected_by_seconds = self._parts.clock.monotonic_seconds() + resting_seconds

    def allowance(self, purpose: Purpose) -> int:
        """How many calls the budget leaves for a purpose at the moment."""
        budget = self._parts.budget
        if purpose is Purpose.FRESH:
            return budget.left()
        return budget.left_for_audits() if purpose is Purpose.AUDIT else budget.left_for_history()

    def _count(self, purpose: Purpose) -> None:
        self.made += 1
        if purpose is Purpose.FRESH:
            self.made_fresh += 1
        elif purpose is Purpose.AUDIT:
            self._parts.budget.note_audit()
        else:
            self._parts.budget.note_history()


class Background:
    """Continues one conversation between the syncs of a cluster, a few calls each time."""

    def __init__(self, parts: PollerParts, transaction: Transaction, caller: Caller) -> None:
        self._parts = parts
        self._transaction = transaction
        self._caller = caller
        self._current: tuple[Replica, Asking[None], Ask] | None = None
        self._failures = 0

    def work(self, replica: Replica, until_seconds: float) -> bool:
        """Spend the calls that are left, until a monotonic moment. Returns whether a conversation has ended."""
        made_before = self._caller.made
        if self._current is not None and self._current[0] is not replica:
            self._current = None  # the ledger has been replaced
        try:
            while self._batch(replica, until_seconds):
                pass
        except StateError:
            self._current = None
            return False
        return self._caller.made > made_before and self._current is None

    def give_up(self) -> None:
        """Drop the current conversation; ``work`` begins another."""
        self._current = None

    def _batch(self, replica: Replica, until_seconds: float) -> bool:
        """Make some calls in one transaction, which takes a third of the time of one for each. Returns
        False if there is nothing more to do now."""
        with self._transaction(replica):
            for _ in range(CALLS_WRITTEN_TOGETHER):
                late = self._parts.clock.monotonic_seconds() >= until_seconds
                if late or not self._step(replica):
                    return False
        return True

    def _step(self, replica: Replica) -> bool:
        """Begin a conversation, or make a call of it. Returns False if nothing is to do, or can be done now."""
        try:
            if self._current is None:
                asking = replica.background(self._parts.clock.now_at(), self._caller.allowance)
                if asking is None:
                    return False
                self._go_on(replica, asking, advance(asking, None))
                return self._current is not None
            _, asking, ask = self._current
            if self._caller.allowance(ask.purpose) < 1:
                return False
            answer: Page | ApiError
            try:
                answer = self._caller.call(ask)
            except ApiError as error:
                if isinstance(error, BudgetExhausted) or not self._is_last(error):
                    raise
                answer = error  # the conversation may try another way, or remember what prevents it
            self._go_on(replica, asking, advance(asking, answer))
        except (ApiError, SyncError) as error:
            self._failed(error)
            return False
        self._failures = 0
        return True

    def _go_on(self, replica: Replica, asking: Asking[None], step: Ask | Finished[None]) -> None:
        self._current = (replica, asking, step) if isinstance(step, Ask) else None

    def _failed(self, error: ApiError | SyncError) -> None:
        if self._is_last(error):
            self._current = None
            self._failures = 0
        else:
            self._failures += 1
        _LOG.debug("the history could not be read on", extra=self._parts.fields(cause=str(error)))

    def _is_last(self, error: ApiError | SyncError) -> bool:
        """Whether the conversation ends with this failure: another try would fail, too, or there were enough."""
        may_pass = isinstance(error, ApiError) and not isinstance(error, RefusedError)
        return not may_pass or self._failures + 1 >= FEW_TRIES
