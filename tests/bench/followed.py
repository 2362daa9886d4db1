"""A remote list, and the exporter's own poller that follows it, in simulated time.

Everything between the poller's loop and the JSON of a page is the real thing: loop, budget, sync,
ledger on disk, publishing, decoding. Only the wire is left out, and time passes when somebody
sleeps.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from random import Random

from exporter.api.budget import AccountBudget
from exporter.api.joblist import job_parameters
from exporter.api.payload import decode_page
from exporter.clock import SystemClock
from exporter.ledger.keeper import LedgerKeeper
from exporter.ledger.spending import MemorySpendingLog
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.polling.poller import Poller, PollerParts
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.simulator import DOCUMENTED, Cloud, Dialect, JobList
from exporter.snapshot import ClusterSnapshot, ClusterState
from exporter.sync.context import SyncSettings
from exporter.telemetry import Telemetry

START_AT = 1_700_000_000.0
CLUSTER_ID = "ehpc-bench"
ALLOWED_CALLS = 1000
"""The default: half of an account's 2000 an hour."""
PERIOD_SECONDS = 3600.0
LATENCY_SECONDS = 0.2
LONGEST_RUN_SECONDS = 1200.0

World = Callable[[float], None]
"""Lets everything happen to the list that is due by a moment."""


IN_UTC = SyncSettings(zone_configured=True, zone_name="UTC")
"""The times of the simulated clouds are in UTC, and so are those of ledgers that are made directly."""


def still(_: float) -> None:
    """A world in which nothing happens."""


class SimulatedTime(SystemClock):
    """Time passes when somebody sleeps, until its end: that stops the sleeper."""

    def __init__(self, now_at: float, until_at: float, world: World) -> None:
        super().__init__()
        self._now_at = now_at
        self.until_at = until_at
        self.world = world

    def now_at(self) -> float:
        """See ``Clock``."""
        return self._now_at

    def monotonic_seconds(self) -> float:
        """See ``Clock``."""
        return self._now_at

    def sleep(self, seconds: float) -> bool:
        """See ``Clock``."""
        self.pass_time(min(max(0.0, seconds), max(0.0, self.until_at - self._now_at)))
        return self._now_at >= self.until_at

    doze = sleep

    def pass_time(self, seconds: float) -> None:
        """Some time goes by."""
        self._now_at += seconds
        self.world(self._now_at)


@dataclass(slots=True)
class Turn:
    """One turn of the poller's loop."""

    began_at: float
    calls: int = 0
    """Until its numbers were published, audits included."""
    background: int = 0
    """After that, for the history."""
    published: bool = False
    strategy: str | None = None
    interval_seconds: float = 0.0


