"""What a cluster asks of the budget of its account: what its syncs cost, and how much happens in it."""

from exporter.api.budget import Demand
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Refreshed
from exporter.sync.verify import check_calls_per_second

SMOOTHING = 0.2
"""What the newest value weighs in a mean of those that came lately."""


class SyncCost:
    """Means over the syncs of one cluster."""

    def __init__(self, settings: SyncSettings) -> None:
        self._settings = settings
        self._calls = 1.0
        self._changes_per_second = 0.0
        self._strategy: str | None = None
        self._began_seconds = float("-inf")

    def learn(
        self, refreshed: Refreshed, calls: int, began_seconds: float, *, order_known: bool
    ) -> None:
        """What a sync that succeeded has cost and found. Its cost is known at once when the way changes
        or grows dearer, else smoothed. What the first sync finds has happened at any time."""
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
        """For the syncs to come. ``synced_part``: how many of the intervals come to one; ``history``:
        whether some of it has yet to be read."""
        return Demand(
            self._settings.interval_seconds,
            self._calls * synced_part,
            check_calls_per_second(self._settings),
            history=history,
            worth=self._changes_per_second,
        )
