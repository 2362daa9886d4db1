"""First contact with one cluster, with a temporary ledger: how does its server behave?"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

import msgspec

from exporter.api.client import ClusterJobs
from exporter.clock import Clock
from exporter.config import ClusterConfig
from exporter.daemon.findings import Asked, ClusterFindings, read_jobs
from exporter.daemon.overhearing import OUT_OF_CALLS, CallLimit
from exporter.errors import BudgetExhausted, RefusedError, SyncError
from exporter.ledger.store import open_ledger
from exporter.model import Page
from exporter.profile import UNKNOWN
from exporter.sync.asking import Allowance, Ask, Asking, Contradiction, T, advance
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Refreshed, Replica

MOST_TRIES = 3
"""A server that does not do what it did is found out anew, but not for ever."""
CALLS_FOR_ORDER = 10
"""Kept for the order while the first sync goes on: sweeping many active jobs must not use them up."""


class Contact:
    """Queries one cluster, with as many calls as a limit allows."""

    def __init__(
        self,
        *,
        config: ClusterConfig,
        calls: ClusterJobs,
        settings: SyncSettings,
        limit: CallLimit,
        clock: Clock,
        rng: Random,
        told: Callable[[], None],
    ) -> None:
        """``told`` is called before each call."""
        self._calls = calls
        self._limit = limit
        self._clock = clock
        self._told = told
        self._replica = Replica(open_ledger(None, config.name), settings, rng)
        self._found = ClusterFindings(config=config)
        self._one_sync = 0
        """Calls of the first sync; 0 if it did not come to its end."""

    def close(self) -> None:
        """Forget what was read."""
        self._replica.ledger.close()

    def find(self, most: int) -> None:
        """Find the profile in so many calls at most. Raises ``ApiError`` or ``SyncError``."""
        before = self._limit.made
        with self._limit.at_most(most - min(CALLS_FOR_ORDER, most // 2)):
            refreshed = self._sync()
        self._one_sync = self._limit.made - before if refreshed else 0
        if refreshed is None or not self._one_page:
            with self._limit.at_most(most - (self._limit.made - before)):
                self._find_order(synced=refreshed is not None)

    def look_again(self) -> None:
        """Find out what the calls did not reach for. Then one more sync, if it can be had: what has
        changed meanwhile tells of zone and lag."""
        with suppress(SyncError):  # the first look was good
            if not self._one_page:
                self._find_order(synced=self._one_sync > 0)
            zone = self._replica.profile.zone.value
            if zone == UNKNOWN and 0 < self._one_sync <= self._limit.left:
                self._sync()

    def findings(self) -> ClusterFindings:
        """What was found until now."""
        ledger, profile = self._replica.ledger, self._replica.profile
        progress = ledger.progress
        one_page = self._one_page
        return replace(
            self._found,
            profile=profile,
            one_page=one_page,
            finished=one_page or not profile.due("order", self._clock.now_at()),
            total=ledger.size if one_page else progress.expected,
            active_known=self._one_sync > 0 and progress.active_known,
            jobs=read_jobs({key: each.jobs for key, each in ledger.totals().items()}),
        )

    @property
    def _one_page(self) -> bool:
        ledger = self._replica.ledger
        longest = self._found.longest_page(filtered=False)
        return ledger.progress.complete and ledger.size <= longest

    # -- conversations -----------------------------------------------------------------------------

    def _sync(self) -> Refreshed | None:
        """One sync; None if the calls run out. What was read until then is kept."""
        tries = 0
        while True:
            tries += 1
            self._calls.begin_sync()
            try:
                with self._replica.ledger.transaction():
                    asking = self._replica.refresh(self._clock.now_at(), self._allowance)
                    return self._as_far_as_calls_reach(asking)
            except Contradiction:
                if tries == MOST_TRIES:
                    raise

    def _find_order(self, *, synced: bool) -> None:
        replica = self._replica
        if not synced:
            # Else the order would be asked for only once all active jobs are known.
            known = msgspec.structs.replace(replica.ledger.progress, known="active")
            replica.ledger.progress = known
        for _ in range(MOST_TRIES):
            now_at = self._clock.now_at()
            asking = replica.background(now_at, self._allowance)
            if asking is None or not replica.profile.due("order", now_at):
                return
            self._calls.begin_sync()
            try:
                with replica.ledger.transaction():
                    self._as_far_as_calls_reach(asking)
            except Contradiction:
                self._sync()  # finds anew what was contradicted

    def _as_far_as_calls_reach(self, asking: Asking[T]) -> T | None:
        try:
            return self._converse(asking)
        except BudgetExhausted as error:
            if error.reason != OUT_OF_CALLS:
                raise
            return None

    def _converse(self, asking: Asking[T]) -> T:
        step = advance(asking, None)
        while isinstance(step, Ask):
            self._told()
            answer: Page | RefusedError | BudgetExhausted
            try:
                answer = self._calls.list_jobs(step.query)
            except RefusedError as error:
                answer = error  # a conversation may know another way
                refusals = (*self._found.refusals, error.ret_code)
                self._found = replace(self._found, refusals=refusals)
            except BudgetExhausted as error:
                answer = error
            else:
                self._note(step, answer)
            step = advance(asking, answer)
        return step.value

    def _note(self, ask: Ask, page: Page) -> None:
        asked = Asked(ask.query.status, len(page.jobs), page.total_count)
        left_out = self._found.left_out + len(page.left_out)
        self._found = replace(self._found, asked=(*self._found.asked, asked), left_out=left_out)

    @property
    def _allowance(self) -> Allowance:
        return lambda _: self._limit.left
