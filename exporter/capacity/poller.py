"""The loop that queries capacity: one thread for each account, as none of it is urgent."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from exporter.api.lists import ZoneLists
from exporter.capacity.asking import Asking, Budget, Client, calls_of
from exporter.capacity.told import ConfiguredQueue, Dated, Told, capacity_of
from exporter.clock import Loop, SystemClock, instant
from exporter.errors import Stopped
from exporter.labels import FirstNames
from exporter.model import ClusterIdentity
from exporter.snapshot import LEAST_STALENESS_SECONDS, STALENESS_INTERVALS, Capacity

_LOG = logging.getLogger(__name__)

TRIED_SECONDS = 1.0
"""How often to see whether every cluster has been tried."""
WORD_LIMIT = 50
"""How many statuses and roles, of a cluster and its nodes, have series of their own: any text may come."""
_KNOWN = ("active",)


@dataclass(frozen=True, slots=True)
class WatchedCluster:
    """A cluster, and what the configuration says about its queues."""

    identity: ClusterIdentity
    queues: tuple[ConfiguredQueue, ...] = ()


class DeclaredBudget(Budget, Protocol):
    """A budget that can be told what will be wanted of it."""

    def declare_capacity(self, calls_per_second: float) -> None: ...


@dataclass(frozen=True, slots=True)
class CapacityParts:
    """What a poller of capacity is made of."""

    account: str
    client: Client
    lists: ZoneLists
    budget: DeclaredBudget
    interval_seconds: float
    tried: Callable[[str], bool]
    """Whether a cluster has been synced, or a sync was tried: its jobs are queried first."""
    publish: Callable[[ClusterIdentity, Capacity | None], None]
    clock: SystemClock
    """Of this poller alone: stopping it stops only this one."""


class CapacityPoller(Loop):
    """Queries the capacity of one account's clusters, and publishes it."""

    def __init__(self, parts: CapacityParts, clusters: Sequence[WatchedCluster]) -> None:
        what = f"the poller of capacity of account {parts.account}"
        super().__init__(f"capacity {parts.account}", what, parts.clock)
        self._parts = parts
        self._clusters = clusters
        self._asked: set[WatchedCluster] = set()
        """Those that have been queried as they are named and configured now."""
        self._asking = Asking(parts.account, parts.client, parts.lists, parts.budget, parts.clock)
        self._told: dict[tuple[str, str, str], Told] = {}
        """By the remote cluster, since a name may be given to another one."""
        self._words: dict[tuple[str, str, str], FirstNames] = {}
        """By the remote cluster, the statuses and roles of its nodes that have series of their own."""
        self._round_seconds = 0.0
        """What the last round took."""

    # -- from other threads ------------------------------------------------------------------

    def watch(self, clusters: Sequence[WatchedCluster]) -> None:
        """Query these clusters from now on; at once those that are new, or named or configured otherwise."""
        self._clusters = clusters
        self._parts.clock.rouse()

    # -- the loop ------------------------------------------------------------------------------

    def _run(self) -> None:
        parts = self._parts
        try:
            while not all(parts.tried(each.identity.name) for each in self._clusters):
                self._asking.rest(TRIED_SECONDS)
            while True:
                due_seconds = self.turn() + parts.clock.monotonic_seconds()
                while (left_seconds := due_seconds - parts.clock.monotonic_seconds()) > 0:
                    if parts.clock.doze(left_seconds):
                        return
                    self.catch_up()
        except Stopped:
            return

    def turn(self) -> float:
        """One round; returns how long to wait for the next. Raises Stopped if the program stops."""
        parts = self._parts
        started_seconds = parts.clock.monotonic_seconds()
        self._declare()
        self._attempt(self._clusters)
        self._round_seconds = parts.clock.monotonic_seconds() - started_seconds
        return max(0.0, parts.interval_seconds - self._round_seconds)

    def catch_up(self) -> None:
        """Query those clusters that have come since the last round, or are named or configured otherwise.
        Raises Stopped if the program stops."""
        self._asked.intersection_update(self._clusters)
        self._attempt([each for each in self._clusters if each not in self._asked])

    def _attempt(self, clusters: Sequence[WatchedCluster]) -> None:
        try:
            self._round(clusters)
        except Stopped:
            raise
        except Exception:
            what = "asking for capacity ended in an error of this program"
            _LOG.exception(what, extra={"account": self._parts.account})

    def _round(self, clusters: Sequence[WatchedCluster]) -> None:
        known = {each.identity.remote for each in self._clusters}
        self._asked.update(clusters)
        self._told = {remote: told for remote, told in self._told.items() if remote in known}
        self._words = {remote: words for remote, words in self._words.items() if remote in known}
        for zone in dict.fromkeys(each.identity.zone for each in clusters):
            listing = self._asking.clusters(zone)
            unreached = self._asking.unreached  # then the zone's clusters are not asked about
            doubtful = listing is None  # or no more than one, if that gets no answer either
            for cluster in clusters:
                if cluster.identity.zone != zone:
                    continue
                told = self._told.get(cluster.identity.remote, Told())
                if listing is not None:
                    listed = listing.value.get(cluster.identity.cluster_id)
                    told = replace(
                        told, listed=None if listed is None else Dated(listed, listing.taken)
                    )
                if not unreached:
                    told = self._asking.look(cluster.identity, told)
                    unreached = doubtful and not self._asking.answered
                    doubtful = False
                self._publish(cluster, told)
        self._declare()

    def _publish(self, cluster: WatchedCluster, told: Told) -> None:
        interval_seconds = max(self._parts.interval_seconds, self._round_seconds)
        served_seconds = max(LEAST_STALENESS_SECONDS, STALENESS_INTERVALS * interval_seconds)
        told = told.without_the_old(instant(self._parts.clock), served_seconds)
        self._told[cluster.identity.remote] = told
        self._asking.rest(0.0)  # one that was told to stop publishes no more
        words = self._words.setdefault(cluster.identity.remote, FirstNames(_KNOWN, WORD_LIMIT))
        capacity = capacity_of(told, cluster.queues, served_seconds, words)
        self._parts.publish(cluster.identity, capacity)

    def _declare(self) -> None:
        zones = {each.identity.zone for each in self._clusters}
        looks = (self._told.get(each.identity.remote, Told()) for each in self._clusters)
        calls = len(zones) + sum(map(calls_of, looks))
        self._parts.budget.declare_capacity(calls / self._parts.interval_seconds)
