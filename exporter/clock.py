"""The only reader of real time, and sleeping that a stop can interrupt."""

import threading
import time
from abc import ABC, abstractmethod
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
        self._roused = threading.Event()
        self._awake_by_seconds = time.monotonic()
        """When the last sleep ends, by the clock that nobody sets."""

    def now_at(self) -> float:
        """See ``Clock``."""
        return time.time()

    def monotonic_seconds(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    def sleep(self, seconds: float) -> bool:
        """See ``Clock``."""
        self._awake_by_seconds = time.monotonic() + max(0.0, seconds)
        return self._stopping.wait(max(0.0, seconds))

    def doze(self, seconds: float) -> bool:
        """As ``sleep``, but ``rouse`` ends it, too: for one thread."""
        self._awake_by_seconds = time.monotonic() + max(0.0, seconds)
        self._roused.wait(max(0.0, seconds))
        self._roused.clear()
        return self.stopping

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    def late_seconds(self) -> float:
        """How long ago the last sleep ought to have ended: its thread has been busy since, or is stuck."""
        return time.monotonic() - self._awake_by_seconds

    def rouse(self) -> None:
        """End what dozes, or will."""
        self._roused.set()

    def stop(self) -> None:
        """Wake every sleeper, now and from now on."""
        self._stopping.set()
        self._roused.set()


class Loop(ABC):
    """Something that goes on in a thread of its own, until it is stopped."""

    def __init__(self, thread_name: str, what: str, clock: SystemClock) -> None:
        """``what`` goes on, in words. ``clock`` is that of this loop alone: stopping it stops only this one."""
        self._thread_name = thread_name
        self._what = what
        self._clock = clock
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _run(self) -> None:
        """What goes on; returns soon after the clock was stopped."""
        ...

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name=self._thread_name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon; ``join`` waits for it."""
        self._clock.stop()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until the thread has ended; False if it has not."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            return not self._thread.is_alive()
        return True

    @property
    def alive(self) -> bool:
        """Whether it has begun, and goes on."""
        return self._thread is not None and self._thread.is_alive()

    def health(self) -> str | None:
        """Why it is not healthy; None if it is."""
        return None if self.alive else f"{self._what} has died"
