"""A poller with everything around it made up: a clock that sleeping moves, calls by script."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from exporter.api.budget import AccountBudget
from exporter.api.lists import Listings
from exporter.clock import instant
from exporter.daemon.cluster_log import ClusterLog, IntervalLog
from exporter.errors import ApiError, TransportError
from exporter.ledger.keeper import LedgerKeeper
from exporter.ledger.spending import MemorySpendingLog
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.polling.poller import Poller, PollerParts
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.snapshot import ClusterState, SnapshotBoard, dated
from exporter.sync.context import SyncSettings
from tests.unit.manual_clock import StoppableClock
from tests.unit.sync.simulated import CLUSTER_ID, SimulatedCluster

IDENTITY = ClusterIdentity("cfd", CLUSTER_ID, "jn1a", "default")
TIMEOUT = TransportError("timeout", "no answer", retryable=True, advice="Wait.")


class CountingTelemetry:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.syncs: Counter[str] = Counter()
        self.corrections: Counter[str] = Counter()

    def sync_succeeded(self, cluster_name: str, seconds: float) -> None:
        self.syncs["ok"] += 1

    def sync_failed(self, cluster_name: str, reason: str, seconds: float) -> None:
        self.syncs[reason] += 1

    def corrected(self, cluster_name: str, kind: str, jobs: int) -> None:
        self.corrections[kind] += jobs


class PolledCluster:
    """One cluster of the simulated cloud and its poller."""

    def __init__(
        self,
        cluster: SimulatedCluster,
        *,
        settings: SyncSettings | None = None,
        allowed: int = 1000,
        path: Path | None = None,
        identity: ClusterIdentity = IDENTITY,
        clock: StoppableClock | None = None,
        budget: AccountBudget | None = None,
        listings: Listings | None = None,
    ) -> None:
        self.cluster = cluster
        self.identity = identity
        self.listings = listings
        self.clock = clock or StoppableClock(cluster.now_at)
        self.budget = budget or AccountBudget(
            allowed=allowed, period_seconds=3600.0, clock=self.clock, log=MemorySpendingLog()
        )
        self.board = SnapshotBoard()
        self.published: list[ClusterState] = []
        self.telemetry = CountingTelemetry()
        self.path = path
        self.server_ahead_seconds = 0.0
        self.call_seconds = 0.0
        self.call_times: list[float] = []
        self.sync_times: list[float] = []
        self.trouble: Callable[[JobListQuery], None] = lambda query: None
        self.open: Callable[[], Ledger] = lambda: open_ledger(self.path, CLUSTER_ID)
        self.settings = settings or SyncSettings(interval_seconds=60, audit_interval_seconds=600)
        self.poller = self.new_poller()

    def new_poller(self) -> Poller:
        """As after a restart."""
        self.log, self.intervals = ClusterLog(), IntervalLog()
        self.keeper = LedgerKeeper(
            lambda: self.open(),  # noqa: PLW0108 - it may be replaced
            lambda ledger: ledger.copied_to(self.path if ledger.in_memory else None),
            self.clock,
            self.identity.fields(),
            keeps_on_disk=self.path is not None,
        )
        return Poller(
            PollerParts(
                identity=self.identity,
                calls=self,  # type: ignore[arg-type]
                keeper=self.keeper,
                settings=self.settings,
                publisher=Publisher(LabelRules()),
                budget=self.budget,
                publish=self._publish,
                telemetry=self.telemetry,  # type: ignore[arg-type]
                clock=self.clock,  # type: ignore[arg-type]
                rng=Random(1),
                listings=self.listings,
            )
        )

    def begin_sync(self) -> None:
        """See ``ClusterJobs``."""
        self.sync_times.append(self.clock.now)

    def list_jobs(self, query: JobListQuery) -> Page:
        """See ``ClusterJobs``."""
        self.budget.admit(self.identity.name)
        self.call_times.append(self.clock.now)
        self.clock.advance(self.call_seconds)
        self.trouble(query)
        self.cluster.now_at = self.clock.now + self.server_ahead_seconds
        page = self.cluster.list_jobs(query)
        self.budget.passed()
        return page

    def run(self, seconds: float) -> None:
        """Let the loop turn for so long, in this thread, and close its ledger."""
        self.clock.stop_at = self.clock.now + seconds
        self.poller._run()
        self.clock.stop_at = float("inf")

    def turn(self) -> float:
        """One sync with its background; returns after how many seconds the next one is due."""
        return self.poller._turn()

    @property
    def state(self) -> ClusterState:
        """What stands on the board."""
        return self.board.current()[self.identity.name]

    @property
    def shown(self) -> Counter[tuple[str, str, str]]:
        """The counts on the board, without zeros."""
        snapshot = self.state.snapshot
        assert snapshot is not None
        return Counter({(c.status, c.queue, c.user): c.jobs for c in snapshot.counts if c.jobs})

    @property
    def ledger(self) -> Ledger:
        """The poller's."""
        assert self.keeper.ledger is not None
        return self.keeper.ledger

    def fail(self, error: ApiError | Exception = TIMEOUT) -> None:
        """From now on every call fails so."""

        def trouble(_: JobListQuery) -> None:
            raise error

        self.trouble = trouble

    def recover(self) -> None:
        """Calls work again."""
        self.trouble = lambda query: None

    def _publish(self, state: ClusterState) -> None:
        self.published.append(state)
        now, before = instant(self.clock), self.board.current().get(self.identity.name)
        self.log.note(state, now.seconds)
        self.intervals.note(state, self.settings.interval_seconds, now.seconds)
        state = replace(state, staleness_wanted_seconds=300.0)
        self.board.publish(dated(state, before, now))
