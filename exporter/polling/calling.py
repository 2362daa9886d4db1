"""Sends the queries of conversations as the budget allows, those of syncs and those of the background. And what a
poller is made of."""

import logging
import math
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from random import Random

from exporter.api.budget import AccountBudget
from exporter.api.client import ClusterJobs
from exporter.api.lists import Listings
from exporter.clock import SystemClock
from exporter.errors import ApiError, BudgetExhausted, RefusedError, StateError, Stopped, SyncError
from exporter.ledger.keeper import LedgerKeeper
from exporter.model import ClusterIdentity, Page, Purpose
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterState
from exporter.sync.asking import Ask, Asking, Finished, T, advance
from exporter.sync.context import FEW_TRIES, SyncSettings
from exporter.sync.replica import Replica
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

LONG_READ_CALLS = 50
"""A sync that has made this many calls, or a whole window of them, waits for the budget, and does not fail. So does any
other, if there is room again within its interval."""
CALLS_WRITTEN_TOGETHER = 20
"""In the background, this many calls share a transaction, so a kill loses no more than their results."""


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller is made of."""

    identity: ClusterIdentity
    calls: ClusterJobs
    keeper: LedgerKeeper
    settings: SyncSettings
    publisher: Publisher
    budget: AccountBudget
    publish: Callable[[ClusterState], None]
    telemetry: Telemetry
    clock: SystemClock
    """This poller's own: stopping it stops no other poller."""
    rng: Random
    listings: Listings | None = None
    """Those of the cluster's zone, if there is a change detector."""


class Caller:
    """Makes the calls of one cluster and tells the budget what they were for."""

    def __init__(self, parts: PollerParts) -> None:
        self._parts = parts
        self.made: Counter[Purpose] = Counter()
        """How many calls were answered, by what they were for."""

    def converse(self, asking: Asking[T], interval_seconds: float) -> T:
        """Run a conversation to its end, and return its result. The next one follows after an interval."""
        enough = self.made.total() + min(LONG_READ_CALLS, self._parts.budget.allowed)
        with closing(asking):  # if a call fails, its last steps belong to the same transaction
            step: Ask | Finished[T] = advance(asking, None)
            while isinstance(step, Ask):
                patience_seconds = math.inf if self.made.total() >= enough else interval_seconds
                answer = self.answer(step, patience_seconds=patience_seconds)
                step = advance(asking, answer)
        return step.value

    def answer(self, ask: Ask, *, patience_seconds: float = 0.0) -> Page | ApiError:
        """Make one call of a conversation, and wait no longer than this for the budget. Returns what it is to be told: the
        page, or why there is none, as it may know another way. Raises Stopped."""
        clock = self._parts.clock
        answer: Page | ApiError
        while True:
            try:
                answer = self._parts.calls.list_jobs(ask.query)
            except BudgetExhausted as error:
                wait_seconds = error.until_at - clock.now_at()
                if error.reason == "budget" and wait_seconds <= patience_seconds:
                    if clock.sleep(wait_seconds):
                        raise Stopped("the program is stopping") from error
                    continue
                answer = error
            except ApiError as error:
                answer = error
            else:
                self.made[ask.purpose] += 1
                self._parts.budget.note(ask.purpose)
            if clock.sleep(0.0):  # else it would publish a cluster that is gone
                raise Stopped("the program is stopping")
            return answer


class Background:
    """The work between two syncs of a cluster, above all reading the history: continues one conversation, a few calls
    each time."""

    def __init__(self, parts: PollerParts, caller: Caller) -> None:
        self._parts = parts
        self._caller = caller
        self._current: tuple[Replica, Asking[None], Ask] | None = None
        """The conversation, and the call that it asks for."""
        self._failures = 0
        """How often in a row that call has failed."""

    def work(self, replica: Replica | None, until_seconds: float) -> bool:
        """Spend the calls that are left, until a monotonic moment. Returns whether a conversation has ended."""
        made_before = self._caller.made.total()
        try:
            while replica is not None and self._batch(replica, until_seconds):
                pass
        except StateError:
            return False
        return self._caller.made.total() > made_before and self._current is None

    def _batch(self, replica: Replica, until_seconds: float) -> bool:
        """Make some calls in one transaction, which takes a third of the time of one for each. Returns
        False if there is nothing more to do now."""
        clock = self._parts.clock
        try:
            with self._parts.keeper.transaction(replica.ledger):
                return all(
                    clock.monotonic_seconds() < until_seconds and self._step(replica)
                    for _ in range(CALLS_WRITTEN_TOGETHER)
                )
        except BaseException:
            self._current = None  # what it has read is undone
            raise

    def _step(self, replica: Replica) -> bool:
        """Begin a conversation, or make a call of it. Returns False if nothing is to do, or can be done now."""
        answer = None
        if self._current is None or self._current[0] is not replica:  # the ledger has been replaced
            asking = replica.background(self._parts.clock.now_at(), self._parts.budget.left)
        else:
            _, asking, ask = self._current
            if self._parts.budget.left(ask.purpose) < 1:
                return False
            answer = self._caller.answer(ask)
            if isinstance(answer, ApiError) and self._may_pass(answer):
                return False
            self._failures = 0
        self._current = None
        if asking is None:
            return False
        try:
            step = advance(asking, answer)
        except (ApiError, SyncError) as error:
            cause = self._parts.identity.fields(cause=str(error))
            _LOG.debug("the history could not be read on", extra=cause)
            return False
        if isinstance(step, Ask):
            self._current = replica, asking, step
        return answer is not None or self._current is not None

    def _may_pass(self, error: ApiError) -> bool:
        """Whether the call is to be made again, after the next sync. Otherwise the conversation is told why it failed."""
        if isinstance(error, BudgetExhausted):
            return True
        self._failures += 1
        return self._failures < FEW_TRIES and not isinstance(error, RefusedError)
