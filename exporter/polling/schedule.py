"""When a cluster's next sync is due, how long to wait after a failure, and what its syncs need of the budget. Pure."""

import hashlib
import math

from exporter.api.budget import Demand
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Refreshed
from exporter.sync.verify import check_calls_per_second

LONGEST_FIRST_WAIT_SECONDS = 5.0
"""The first syncs of all clusters are spread over this time."""
LEAST_RETRY_LIMIT_SECONDS = 30.0
RETRY_LIMIT_INTERVALS = 3
"""After a failed sync, the next one comes within these seconds or intervals, whichever is longer."""

LONGEST_APART_SECONDS = 1200.0
"""A cluster gets a sync at least this often: one without a sync for half an hour is taken for stuck."""
_LEAD_SECONDS = 10.0
"""The time that a sync may take once it is due."""

SMOOTHING = 0.2
"""The weight of the newest value in a moving mean."""


def offset_part(cluster_name: str) -> float:
    """At which part of its interval a cluster is synced, in [0, 1). It is the same at every start, and
    differs between clusters, so that their calls are spread."""
    digest = hashlib.blake2s(cluster_name.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2.0**32


def first_wait_seconds(cluster_name: str, interval_seconds: float) -> float:
    """The seconds between the program's start and a cluster's first sync: few, but not the same for all."""
    return offset_part(cluster_name) * min(interval_seconds, LONGEST_FIRST_WAIT_SECONDS)


def next_due_at(cluster_name: str, interval_seconds: float, not_before_at: float) -> float:
    """The first moment of a cluster's schedule that is not before another one."""
    phase_seconds = offset_part(cluster_name) * interval_seconds
    beats = math.ceil((not_before_at - phase_seconds) / interval_seconds)
    return phase_seconds + beats * interval_seconds


def retry_wait_seconds(failures: int, interval_seconds: float) -> float:
    """How long to wait after this many failed syncs in a row: longer each time, up to 30 s or three
    intervals, whichever is longer, so that the cluster is back soon after the cloud is."""
    limit = max(LEAST_RETRY_LIMIT_SECONDS, RETRY_LIMIT_INTERVALS * interval_seconds)
    return min(limit, interval_seconds * 2.0 ** min(failures - 1, 10))


def forced_seconds(settings: SyncSettings) -> float:
    """How long after a sync the next one is forced, whatever the counters of cluster/list say: soon enough that every
    change is found within one audit interval."""
    beside = settings.interval_seconds + _LEAD_SECONDS
    apart = min(settings.audit_interval_seconds - beside, LONGEST_APART_SECONDS)
    return max(settings.interval_seconds, apart)


class SyncCost:
    """Moving means over the syncs of one cluster."""

    def __init__(self, settings: SyncSettings) -> None:
        self._settings = settings
        self._calls = 1.0
        self._changes_per_second = 0.0
        self._synced_part = 1.0
        """The part of the intervals that lately got a sync."""
        self._strategy: str | None = None
        self._began_seconds = float("-inf")

    def learn(
        self, refreshed: Refreshed, calls: int, began_seconds: float, *, order_known: bool
    ) -> None:
        """Take in what a successful sync has cost and found. The cost is replaced at once if the strategy
        has changed or a sweep or scan has become dearer, and smoothed otherwise. The changes of the
        first sync do not count: nobody knows when they happened."""
        strategy, changes = refreshed.strategy, refreshed.changes
        if self._strategy is None and strategy == "sweep" and not order_known:
            calls = min(calls, 3)  # the first sync is dearer than those that follow by delta
        dearer = strategy != "delta" and calls > self._calls
        if strategy != self._strategy or dearer:
            self._calls = float(calls)
        else:
            self._calls += SMOOTHING * (calls - self._calls)
        self._calls = max(self._calls, 1.0)
        since_seconds = began_seconds - self._began_seconds
        if 0 < since_seconds < float("inf"):
            self._changes_per_second += SMOOTHING * (
                changes / since_seconds - self._changes_per_second
            )
        self._synced_part += SMOOTHING * (1 - self._synced_part)
        self._strategy, self._began_seconds = strategy, began_seconds

    def spared(self, seconds: float) -> None:
        """Take in that for so long no sync was needed."""
        intervals = min(1.0, max(0.0, seconds) / self._settings.interval_seconds)
        self._synced_part -= SMOOTHING * intervals * self._synced_part

    def demand(self, *, history: int) -> Demand:
        """What the coming syncs need. ``history``: about how many calls it takes to read what is left of it."""
        interval_seconds = self._settings.interval_seconds
        forced_part = min(1.0, interval_seconds / forced_seconds(self._settings))
        return Demand(
            interval_seconds,
            self._calls * max(self._synced_part, forced_part),
            check_calls_per_second(self._settings),
            history=history,
            worth=self._changes_per_second,
        )
