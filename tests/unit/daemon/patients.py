"""Clusters of the simulated cloud, behind a wire that is none, and a doctor for them."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporter.api.budget import AccountBudget
from exporter.api.client import Credentials
from exporter.api.transport import RawAnswer
from exporter.config import Config, parse_config
from exporter.daemon.doctor import Doctor
from exporter.daemon.findings import Findings
from exporter.ledger.spending import MemorySpendingLog
from exporter.simulator import Account, Cloud, Dialect, JobRow, fill
from tests.unit.manual_clock import ManualClock

ACCOUNT = Account()
NOW_AT = 1_700_000_000.0
ZONE = "jinan1a"


def config_of(cluster_ids: Sequence[str], capacity_interval: str = "off", **account: Any) -> Config:
    """As a configuration file would say it, of an account and these clusters."""
    keys = {
        "endpoint": "https://hpc.api.example.com",
        "access_key_id": ACCOUNT.access_key_id,
        "secret_access_key": ACCOUNT.secret_access_key,
    }
    clusters = [{"name": each, "cluster_id": each, "zone": ZONE} for each in cluster_ids]
    collection = {"capacity_interval": capacity_interval}
    text = json.dumps(
        {"accounts": [keys | account], "clusters": clusters, "collection": collection}
    )
    return parse_config(text, {}, Path())


class Wire:
    """A ``Transport`` to a cloud in this process."""

    def __init__(self, cloud: Cloud, clock: ManualClock) -> None:
        self.cloud = cloud
        self.clock = clock
        self.server_ahead_seconds = 0.0
        self.seconds = 0.1
        """That each answer takes."""
        self.dated = True
        self.headers: tuple[tuple[str, str], ...] = ()
        self.between: Callable[[], None] = lambda: None
        self.clusters: Callable[[], RawAnswer] | None = None
        """What answers in place of the cloud's cluster/list."""

    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        """See ``Transport``."""
        parts = urlsplit(url)
        if self.clusters is not None and parts.path == "/api/cluster/list":
            return self.clusters()
        self.between()
        server_at = self.clock.now + self.server_ahead_seconds
        answer = self.cloud.handle(method, parts.path, parts.query, server_at)
        self.clock.advance(self.seconds)
        date_at = float(int(server_at)) if self.dated else None
        return RawAnswer(answer.status, answer.body, date_at, self.seconds, self.headers)


class Surgery:
    """A cloud, a clock, and as many doctors as one likes."""

    def __init__(self, *dialects: Dialect, jobs: int = 3000, active: int = 300) -> None:
        self.clock = ManualClock(NOW_AT)
        self.use(Cloud([ACCOUNT]))
        self.told: list[tuple[str, int, int]] = []
        for number, dialect in enumerate(dialects):
            hosted = self.cloud.add_cluster(f"ehpc-{number}", zone=ZONE, dialect=dialect)
            fill(hosted.jobs, jobs, active=min(jobs, active), now_at=NOW_AT, seed=number)

    def use(self, cloud: Cloud) -> None:
        """Look at another cloud."""
        self.cloud = cloud
        self.wire = Wire(cloud, self.clock)

    def budget(self, allowed: int) -> AccountBudget:
        """So many calls in an hour."""
        return AccountBudget(
            allowed=allowed, period_seconds=3600.0, clock=self.clock, log=MemorySpendingLog()
        )

    def diagnose(
        self,
        *cluster_ids: str,
        budget: AccountBudget | None = None,
        secret: str | None = None,
        seed: int = 0,
        capacity_interval: str = "off",
        discovery: dict[str, Any] | None = None,
    ) -> Findings:
        """Those of the configuration, and, without any, or with a ``discovery``, those that cluster/list
        shows."""
        discovery = discovery if cluster_ids else {"zones": [ZONE]}
        config = config_of(
            cluster_ids, capacity_interval, **{"discovery": discovery} if discovery else {}
        )
        (account,) = config.accounts
        keys = Credentials(account.access_key_id, secret or account.secret_access_key.reveal())
        doctor = Doctor(
            config=config,
            account=account,
            credentials=lambda: keys,
            transport=self.wire,
            budget=budget or self.budget(1000),
            clock=self.clock,
            rng=random.Random(seed),
            progressing=lambda *told: self.told.append(told),
        )
        return doctor.diagnose()


class SecretWords(Surgery):
    """One cluster whose queues, users and messages nobody else shall see."""

    words = ("secret-queue", "secret-user")

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect, jobs=0)
        jobs = self.cloud.clusters["ehpc-0"].jobs
        queue, user = self.words
        rows = [
            JobRow("finished", queue, user, 4, int(NOW_AT) - 9000 + n, None, int(NOW_AT) - 9000 + n)
            for n in range(600)
        ]
        jobs.load(rows)
        for number in range(30):
            jobs.submit(NOW_AT - 300 + number, queue=queue, user=user)
