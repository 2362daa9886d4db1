"""Keeps a replica's ledger on disk, or in memory while the disk cannot be written."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger.store import Ledger
from exporter.polling.calling import PollerParts
from exporter.sync.replica import Replica

_LOG = logging.getLogger(__name__)

DISK_RETRY_SECONDS = 300.0
"""How often a disk that cannot be written is tried again."""


class LedgerKeeper:
    """Opens the ledger of one cluster, moves it to memory and back to disk, and closes it."""

    def __init__(self, parts: PollerParts) -> None:
        self._parts = parts
        self.replica: Replica | None = None
        """None while no ledger is open."""
        self._disk_retry_seconds = float("inf")
        """When the disk is tried again, by the monotonic clock; infinite if the ledger is where it is to be."""

    def ready(self) -> Replica:
        """The replica. Opens its ledger, or moves it back to disk, if it is time to. Raises ``StateError``."""
        if self.replica is None:
            return self._go_on_with(self._parts.open_ledger())
        if self._parts.clock.monotonic_seconds() >= self._disk_retry_seconds:
            return self._back_on_disk(self.replica)
        return self.replica

    @contextmanager
    def transaction(self, replica: Replica) -> Iterator[None]:
        """A transaction of the ledger. If the file cannot be written, the ledger continues in memory;
        if it cannot be read, it is closed, and opened again later. The error is raised in any case."""
        try:
            with replica.ledger.transaction():
                yield
        except LedgerUnwritable as error:
            self._go_on_in_memory(replica, error)
            raise
        except LedgerUnreadable:
            self.close()
            raise

    @property
    def on_disk(self) -> bool | None:
        """Whether the ledger is on disk; None if it is not meant to be, or if it is not open."""
        if not self._parts.keeps_on_disk or self.replica is None:
            return None
        return not self.replica.ledger.in_memory

    def rest(self) -> None:
        """Give back memory: nobody needs the ledger for a while."""
        if self.replica is not None:
            self.replica.ledger.rest()

    def close(self) -> None:
        """Close the ledger; ``ready`` opens it again."""
        if self.replica is not None:
            self.replica.ledger.close()
            self.replica = None

    def _go_on_in_memory(self, replica: Replica, error: StateError) -> None:
        if replica.ledger.in_memory:
            return
        _LOG.error(
            "the ledger cannot be written and is kept in memory until it can be",
            extra=self._parts.fields(reason=str(error), advice=LedgerUnwritable.advice),
        )
        try:
            self._go_on_with(self._parts.moved(replica.ledger))
        except StateError:
            self.close()

    def _back_on_disk(self, replica: Replica) -> Replica:
        try:
            replica = self._go_on_with(self._parts.moved(replica.ledger))
        except StateError:
            self._try_disk_later()
        else:
            _LOG.info("the ledger is on disk again", extra=self._parts.fields())
        return replica

    def _go_on_with(self, ledger: Ledger) -> Replica:
        self.close()
        self.replica = Replica(ledger, self._parts.settings, self._parts.rng)
        self._disk_retry_seconds = float("inf")
        if ledger.in_memory and self._parts.keeps_on_disk:
            self._try_disk_later()
        return self.replica

    def _try_disk_later(self) -> None:
        self._disk_retry_seconds = self._parts.clock.monotonic_seconds() + DISK_RETRY_SECONDS
