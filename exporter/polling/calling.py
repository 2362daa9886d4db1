"""The other end of the conversations: what a poller is made of, and sending what they ask, as the
budget allows."""

from collections.abc import Callable
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
"""A sync that has made so many calls, or all of a window, waits for the budget rather than begin
anew."""


class Listings(Protocol):
    """cluster/list, as far as it is about one cluster; asked again and again by somebody else."""

    @property
    def interval_seconds(self) -> float:
        """In which it is asked."""
        ...

    neighbours_follow: bool
    """Whether counters in it have been seen to follow a list, and none since not to."""

    def newest(self) -> Counters | None:
        """What it told last; None if it failed, or does not have the cluster."""
        ...

    def note_use(self) -> None:
        """It has spared a sync."""
        ...


class Calls(Protocol):
    """The remote list of one cluster, with retries allowed anew for every sync."""

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
    """The ledger, kept in memory for want of a disk, back in its file. Raises ``StateError``."""
    settings: SyncSettings
    publisher: Publisher
    staleness_seconds: float
    budget: AccountBudget
    publish: Callable[[ClusterState], None]
    telemetry: Telemetry
    clock: SystemClock
    """Of this poller alone: stopping it stops only this one."""
    rng: Random
    listings: Listings | None = None
    """cluster/list, if it is to tell when there is something to ask."""

    def fields(self, **more: object) -> dict[str, object]:
        """Those of a line of log about the cluster."""
        return {"cluster": self.identity.name, "account": self.identity.account, **more}


class Caller:
    """Makes the calls of one cluster and tells the budget what they were for."""

    def __init__(self, parts: PollerParts, resting: Callable[[float], None]) -> None:
        """``resting`` is told, in seconds, how long nothing will be heard."""
        self._parts = parts
        self._resting = resting
        self.made = 0
        """Calls that were answered, for whatever purpose."""
        self.made_fresh = 0
        """Those of them that were a refresh's own."""

    def converse(self, asking: Asking[T]) -> T:
        """Hold the other end of a conversation, to its end."""
        made_before = self.made
        step: Ask | Finished[T] = advance(asking, None)
        while isinstance(step, Ask):
            answer: Page | ApiError
            try:
                answer = self.call(step, made_for_it=self.made - made_before)
            except (RefusedError, BudgetExhausted) as error:
                answer = error  # a conversation may know another way, or do without
            step = advance(asking, answer)
        return step.value

    def call(self, ask: Ask, *, made_for_it: int = 0) -> Page:
        """Make one call of a conversation for which so many were made before. Raises ``ApiError``
        or ``Stopped``."""
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
                if self._parts.clock.sleep(0.0):  # else its cluster would be shown again
                    raise Stopped("the program is stopping")
                return page

    def rest(self, seconds: float) -> bool:
        """Sleep for so long; True if the program is stopping."""
        self._resting(max(0.0, seconds))
        return self._parts.clock.sleep(seconds)

    def allowance(self, purpose: Purpose) -> int:
        """How many calls the budget leaves for a purpose just now."""
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
