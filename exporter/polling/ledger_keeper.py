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
        self._disk_retry_at = 0.0

    def ready(self) -> Replica:
        """The replica. Opens the ledger if necessary, and moves it back to disk if it is time to try.
        Raises ``StateError``."""
        parts = self._parts
        if self.replica is None:
            ledger = parts.open_ledger()
            if ledger.in_memory and parts.keeps_on_disk:
                self._try_disk_later()
            self._keep(ledger)
        elif self._disk_retry_at and parts.clock.monotonic_seconds() >= self._disk_retry_at:
            self._return_to_disk(self.replica)
        assert self.replica is not None  # noqa: S101 - it was opened, or was there
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
            extra=self._parts.fields(
                reason=str(error), advice="Make room on the disk of state.path, or mend it."
            ),
        )
        try:
            copy = replica.ledger.copied_to(None)
        except StateError:
            self.close()
            return
        replica.ledger.close()
        self._keep(copy)
        self._try_disk_later()

    def _return_to_disk(self, replica: Replica) -> None:
        try:
            ledger = self._parts.reopen_on_disk(replica.ledger)
        except StateError:
            self._try_disk_later()
            return
        replica.ledger.close()
        self._keep(ledger)
        self._disk_retry_at = 0.0
        _LOG.info("the ledger is on disk again", extra=self._parts.fields())

    def _keep(self, ledger: Ledger) -> None:
        self.replica = Replica(ledger, self._parts.settings, self._parts.rng)

    def _try_disk_later(self) -> None:
        self._disk_retry_at = self._parts.clock.monotonic_seconds() + DISK_RETRY_SECONDS
