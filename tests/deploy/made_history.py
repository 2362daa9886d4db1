"""A day of metrics in a minute: the exporter's own syncing against the simulated cloud, in made-up time.

    python -m tests.deploy.made_history history.txt --hours 26
    promtool tsdb create-blocks-from openmetrics history.txt data

writes what Prometheus would have stored, up to now, for Grafana to draw. Pollers, ledgers, budget,
client, telemetry and rendering are the real ones. Time and the wire are simulated, and so is what concerns
the process and the scrape (``scrape_lines``), as there is neither.
"""

import argparse
import heapq
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client.core import Metric as Family

from exporter.api.budget import AccountBudget
from exporter.api.client import FAILURE_REASONS, AccountClient, Credentials
from exporter.api.lists import ZoneLists
from exporter.api.transport import RawAnswer
from exporter.capacity import CapacityParts, CapacityPoller, WatchedCluster
from exporter.clock import instant
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus, collect
from exporter.daemon.watch import SYNC_REASONS
from exporter.labels import Groups
from exporter.ledger.keeper import LedgerKeeper
from exporter.ledger.spending import MemorySpendingLog
from exporter.ledger.store import open_ledger
from exporter.model import ClusterIdentity
from exporter.polling.poller import Poller, PollerParts
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.simulator.command import add_arguments, build_simulation
from exporter.simulator.simulation import Simulation
from exporter.snapshot import SnapshotBoard
from exporter.sync.context import SyncSettings
from exporter.telemetry import Telemetry
from exporter.web.negotiation import Format
from exporter.web.rendering import OPENMETRICS_END, render_header, render_samples
from tests.unit.manual_clock import ManualClock

ACCOUNTS = ("institute", "teaching")
"""The clusters are divided among them."""
CAPACITY_SECONDS = 600
GROUPS = Groups(
    {"liuyang": "materials", "huang_lei": "materials", "zhangwei": "climate", "wu-tong": "climate"},
    ((re.compile("usr-.*"), "guests"), (re.compile("LAB.*"), "biology")),
)
CALLS_A_CLUSTER = 250
"""Allowed in an hour, on average."""
SCRAPE_SECONDS = 60
TARGET = 'instance="exporter:10046",job="ehpc"'
NAMES = ("materials", "genomics", "cfd", "teaching")
"""Of the first clusters; the others are numbered."""


class Wire:
    """Carries calls to the simulated cloud in no time, but says that they took some."""

    def __init__(self, simulation: Simulation, clock: ManualClock, rng: random.Random) -> None:
        self._simulation = simulation
        self._clock = clock
        self._rng = rng

    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        """See ``exporter.api.transport.Transport``."""
        parts = urlsplit(url)
        now_at = self._clock.now_at()
        self._simulation.advance(now_at)
        answer = self._simulation.handle(method, parts.path, parts.query, now_at)
        seconds = 0.04 + self._rng.lognormvariate(-3, 0.9)
        self._clock.advance(seconds)
        return RawAnswer(answer.status, answer.body, now_at, seconds)


