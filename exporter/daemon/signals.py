"""The signals that the program handles, and waiting for them."""

import select
import signal
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

WOKEN = 0
"""What a wait gives that another thread has ended: no signal's number."""


class Wait:
    """Waits for signals, or for another thread that has something to do for this one."""

    def __init__(
        self, reader: socket.socket, writer: socket.socket, heeded: Collection[int]
    ) -> None:
        self._reader, self._writer = reader, writer
        self._heeded = {*heeded, WOKEN}

    def __call__(self, seconds: float) -> set[int]:
        """Wait for some seconds, or until a signal has come, or ``wake`` was called; gives the
        numbers of what has come."""
        come, _, _ = select.select([self._reader], [], [], seconds)
        return self._heeded.intersection(self._reader.recv(4096)) if come else set()

    def wake(self) -> None:
        """End the wait of the other thread."""
        with suppress(OSError):  # it is full: that wakes, too; or closed: nobody waits
            self._writer.send(bytes([WOKEN]))


@contextmanager
def heeded(numbers: Iterable[signal.Signals]) -> Iterator[Wait]:
    """Within the block these signals are caught; the value waits for them. Only the main thread
    may.

    The system gives a signal to whichever thread it likes, at any moment, and Python's handlers run
    once the main thread does: not while that waits for a lock. So it waits for a byte that the
    signal itself writes.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        kept_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        kept = {number: signal.signal(number, _noted) for number in numbers}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, kept)  # what has come during the start comes now
        try:
            yield Wait(reader, writer, kept)
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(kept_descriptor)


def _noted(_: int, __: FrameType | None) -> None:
    """Its number has been written."""
