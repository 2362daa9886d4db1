"""Keeps a cluster's ledger on disk, or in memory while the disk cannot be written."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from exporter.clock import Clock
from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateError
from exporter.ledger.store import Ledger

_LOG = logging.getLogger(__name__)

DISK_RETRY_SECONDS = 300.0
"""How often a disk that cannot be written is tried again."""


class LedgerKeeper:
    """Opens the ledger of one cluster, moves it to memory and back to disk, and closes it."""

    def __init__(
        self,
        open_ledger: Callable[[], Ledger],
        moved: Callable[[Ledger], Ledger],
        clock: Clock,
        fields: Mapping[str, object],
        *,
        keeps_on_disk: bool,
    ) -> None:
        """``moved`` copies a ledger from file to memory or back, and opens the copy. It raises ``StateError``, or
        ``Stopped``, as ``open_ledger`` does. ``fields`` are those of log lines. ``keeps_on_disk``: whether the
        ledger is to be in a file, if it can be."""
        self._open = open_ledger
        self._moved = moved
        self._clock = clock
        self._fields = fields
        self._keeps_on_disk = keeps_on_disk
        self.ledger: Ledger | None = None
        """None while none is open."""
        self._disk_retry_seconds = 0.0
        """When the disk is tried again if the ledger is not on it, by the monotonic clock."""

    def ready(self) -> Ledger:
        """The ledger. Opens it, or moves it back to disk, if it is time to. Raises ``StateError`` or ``Stopped``."""
        if self.ledger is None:
            return self._go_on_with(self._open())
        late = self._clock.monotonic_seconds() >= self._disk_retry_seconds
        if late and self.on_disk is False:
            self._try_disk_later()
            with suppress(StateError):
                self._go_on_with(self._moved(self.ledger))
                _LOG.info("the ledger is on disk again", extra=self._fields)
        return self.ledger

    @contextmanager
    def transaction(self, ledger: Ledger) -> Iterator[None]:
        """A transaction of the ledger. If the file cannot be written, the ledger continues in memory;
        if it cannot be read, it is closed, and opened again later. The error is raised in any case."""
        try:
            with ledger.transaction():
                yield
        except LedgerUnwritable as error:
            self._go_on_in_memory(ledger, error)
            raise
        except LedgerUnreadable:
            self.close()
            raise

    @property
    def on_disk(self) -> bool | None:
        """Whether the ledger is on disk; None if it is not meant to be, or if it is not open."""
        if not self._keeps_on_disk or self.ledger is None:
            return None
        return not self.ledger.in_memory

    def close(self) -> None:
        """Close the ledger; ``ready`` opens it again."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None

    def _go_on_in_memory(self, ledger: Ledger, error: StateError) -> None:
        if ledger.in_memory:
            return
        _LOG.error(
            "the ledger cannot be written and is kept in memory until it can be",
            extra={**self._fields, "reason": str(error), "advice": LedgerUnwritable.advice},
        )
        try:
            self._go_on_with(self._moved(ledger))
        except StateError:
            self.close()

    def _go_on_with(self, ledger: Ledger) -> Ledger:
        self.close()
        self.ledger = ledger
        self._try_disk_later()
        return ledger

    def _try_disk_later(self) -> None:
        self._disk_retry_seconds = self._clock.monotonic_seconds() + DISK_RETRY_SECONDS
