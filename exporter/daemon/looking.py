"""One query of one cluster by hand: a few calls, or the whole list."""

import math
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from exporter.api.budget import AccountBudget
from exporter.api.client import ClusterJobs
from exporter.clock import Clock
from exporter.errors import ApiError, SyncError
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import PAGE_LIMIT, JobListQuery, Page, Purpose
from exporter.polling.calling import CALLS_WRITTEN_TOGETHER
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterSnapshot
from exporter.sync.asking import (
    Ask,
    Asking,
    CollapseUnconfirmed,
    Contradiction,
    Finished,
    T,
    advance,
)
from exporter.sync.context import CONFIRMING_SECONDS, SyncSettings
from exporter.sync.replica import Refreshed, Replica

MOST_TRIES = 5
"""How often the profile of a server that contradicts it is detected anew."""
MOST_ROUNDS = 10
"""A history is complete after a few syncs and the work between them, or never."""
CHEAP_CALLS = 25
"""What a quick look may spend besides the calls for active jobs: more than a first contact needs."""
CONTACT_CALLS = 15
"""What it costs, besides the pages, to find the profile and to prove that all jobs are known."""

Progressing = Callable[[int, int | None], None]
"""Told how many jobs are known, and how many there are."""


def calls_for(jobs: int) -> int:
    """What it costs to read so many jobs, about. Pure."""
    return 2 + -(-jobs // (PAGE_LIMIT - 1))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a query of a cluster has shown."""

    strategy: str
    snapshot: ClusterSnapshot | None
    jobs: int | None
    """How many jobs are in the list; None if the server does not say."""


class Look:
    """Looks at one cluster. What fails raises ``ApiError``, ``SyncError`` or ``StateError``."""

    def __init__(
        self,
        calls: ClusterJobs,
        *,
        settings: SyncSettings,
        publisher: Publisher,
        budget: AccountBudget,
        clock: Clock,
        progressing: Progressing,
    ) -> None:
        self._calls = calls
        self._settings = settings
        self._publisher = publisher
        self._budget = budget
        self._clock = clock
        self._progressing = progressing

    def length(self) -> int | None:
        """How many jobs are in the list; None if the server does not say. One call."""
        self._calls.begin_sync()
        return self._calls.list_jobs(JobListQuery(limit=1)).total_count

    def active(self) -> Seen:
        """The active jobs, and how many there are in all. Nothing is kept."""
        with closing(open_ledger(None, "a look")) as ledger:
            seen = self._synced(self._replica(ledger), most_beside=CHEAP_CALLS)
            if seen.snapshot is None:
                raise _only_whole(seen.jobs)
            return seen

    def whole(self, ledger: Ledger) -> Seen:
        """All jobs, as the daemon would read them: what a ledger knows already is not read again, and it keeps
        whatever is read, also if this is broken off."""
        replica = self._replica(ledger)
        for _ in range(MOST_ROUNDS):
            seen = self._synced(replica)
            if ledger.progress.complete:
                return seen
            asking = replica.background(self._clock.now_at(), self._all_that_is_left)
            if asking is None:
                break
            self._kept_in_parts(asking, ledger)
        raise SyncError(
            "moving",
            "the history could not be completed",
            advice="What was read is kept: try again, or let the daemon continue.",
        )

    # -- conversations -----------------------------------------------------------------------------

    def _replica(self, ledger: Ledger) -> Replica:
        return Replica(ledger, self._settings, random.Random())  # noqa: S311 - no secret

    def _synced(self, replica: Replica, most_beside: float = math.inf) -> Seen:
        """One sync, in one transaction; anew if the server does not do what it did. ``most_beside``:
        so many calls may be made beside those for active jobs."""
        ledger, tries = replica.ledger, 0
        while True:
            tries += 1
            started_at = self._clock.now_at()
            self._calls.begin_sync()
            allowance = self._all_that_is_left if most_beside == math.inf else self._a_few
            try:
                with ledger.transaction():
                    asking = replica.refresh(started_at, allowance)
                    refreshed = self._converse(asking, ledger, most_beside)
                    return self._seen(refreshed, ledger, started_at)
            except (Contradiction, CollapseUnconfirmed) as error:
                if tries == MOST_TRIES:
                    raise
                if isinstance(error, CollapseUnconfirmed):
                    self._clock.sleep(CONFIRMING_SECONDS)

    def _seen(self, refreshed: Refreshed, ledger: Ledger, at: float) -> Seen:
        snapshot = self._publisher.snapshot(ledger, at)
        return Seen(refreshed.strategy, snapshot, ledger.progress.expected)

    def _converse(self, asking: Asking[T], ledger: Ledger, most_beside: float = math.inf) -> T:
        step, beside = self._on(asking, None), 0
        while isinstance(step, Ask):
            beside += step.query.status is None
            if beside > most_beside:
                raise _only_whole(ledger.progress.expected)
            step = self._on(asking, step)
            self._progressing(ledger.size, ledger.progress.expected)
        return step.value

    def _on(self, asking: Asking[T], ask: Ask | None) -> Ask | Finished[T]:
        """One call further."""
        answer: Page | ApiError | None
        try:
            answer = None if ask is None else self._calls.list_jobs(ask.query)
        except ApiError as error:
            answer = error  # a conversation may know another way
        return advance(asking, answer)

    def _kept_in_parts(self, asking: Asking[None], ledger: Ledger) -> None:
        """What goes on between two syncs, to its end; some calls at a time are written."""
        self._calls.begin_sync()
        step: Ask | Finished[None] | None = None
        error: ApiError | SyncError | None = None
        while error is None and not isinstance(step, Finished):
            with ledger.transaction():
                for _ in range(CALLS_WRITTEN_TOGETHER):
                    try:
                        step = self._on(asking, step)
                    except (ApiError, SyncError) as failed:
                        error = failed  # what was read before is to be written first
                        break
                    self._progressing(ledger.size, ledger.progress.expected)
                    if isinstance(step, Finished):
                        break
        if error is not None and not isinstance(error, Contradiction):
            raise error

    # -- what it may cost --------------------------------------------------------------------------

    def _all_that_is_left(self, purpose: Purpose) -> int:
        del purpose  # nothing else is to be done with it
        return self._budget.left()

    def _a_few(self, purpose: Purpose) -> int:
        return min(CHEAP_CALLS, self._budget.left()) if purpose is Purpose.FRESH else 0


def _only_whole(jobs: int | None) -> SyncError:
    cost = "" if jobs is None else f", {jobs:,} jobs, about {calls_for(jobs):,} calls"
    return SyncError(
        "filter",
        f"the server shows the active jobs only with the whole list{cost}",
        advice="Read it with --full, or let the daemon read it as the budget allows.",
    )
