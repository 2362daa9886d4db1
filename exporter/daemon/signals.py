"""The signals that the program heeds, and waiting for them."""

import signal
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from types import FrameType

WOKEN = 0
"""No signal: somebody has called ``wake``."""


class Signals:
    """From ``heed`` on, those that have come are kept until ``wait`` gives them.

    A handler runs in the main thread between any two of its steps, also while that holds a lock: of
    what wakes a waiting thread, only this queue may then be touched.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = tuple(numbers)
        self._come: SimpleQueue[int] = SimpleQueue()

    def heed(self) -> None:
        """Take over from whoever heeded them. Only the main thread may."""
        for number in self._numbers:
            signal.signal(number, self._on_signal)

    def wake(self) -> None:
        """Let ``wait`` give ``WOKEN``. From any thread."""
        self._come.put(WOKEN)

    def wait(self, seconds: float) -> set[int]:
        """Those that have come, as soon as one has; none after so many seconds."""
        come = set[int]()
        try:
            come.add(self._come.get(timeout=seconds))
            while True:
                come.add(self._come.get_nowait())
        except Empty:
            return come

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._come.put(number)