@dataclass(slots=True)
class Followed:
    """One cluster of a simulated cloud and what is needed to follow it.

    Each ``run`` is a life of the process: the next one begins with the ledger that it left.
    """

    jobs: JobList
    ledger_path: Path
    world: World = still
    dialect: Dialect = DOCUMENTED
    settings: SyncSettings = IN_UTC
    now_at: float = START_AT
    allowed: int = ALLOWED_CALLS
    seed: int = 1
    publisher: Publisher = field(default_factory=lambda: Publisher(LabelRules()))
    turns: list[Turn] = field(default_factory=list)
    before_turn: Callable[["Followed"], None] = lambda _: None
    after_turn: Callable[["Followed", Turn], None] = lambda _, __: None
    """Called before a turn, and when it has published; in the poller's thread."""
    on_state: Callable[[ClusterState], None] = lambda _: None
    """Given all that is published."""
    shown: ClusterSnapshot | None = None
    """What was published last."""
    failures: list[str] = field(default_factory=list)
    call_times: list[float] = field(default_factory=list)
    simulating_seconds: float = 0.0
    """CPU time that the simulated cloud needed for its answers."""
    clock: SimulatedTime = field(init=False)
    poller: Poller = field(init=False)
    _cloud: Cloud = field(init=False)
    _budget: AccountBudget = field(init=False)

    def __post_init__(self) -> None:
        self._cloud = Cloud(journal_limit=1)
        self._cloud.add_cluster(CLUSTER_ID, dialect=self.dialect, jobs=self.jobs)
        self.clock = SimulatedTime(self.now_at, self.now_at, self.world)
        self._budget = AccountBudget(
            allowed=self.allowed,
            period_seconds=PERIOD_SECONDS,
            clock=self.clock,
            log=MemorySpendingLog(),
        )

    # -- its life ------------------------------------------------------------------------------

    def run(self, seconds: float) -> list[Turn]:
        """The turns of so much time. Raises RuntimeError if a sync failed but for want of budget."""
        first = len(self.turns)
        self.clock.until_at = self.clock.now_at() + seconds
        telemetry = Telemetry()
        identity = ClusterIdentity("bench", CLUSTER_ID, "jinan1a", "default")
        telemetry.register_cluster(identity.name)
        self.poller = Poller(
            PollerParts(
                identity=identity,
                calls=self,  # type: ignore[arg-type]
                keeper=LedgerKeeper(
                    self.open_ledger,
                    lambda ledger: ledger,
                    self.clock,
                    identity.fields(),
                    keeps_on_disk=True,
                ),
                settings=self.settings,
                publisher=self.publisher,
                budget=self._budget,
                publish=self._publish,
                telemetry=telemetry,
                clock=self.clock,
                rng=Random(self.seed),
            )
        )
        self.poller.start()
        if not self.poller.join(LONGEST_RUN_SECONDS):
            raise RuntimeError("the poller does not come to an end")
        if set(self.failures) - {"budget"}:
            raise RuntimeError(f"syncs failed: {Counter(self.failures)}")
        return self.turns[first:]

    def end(self) -> None:
        """Let this life end with the turn that is under way."""
        self.clock.until_at = self.clock.now_at()

    def open_ledger(self) -> Ledger:
        """The ledger on disk."""
        return open_ledger(self.ledger_path, CLUSTER_ID)

    def wrong(self) -> int:
        """How many jobs the ledger counts, by status, queue and user, other than a plain loop over
        the list does."""
        ledger = self.open_ledger()
        try:
            known = Counter({key: totals.jobs for key, totals in ledger.totals().items()})
        finally:
            ledger.close()
        return _differing(known, self._true_counts())

    def shown_wrong(self, *, but: Container[str] = ()) -> int:
        """The same of what was published last, in all statuses ``but`` these."""
        if self.shown is None:
            raise RuntimeError("nothing was published")
        shown = Counter(
            {(each.status, each.queue, each.user): each.jobs for each in self.shown.counts}
        )
        true = self._true_counts()
        return _differing(shown, Counter({key: true[key] for key in true if key[0] not in but}))

    def _true_counts(self) -> Counter[tuple[str, str, str]]:
        return Counter({(*key,): jobs for key, jobs in self.jobs.counts().items()})

    # -- what a poller asks of the client -------------------------------------------------------

    def begin_sync(self) -> None:
        """See ``ClusterJobs``."""
        self.before_turn(self)
        self.turns.append(Turn(self.clock.now_at()))

    def list_jobs(self, query: JobListQuery) -> Page:
        """See ``ClusterJobs``."""
        self._budget.admit(CLUSTER_ID)
        self.clock.pass_time(LATENCY_SECONDS)
        now_at = self.clock.now_at()
        self.call_times.append(now_at)
        turn = self.turns[-1]
        if not turn.published:
            turn.calls += 1
        else:
            turn.background += 1
        params = job_parameters(CLUSTER_ID, query)
        began = time.thread_time()
        answer = self._cloud.list_jobs(CLUSTER_ID, params, now_at)
        body = json.dumps(answer, ensure_ascii=False).encode()
        del answer  # that is the cloud's, too
        self.simulating_seconds += time.thread_time() - began
        return decode_page(body, timezone=query.zone(UTC), server_time_at=now_at)

    # -- and of those that watch it -------------------------------------------------------------

    def _publish(self, state: ClusterState) -> None:
        self.on_state(state)
        if state.failure is not None:
            self.failures.append(state.failure.reason)
        if not self.turns or self.turns[-1].published or state.snapshot is None:
            return
        if threading.current_thread() is threading.main_thread():
            return
        turn = self.turns[-1]
        turn.published, turn.strategy = True, state.strategy
        turn.interval_seconds = state.effective_interval_seconds
        self.shown = state.snapshot
        self.after_turn(self, turn)


def _differing(some: Counter[tuple[str, str, str]], others: Counter[tuple[str, str, str]]) -> int:
    return ((some - others) + (others - some)).total()
