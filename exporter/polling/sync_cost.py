"""What one cluster needs of its account's budget: the calls of a sync, and how much changes."""

from exporter.api.budget import Demand
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Refreshed
from exporter.sync.verify import check_calls_per_second

SMOOTHING = 0.2
"""The weight of the newest value in a moving mean."""


class SyncCost:
    """Moving means over the syncs of one cluster."""

    def __init__(self, settings: SyncSettings) -> None:
        self._settings = settings
        self._calls = 1.0
        self._changes_per_second = 0.0
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
        self._strategy, self._began_seconds = strategy, began_seconds

    def demand(self, synced_part: float, *, history: bool) -> Demand:
        """What the coming syncs need. ``synced_part``: the part of the intervals that get a sync;
        ``history``: whether some of it has not been read yet."""
        return Demand(
            self._settings.interval_seconds,
            self._calls * synced_part,
            check_calls_per_second(self._settings),
            history=history,
            worth=self._changes_per_second,
        )
