"""cluster/list of one account: called once for all threads that need the answer."""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from exporter.clock import Clock, Instant, instant
from exporter.errors import ApiError
from exporter.model import ListedCluster

SHARED_SECONDS = 60.0
"""An answer of this age is good enough for whoever asks every few minutes."""


class ZoneList(NamedTuple):
    """The clusters of a zone, as one look at it has found them."""

    clusters: tuple[ListedCluster, ...]
    asked: Instant
    """The moment just before the call."""


class ZoneLists:
    """The newest answers by zone. Threads share it."""

    def __init__(self, ask: Callable[[str], tuple[ListedCluster, ...]], clock: Clock) -> None:
        self.on_told: Callable[[str], None] = lambda zone: None
        """Called by the thread that asked, when a zone's list has come or could not be queried."""
        self._ask = ask
        self._clock = clock
        self._told: dict[str, ZoneList | None] = {}
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def newest(self, zone: str) -> ZoneList | None:
        """The last answer; None if there was none, or it has failed since."""
        return self._told.get(zone)

    def recent(self, zone: str, max_age_seconds: float) -> ZoneList | None:
        """The last answer, if it is not older; no call is made."""
        told = self._told.get(zone)
        if told is None or self._clock.monotonic_seconds() - told.asked.seconds > max_age_seconds:
            return None
        return told

    def get(self, zone: str, max_age_seconds: float = 0.0) -> ZoneList:
        """An answer that is not older. Raises ApiError, or Stopped if the program stops."""
        with self._asking[zone]:
            told = self.recent(zone, max_age_seconds)
            if told is not None:
                return told
            asked = instant(self._clock)
            try:
                told = self._told[zone] = ZoneList(self._ask(zone), asked)
            except ApiError:
                self._told[zone] = None
                raise
            finally:
                self.on_told(zone)
            return told
