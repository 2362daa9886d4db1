"""Sends the queries of conversations as the budget allows; and what a poller is made of."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Protocol

from exporter.api.budget import AccountBudget
from exporter.clock import SystemClock
from exporter.errors import ApiError, BudgetExhausted, RefusedError, Stopped
from exporter.ledger.store import Ledger
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.polling.detector import Counters
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterState
from exporter.sync.asking import Ask, Asking, Finished, Purpose, T, advance
from exporter.sync.context import SyncSettings
from exporter.telemetry import Telemetry

LONG_READ_CALLS = 50
"""A sync that has made this many calls, or a whole window of them, waits for the budget instead of
failing and beginning again."""


class Listings(Protocol):
    """What cluster/list tells about one cluster. Somebody else asks for it regularly."""

    @property
    def interval_seconds(self) -> float:
        """How often it is asked for."""
        ...

    neighbours_follow: bool
    """Whether counters of a cluster in it were last found to follow their list."""

    def newest(self) -> Counters | None:
        """The newest counters; None if the last call failed, or did not list the cluster."""
        ...

    def note_use(self) -> None:
        """Note that it has spared a sync."""
        ...


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
    reopen_on_disk: Callable[[Ledger], Ledger]
    """Writes a ledger that was moved to memory back to its file, and opens that. Raises ``StateError``."""
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
    """The answers of cluster/list, if there is a change detector."""

    def fields(self, **more: object) -> dict[str, object]:
        """The fields of a log line about the cluster."""
        return {"cluster": self.identity.name, "account": self.identity.account, **more}


class Caller:
    """Makes the calls of one cluster and tells the budget what they were for."""

    def __init__(self, parts: PollerParts, resting: Callable[[float], None]) -> None:
        """``resting`` is called with the seconds for which the caller is about to sleep."""
        self._parts = parts
        self._resting = resting
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
                except (RefusedError, BudgetExhausted) as error:
                    answer = error  # the conversation may try another way
                step = advance(asking, answer)
        return step.value

    def call(self, ask: Ask, *, made_for_it: int = 0) -> Page:
        """Make one call of a conversation that has made ``made_for_it`` calls before. Raises
        ``ApiError`` or ``Stopped``."""
        while True:
            self._resting(0.0)
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
        self._resting(max(0.0, seconds))
        return self._parts.clock.sleep(seconds)

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
