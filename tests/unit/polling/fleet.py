"""Many clusters of one account in simulated time: their pollers, and the lister that watches them."""

import heapq
from collections.abc import Callable, Iterable
from random import Random
from types import SimpleNamespace
from typing import Any

from exporter.api.budget import AccountBudget
from exporter.api.lists import ZoneLists
from exporter.daemon.listing import Lister
from exporter.errors import TransportError
from exporter.ledger.spending import MemorySpendingLog
from exporter.model import ClusterIdentity, ListedCluster
from exporter.polling.schedule import first_wait_seconds
from exporter.simulator import JobList, fill
from exporter.simulator.plant import Counting
from exporter.sync.context import SyncSettings
from tests.unit.manual_clock import StoppableClock
from tests.unit.polling.polled import PolledCluster
from tests.unit.sync.simulated import START_AT, SimulatedCluster

ZONE = "jinan1a"
NO_LIST = TransportError("timeout", "no answer", retryable=True, advice="Wait.")
Happening = Callable[[], None]


class SimulatedFleet:
    """Pollers and a lister, none of which has a thread: each is called when it is due, or roused."""

    def __init__(
        self,
        clusters: int,
        *,
        jobs: int = 30,
        active: int = 10,
        counting: Counting = "live",
        allowed: int = 1000,
        detector: bool = True,
        settings: SyncSettings | None = None,
    ) -> None:
        settings = settings or SyncSettings()
        self.clock = StoppableClock(START_AT)
        self.counting = counting
        self.distort: Callable[[ListedCluster], ListedCluster | None] = lambda each: each
        self.list_fails: Callable[[], bool] = lambda: False
        self.listings = 0
        self.budget = AccountBudget(
            allowed=allowed, period_seconds=3600.0, clock=self.clock, log=MemorySpendingLog()
        )
        lists = ZoneLists(self._list, self.clock)
        config = SimpleNamespace(name="default")
        account: Any = SimpleNamespace(config=config, budget=self.budget, lists=lists)
        self.lister = Lister(account, self.clock)  # type: ignore[arg-type]
        self.clusters: dict[str, PolledCluster] = {}
        for number in range(clusters):
            name = f"ehpc-{number}"
            listed = JobList()
            fill(listed, jobs, active=active, now_at=START_AT - 100, seed=number)
            self.clusters[name] = PolledCluster(
                SimulatedCluster(jobs=listed, seed=number),
                identity=ClusterIdentity(name, name, ZONE, "default"),
                clock=self.clock,
                budget=self.budget,
                settings=settings,
                listings=self.lister.listings(ZONE) if detector else None,
            )
        self._due = {
            name: self.clock.monotonic + first_wait_seconds(name, settings.interval_seconds)
            for name in self.clusters
        }
        self._lister_at = self.clock.monotonic if detector else float("inf")
        lists.on_told = lambda _: self._due.update(dict.fromkeys(self._due, self.clock.monotonic))
        self.lister.watch({ZONE: [settings.interval_seconds] * clusters})

    def run(self, seconds: float, happenings: Iterable[tuple[float, Happening]] = ()) -> None:
        """Let time pass. ``happenings``: what becomes of the lists, each so many seconds from now."""
        start_at, end_at = self.clock.monotonic, self.clock.monotonic + seconds
        order = enumerate(happenings)
        waiting = [(start_at + at, number, happen) for number, (at, happen) in order]
        heapq.heapify(waiting)
        while True:
            name = min(self._due, key=self._due.__getitem__)
            next_at = min(self._due[name], self._lister_at, waiting[0][0] if waiting else end_at)
            self.clock.advance(max(0.0, min(next_at, end_at) - self.clock.monotonic))
            if next_at >= end_at:
                return
            if waiting and waiting[0][0] <= next_at:
                self._look_at_counters()
                heapq.heappop(waiting)[2]()
                self._look_at_counters()
            elif self._lister_at <= next_at:
                self._lister_at = self.clock.monotonic + self.lister.turn()
            else:
                self._due[name] = self.clock.monotonic + self.clusters[name].poller.step()

    def traffic(self, name: str, rng: Random) -> None:
        """Something happens to a job of a cluster."""
        jobs, at = self.clusters[name].cluster.jobs, self.clock.now
        pending = [job.uuid for job in jobs.page(status="pending", limit=5).jobs]
        running = [job.uuid for job in jobs.page(status="running", limit=5).jobs]
        what = rng.choice(["submit", *["start"] * bool(pending), *["end"] * bool(running)])
        if what == "submit":
            jobs.submit(at, queue="normal", user="u", cores=4)
        elif what == "start":
            jobs.start(rng.choice(pending), at)
        else:
            jobs.end(rng.choice(running), at)

    def churn(self, minutes: int, part: float, rng: Random) -> list[tuple[float, Happening]]:
        """What happens if, in each minute, something does in this part of the clusters."""

        def at(name: str) -> Happening:
            return lambda: self.traffic(name, rng)

        return [
            (60 * (minute + rng.random()), at(name))
            for minute in range(minutes)
            for name in self.clusters
            if rng.random() < part
        ]

    def longest_interval_seconds(self) -> float:
        """The longest interval that is in use."""
        return max(each.state.effective_interval_seconds for each in self.clusters.values())

    def wrong(self) -> list[str]:
        """The clusters whose published counts are neither right nor withheld."""
        return [
            name
            for name, each in self.clusters.items()
            if (shown := each.state.snapshot) is not None
            and shown.taken_at + 300 >= self.clock.now
            and each.shown != each.cluster.true_counts()
        ]

    def following(self) -> int:
        """How many clusters are asked when their counters move."""
        profiles = (each.state.profile for each in self.clusters.values())
        return sum(profile.counters.value == "follow" for profile in profiles)

    @property
    def calls(self) -> int:
        """All that were made so far."""
        return self.listings + sum(len(each.call_times) for each in self.clusters.values())

    def _look_at_counters(self) -> None:
        for each in self.clusters.values():
            each.cluster.cluster.counters.look(self.clock.now)

    def _list(self, zone: str) -> tuple[ListedCluster, ...]:
        self.budget.admit("")
        self.listings += 1
        if self.list_fails():
            raise NO_LIST
        told = []
        for name, each in self.clusters.items():
            jobs = each.cluster.cluster.counters.told(self.counting, self.clock.now)
            listed = self.distort(ListedCluster(name, name, "active", dict(jobs), "ehpc"))
            told += [listed] if listed is not None else []
        return tuple(told)