class Past:
    """Clusters, their pollers, and a clock that is turned from one event to the next."""

    def __init__(self, clusters: int, start_at: float, seed: int, state: Path) -> None:
        self.state = state
        self.clock = ManualClock(start_at)
        self.board = SnapshotBoard()
        self.telemetry = Telemetry()
        self.rng = random.Random(seed)
        flags = argparse.ArgumentParser()
        add_arguments(flags)
        quota = 2 * CALLS_A_CLUSTER * clusters * len(ACCOUNTS)
        options = flags.parse_args(
            [f"--clusters={clusters}", f"--seed={seed}", f"--quota-requests={quota}"]
        )
        self.simulation = build_simulation(options, start_at)
        self.budgets = {
            account: self._budget(CALLS_A_CLUSTER * -(-clusters // len(ACCOUNTS)))
            for account in ACCOUNTS
        }
        self._credentials = Credentials(options.access_key_id, options.secret_access_key)
        self.clients = {
            account: self._client(account, budget) for account, budget in self.budgets.items()
        }
        for account in ACCOUNTS:
            self.telemetry.register_account(account, FAILURE_REASONS)
        self._identities = [self._identity(number) for number in range(clusters)]
        self.pollers = [self._poller(identity) for identity in self._identities]
        self._reload = ReloadStatus(successful=True, success_at=start_at)

    def _budget(self, allowed: int) -> AccountBudget:
        return AccountBudget(
            allowed=allowed, period_seconds=3600, clock=self.clock, log=MemorySpendingLog()
        )

    def _client(self, account: str, budget: AccountBudget) -> AccountClient:
        return AccountClient(
            account=account,
            endpoint="https://hpc.example.com",
            credentials=lambda: self._credentials,
            transport=Wire(self.simulation, self.clock, self.rng),
            gate=budget,
            telemetry=self.telemetry,
            clock=self.clock,
            random=self.rng,
        )

    def _identity(self, number: int) -> ClusterIdentity:
        cluster = list(self.simulation.cloud.clusters.values())[number]
        name = NAMES[number] if number < len(NAMES) else f"cluster-{number + 1:02}"
        account = ACCOUNTS[number // 3 % len(ACCOUNTS)]
        return ClusterIdentity(name, cluster.cluster_id, cluster.zone, account)

    def _capacity(self, account: str) -> CapacityPoller:
        budget = self._budget(allowed=1_000_000)  # or it would wait, and time with it
        client = self._client(account, budget)
        parts = CapacityParts(
            account=account,
            client=client,
            lists=ZoneLists(client.list_clusters, self.clock),
            budget=budget,
            interval_seconds=CAPACITY_SECONDS,
            tried=lambda _: True,
            publish=self.board.publish_capacity,
            clock=self.clock,  # type: ignore[arg-type]  # stops nobody
        )
        clusters = [WatchedCluster(each) for each in self._identities if each.account == account]
        return CapacityPoller(parts, clusters)

    def _poller(self, identity: ClusterIdentity) -> Poller:
        name = identity.name
        self.telemetry.register_cluster(name, SYNC_REASONS)
        return Poller(
            PollerParts(
                identity=identity,
                calls=self.clients[identity.account].cluster(
                    name, cluster_id=identity.cluster_id, zone=identity.zone, timezone=UTC
                ),
                keeper=LedgerKeeper(
                    lambda: open_ledger(self.state / name, name),
                    lambda ledger: ledger,
                    self.clock,
                    identity.fields(),
                    keeps_on_disk=True,
                ),
                settings=SyncSettings(),
                publisher=Publisher(LabelRules(groups=lambda: GROUPS)),
                budget=self.budgets[identity.account],
                publish=self.board.publish,
                telemetry=self.telemetry,
                clock=self.clock,  # type: ignore[arg-type]  # stops nobody
                rng=self.rng,
            )
        )

    def run(
        self, until_at: float, happenings: list[tuple[float, Callable[[], None]]]
    ) -> Iterator[float]:
        """Let everything happen in order; gives each moment of a scrape, for the caller to scrape."""
        start_at = self.clock.now_at()
        events: list[tuple[float, int, Callable[[], float | None]]] = []
        for poller in self.pollers:
            turn: Callable[[], float | None] = partial(self._turn, poller)
            heapq.heappush(events, (start_at + 1 + len(events), len(events), turn))
        for account in ACCOUNTS:
            ask: Callable[[], float | None] = partial(self._ask_capacity, self._capacity(account))
            heapq.heappush(events, (start_at + 90 + len(events), len(events), ask))
        for at, happen in happenings:
            if at > start_at:
                heapq.heappush(events, (at, len(events), happen))
        scrape_at = start_at + SCRAPE_SECONDS
        while scrape_at <= until_at:
            at, place, act = events[0]
            if at > scrape_at:
                self._turn_clock(scrape_at)
                yield scrape_at
                scrape_at += SCRAPE_SECONDS
                continue
            heapq.heappop(events)
            self._turn_clock(at)
            next_at = act()
            if next_at is not None:
                heapq.heappush(events, (next_at, place, act))

    def _turn(self, poller: Poller) -> float:
        """A poller's turn; gives the moment of its next one."""
        return poller._turn() + self.clock.now_at()

    def _ask_capacity(self, poller: CapacityPoller) -> float:
        return poller.turn() + self.clock.now_at()

    def submit(self, number: int, queue: str, user: str, jobs: int) -> None:
        """Somebody submits jobs of a few cores, each for about half an hour."""
        self.simulation.advance(self.clock.now_at())
        assert self.simulation.world is not None
        self.simulation.world.submit_backlog(
            self._cluster_id(number), queue=queue, user=user, jobs=jobs, cores=4,
            run_seconds=self.rng.randrange(600, 3000),
        )  # fmt: skip

    def refuse_calls(self, number: int, seconds: int) -> None:
        """The cloud answers calls for that cluster with an internal error."""
        spec = f"ret-5000:cluster={self._cluster_id(number)},for={seconds}"
        self.simulation.cloud.faults.add_spec(spec, self.clock.now_at())

    def delete_ended(self, number: int, count: int) -> None:
        """Somebody deletes old jobs from the list."""
        jobs = self.simulation.cloud.clusters[self._cluster_id(number)].jobs
        over = [job.uuid for job in jobs.jobs() if job.status == "finished"]
        jobs.delete(over[:count])

    def _cluster_id(self, number: int) -> str:
        clusters = list(self.simulation.cloud.clusters)
        return clusters[number % len(clusters)]

    def _turn_clock(self, at: float) -> None:
        self.clock.advance(max(0.0, at - self.clock.now_at()))

    def families(self) -> list[Family]:
        """What ``/metrics`` would say."""
        quotas = [
            AccountQuota(account, budget.allowed, budget.used())
            for account, budget in self.budgets.items()
        ]
        build = BuildInfo("0.1.0", "", "3.11")
        known = collect(self.board.current(), quotas, build, self._reload, now=instant(self.clock))
        return known + self.telemetry.families()


def stories(past: Past, until_at: float) -> list[tuple[float, Callable[[], None]]]:
    """What makes the day worth a look: backlogs, a cloud that fails, somebody who tidies up."""
    return [
        *backlog(past, 1, "gpu-a100", "zhangwei", until_at - 7.5 * 3600, per_minute=2, minutes=55),
        *backlog(past, 2, "gpu-a100", "liuyang", until_at - 4.4 * 3600, per_minute=3, minutes=140),
        *backlog(past, 2, "默认队列", "李娜", until_at - 3 * 3600, per_minute=9, minutes=100),
        *backlog(past, 3, "默认队列", "course-hpc101", until_at - 2400, per_minute=3, minutes=30),
        *backlog(past, 0, "大内存", "wu-tong", until_at - 1.7 * 3600, per_minute=1, minutes=40),
        (until_at - 10 * 3600, lambda: past.refuse_calls(2, seconds=900)),
        (until_at - 200, lambda: past.refuse_calls(1, seconds=900)),
        (until_at - 5 * 3600, lambda: past.delete_ended(0, 60)),
    ]


def backlog(
    past: Past,
    cluster: int,
    queue: str,
    user: str,
    start_at: float,
    *,
    per_minute: int,
    minutes: int,
) -> Iterator[tuple[float, Callable[[], None]]]:
    """Somebody submits more than the queue can take, for a while."""
    for minute in range(minutes):
        yield start_at + 60 * minute, lambda: past.submit(cluster, queue, user, per_minute)


def scrape_lines(past: Past, samples: int, uptime_seconds: float) -> str:
    """What Prometheus and the process would add; the figures are made up, but like real ones."""
    noise = past.rng.random()
    values = {
        "up": 1,
        "scrape_duration_seconds": 0.004 + 0.003 * noise,
        "scrape_samples_scraped": samples,
        "process_resident_memory_bytes": (62 + 6 * min(1, uptime_seconds / 40000) + noise) * 1e6,
        "process_cpu_seconds_total": 1.1 + uptime_seconds * 0.012,
    }
    return "".join(f"{name}{{{TARGET}}} {value}\n" for name, value in values.items())


def with_target(line: str, at: float) -> str:
    """The line of a scrape as Prometheus stores it: with the target's labels, at its moment."""
    series, _, value = line.rpartition(" ")
    series = f"{series[:-1]},{TARGET}}}" if series.endswith("}") else f"{series}{{{TARGET}}}"
    return f"{series} {value} {at:.3f}\n"


def _scraped(
    state: Path, clusters: int, hours: float, now_at: float, seed: int
) -> tuple[dict[str, list[str]], int]:
    """The lines of each family, and how many samples they are."""
    start_at = now_at - hours * 3600
    past = Past(clusters, start_at, seed, state)
    parts: dict[str, list[str]] = {}
    written = 0
    for at in past.run(now_at, stories(past, now_at)):
        before = written
        for family in past.families():
            text = render_samples(family.samples)
            lines = parts.setdefault(family.name, [render_header(family, Format.OPENMETRICS)])
            new = [with_target(line, at) for line in text.splitlines()]
            written += len(new)
            lines.append("".join(new))
        for line in scrape_lines(past, written - before, at - start_at).splitlines():
            name = line.partition("{")[0]
            kind = "counter" if name.endswith("_total") else "gauge"
            header = f"# TYPE {name.removesuffix('_total')} {kind}\n"
            series, _, value = line.rpartition(" ")
            parts.setdefault(name, [header]).append(f"{series} {value} {at:.3f}\n")
    return parts, written


def write(path: Path, *, clusters: int, hours: float, now_at: float, seed: int = 1) -> int:
    """Write the history up to ``now_at`` as OpenMetrics; gives the number of samples."""
    with tempfile.TemporaryDirectory() as state:
        parts, written = _scraped(Path(state), clusters, hours, now_at, seed)
    with path.open("w", encoding="utf-8") as file:
        for lines in parts.values():
            file.writelines(lines)
        file.write(OPENMETRICS_END)
    return written


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("path", type=Path)
    flags.add_argument("--hours", type=float, default=26)
    flags.add_argument("--clusters", type=int, default=4)
    flags.add_argument("--seed", type=int, default=1)
    asked = flags.parse_args()
    count = write(
        asked.path, clusters=asked.clusters, hours=asked.hours, now_at=time.time(), seed=asked.seed
    )
    sys.stdout.write(f"{count} samples\n")
