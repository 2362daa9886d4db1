"""The only reader of real time, and sleeping that a stop interrupts."""

import threading
import time
from typing import NamedTuple, Protocol


class Instant(NamedTuple):
    """One moment, by both clocks."""

    at: float
    """By the machine's clock, which somebody may set."""
    seconds: float
    """By the one that nobody sets, and that begins anew with the machine."""


class Clock(Protocol):
    """Time, handed in."""

    def now_at(self) -> float:
        """The moment, in Unix seconds. May jump when the machine's clock is set."""
        ...

    def monotonic_seconds(self) -> float:
        """Seconds since some moment; never goes back. For durations and deadlines."""
        ...

    def sleep(self, seconds: float) -> bool:
        """Sleep; return early, with True, if the program is to stop."""
        ...


def instant(clock: Clock) -> Instant:
    """The present moment."""
    return Instant(clock.now_at(), clock.monotonic_seconds())


class SystemClock:
    """The machine's clock; its sleepers wake when ``stop`` is called."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def now_at(self) -> float:
        """See ``Clock``."""
        return time.time()

    def monotonic_seconds(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    def sleep(self, seconds: float) -> bool:
        """See ``Clock``."""
        return self._stopping.wait(max(0.0, seconds))

    def stop(self) -> None:
        """Wake every sleeper, now and from now on."""
        self._stopping.set()
