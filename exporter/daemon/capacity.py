"""The capacity pollers, one for each account, following the configuration when it changes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from exporter.capacity import (
    CapacityParts,
    CapacityPoller,
    ConfiguredQueue,
    Told,
    WatchedCluster,
    capacity_of,
)
from exporter.clock import SystemClock
from exporter.config import ClusterConfig, Config
from exporter.daemon.accounts import Account
from exporter.labels import Wanted
from exporter.model import ClusterIdentity
from exporter.snapshot import Capacity, SnapshotBoard


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What one poller works on; while this stays the same, the poller keeps running."""

    account: Account
    interval_seconds: float
    queues: Wanted
    """Which are shown."""


class CapacityWatch:
    """The pollers of all accounts."""

    def __init__(self, board: SnapshotBoard, on_publish: Callable[[], None]) -> None:
        self._board = board
        self._on_publish = on_publish
        self._running: dict[str, tuple[_Wanted, CapacityPoller]] = {}

    def health(self) -> str | None:
        """Why it is not healthy; None if it is."""
        problems = (poller.health() for _, poller in list(self._running.values()))
        return next((problem for problem in problems if problem), None)

    def stop_unwanted(self, config: Config, accounts: Mapping[str, Account]) -> None:
        """Stop the pollers whose work has changed."""
        wanted = _wanted(config, accounts)
        self._stop(
            [name for name, (known, _) in self._running.items() if known != wanted.get(name)]
        )

    def start_missing(self, config: Config, accounts: Mapping[str, Account]) -> None:
        """Start the others. The clusters must be on the board."""
        wanted = _wanted(config, accounts)
        for name, account in accounts.items():
            if name not in wanted:
                account.budget.declare_capacity(0.0)
                for cluster in map(_watched, config.clusters_of(name)):
                    capacity = capacity_of(Told(), cluster.queues, math.inf)
                    capacity = _shown(config.labels.queues, capacity)
                    self._board.publish_capacity(cluster.identity, capacity)
                continue
            clusters = tuple(map(_watched, config.clusters_of(name)))
            if name in self._running:
                self._running[name][1].watch(clusters)
            else:
                self._running[name] = (wanted[name], self._start(wanted[name], clusters))

    def stop(self) -> list[CapacityPoller]:
        """Tell all to stop; gives them, to be joined."""
        return self._stop(list(self._running))

    def _stop(self, names: Sequence[str]) -> list[CapacityPoller]:
        stopped = [self._running.pop(name)[1] for name in names]
        for poller in stopped:
            poller.stop()
        return stopped

    def _start(self, wanted: _Wanted, clusters: tuple[WatchedCluster, ...]) -> CapacityPoller:
        clock = SystemClock()
        parts = CapacityParts(
            account=wanted.account.config.name,
            client=wanted.account.client,
            lists=wanted.account.lists,
            budget=wanted.account.budget,
            interval_seconds=wanted.interval_seconds,
            tried=self._tried,
            publish=partial(self._publish, wanted.queues),
            clock=clock,
        )
        poller = CapacityPoller(parts, clusters)
        poller.start()
        return poller

    def _tried(self, name: str) -> bool:
        state = self._board.current().get(name)
        return state is None or state.tried

    def _publish(
        self, queues: Wanted, identity: ClusterIdentity, capacity: Capacity | None
    ) -> None:
        self._board.publish_capacity(identity, _shown(queues, capacity))
        self._on_publish()


def _wanted(config: Config, accounts: Mapping[str, Account]) -> dict[str, _Wanted]:
    interval_seconds = config.collection.capacity_interval_seconds
    if interval_seconds is None:
        return {}
    return {
        name: _Wanted(account, interval_seconds, config.labels.queues)
        for name, account in accounts.items()
        if config.clusters_of(name)
    }


def _shown(wanted: Wanted, capacity: Capacity | None) -> Capacity | None:
    if capacity is None:
        return None
    return replace(capacity, queues=tuple(each for each in capacity.queues if wanted(*each.names)))


def _watched(cluster: ClusterConfig) -> WatchedCluster:
    queues = tuple(ConfiguredQueue(each.name, each.cores, each.gpus) for each in cluster.queues)
    return WatchedCluster(cluster.identity, queues)
