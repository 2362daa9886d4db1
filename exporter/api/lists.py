"""cluster/list of one account: called once for all threads that need the answer."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


class Counters(NamedTuple):
    """The job counters of one cluster in one listing."""

    jobs: Mapping[str, int]
    """By status, for those that the listing has."""
    asked: Instant
    """The moment just before the call of cluster/list."""


@dataclass(slots=True)
class Listings:
    """What the clusters of one zone share: the answers for it, while somebody asks for them regularly, so that a
    cluster may wait for the next one; and of what use these have been."""

    lists: ZoneLists
    zone: str
    interval_seconds: float
    """How often they are asked for."""
    polled: bool = False
    """Whether they are asked for again and again."""
    neighbours_follow: bool = False
    """Whether counters of a cluster in them were last found to follow their list."""
    used: bool = False
    """Whether the newest one has spared a sync."""
    unused: int = 0
    """How often in a row the call has failed or spared no sync."""
    due_seconds: float = 0.0
    """When the next one is due, by the monotonic clock."""

    def newest(self, cluster_id: str) -> Counters | None:
        """The newest counters of a cluster; None if the last call failed, or did not list it."""
        told = self.lists.newest(self.zone) if self.polled else None
        if told is None:
            return None
        listed = (each.jobs for each in told.clusters if each.cluster_id == cluster_id)
        jobs = next(listed, None)
        return None if jobs is None else Counters(jobs, told.asked)
