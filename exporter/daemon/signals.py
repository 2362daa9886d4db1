"""The signals that the program heeds, and waiting for them."""

import select
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

Wait = Callable[[float], set[int]]


@contextmanager
def heeded(numbers: Iterable[signal.Signals]) -> Iterator[Wait]:
    """Within the block these signals are kept; what it gives waits for some seconds, or until one
    has come, and gives those that have. Only the main thread may.

    The system gives a signal to whichever thread it likes, at any moment, and Python's handlers run
    once the main thread does: not while that waits for a lock. So it waits for a byte that the
    signal itself writes.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        kept_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        kept = {number: signal.signal(number, _noted) for number in numbers}

        def wait(seconds: float) -> set[int]:
            come, _, _ = select.select([reader], [], [], seconds)
            return set(reader.recv(4096)) & kept.keys() if come else set()

        try:
            yield wait
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(kept_descriptor)


def _noted(_: int, __: FrameType | None) -> None:
    """Its number has been written."""
