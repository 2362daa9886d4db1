"""Work between two syncs, with the calls that the budget leaves: above all, reading the history."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from exporter.errors import ApiError, RefusedError, StateError, SyncError
from exporter.model import Page
from exporter.polling.calling import Caller, PollerParts
from exporter.sync.asking import Ask, Asking, Finished, advance
from exporter.sync.context import FEW_TRIES
from exporter.sync.replica import Replica

_LOG = logging.getLogger(__name__)

CALLS_WRITTEN_TOGETHER = 20
"""This many calls share a transaction, so a kill loses no more than their results."""

Transaction = Callable[[Replica], AbstractContextManager[None]]


class Background:
    """Continues one conversation between the syncs of a cluster, a few calls each time."""

    def __init__(self, parts: PollerParts, transaction: Transaction, caller: Caller) -> None:
        self._parts = parts
        self._transaction = transaction
        self._caller = caller
        self._current: tuple[Replica, Asking[None], Ask] | None = None
        self._failures = 0

    def work(self, replica: Replica, until_seconds: float) -> bool:
        """Spend the calls that are left, until a moment of the monotonic clock. Returns whether a
        conversation has ended."""
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
        """Make one call. Returns False if there is nothing to do, if no call is left, or if it fails."""
        try:
            if self._current is None and not self._begin(replica):
                return False
            assert self._current is not None  # noqa: S101 - it has begun
            _, asking, ask = self._current
            if self._caller.allowance(ask.purpose) < 1:
                return False
            answer: Page | ApiError
            try:
                answer = self._caller.call(ask)
            except RefusedError as error:
                answer = error  # the conversation may try another way
            self._next(replica, asking, advance(asking, answer))
        except (ApiError, SyncError) as error:
            self._failed(error)
            return False
        self._failures = 0
        return True

    def _begin(self, replica: Replica) -> bool:
        asking = replica.background(self._parts.clock.now_at(), self._caller.allowance)
        if asking is None:
            return False
        step = advance(asking, None)
        if isinstance(step, Ask) and self._caller.allowance(step.purpose) < 1:
            asking.close()  # when there is a call for it, it has to begin with fresh data
            return False
        self._next(replica, asking, step)
        return self._current is not None

    def _next(self, replica: Replica, asking: Asking[None], step: Ask | Finished[None]) -> None:
        self._current = (replica, asking, step) if isinstance(step, Ask) else None

    def _failed(self, error: ApiError | SyncError) -> None:
        self._failures += 1
        lasting = not isinstance(error, ApiError) or isinstance(error, RefusedError)
        if lasting or self._failures >= FEW_TRIES:
            self._current = None
            self._failures = 0
        _LOG.debug("the history could not be read on", extra=self._parts.fields(cause=str(error)))
