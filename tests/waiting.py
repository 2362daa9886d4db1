"""Waiting for what is to come, for as long as the machine needs: it may be busy with other things.

A test waits for an event, or lets the program take so many turns; what limits a wait is only there
so that a hang is told of. Nothing here says how fast anything has to be.
"""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 300.0
"""When nothing has come for so long, nothing will, however busy the machine is."""
POLL_SECONDS = 0.1

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], what: str) -> Found:
    """Wait for something true and give it; fail, naming ``what``, if there is no end to it."""
    given_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        began = time.monotonic()
        found = condition()
        if found:
            return found
        assert time.monotonic() < given_up_at, f"waited in vain for {what}"
        pause_after_look(began)


def pause_after_look(began: float) -> None:
    """Until it may be looked again: to watch something takes no more than half of a core, however
    long a look takes. ``began`` is of the monotonic clock."""
    time.sleep(max(POLL_SECONDS, time.monotonic() - began))


class Turns:
    """Counts what somebody does while one waits for him: fails if he does nothing any more."""

    def __init__(self, done: float) -> None:
        self._at_first = self._done = done
        self._given_up_at = time.monotonic() + PATIENCE_SECONDS

    def since_then(self, done: float) -> float:
        """How many more there are of what has been ``done`` by now."""
        if done != self._done:
            self._done = done
            self._given_up_at = time.monotonic() + PATIENCE_SECONDS
        assert time.monotonic() < self._given_up_at, "nothing is done any more"
        return done - self._at_first
