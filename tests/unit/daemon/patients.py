"""Clusters of the pretend cloud, behind a wire that is none, and a doctor for them."""

import json
import random
from collections.abc import Sequence
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
from exporter.simulator import Account, Cloud, Dialect, fill
from tests.unit.manual_clock import ManualClock

ACCOUNT = Account()
NOW_AT = 1_700_000_000.0
ZONE = "jinan1a"


def config_of(cluster_ids: Sequence[str], **account: Any) -> Config:
    """As a configuration file would say it, of an account and these clusters."""
    keys = {
        "endpoint": "https://hpc.api.example.com",
        "access_key_id": ACCOUNT.access_key_id,
        "secret_access_key": ACCOUNT.secret_access_key,
    }
    clusters = [{"name": each, "cluster_id": each, "zone": ZONE} for each in cluster_ids]
    text = json.dumps({"accounts": [keys | account], "clusters": clusters})
    return parse_config(text, {}, Path())


class Wire:
    """A ``Transport`` to a cloud in this process; answers take a tenth of a second."""

    def __init__(self, cloud: Cloud, clock: ManualClock) -> None:
        self.cloud = cloud
        self.clock = clock
        self.server_ahead_seconds = 0.0
        self.headers: tuple[tuple[str, str], ...] = ()

    def exchange(self, url: str) -> RawAnswer:
        """See ``Transport``."""
        parts = urlsplit(url)
        server_at = self.clock.now + self.server_ahead_seconds
        answer = self.cloud.handle("GET", parts.path, parts.query, server_at)
        self.clock.advance(0.1)
        return RawAnswer(answer.status, answer.body, float(int(server_at)), 0.1, self.headers)


class Surgery:
    """A cloud, a clock, and as many doctors as one likes."""

    def __init__(self, *dialects: Dialect, jobs: int = 3000, active: int = 300) -> None:
        self.clock = ManualClock(NOW_AT)
        self.cloud = Cloud([ACCOUNT])
        self.wire = Wire(self.cloud, self.clock)
        self.told: list[tuple[str, int, int]] = []
        for number, dialect in enumerate(dialects):
            hosted = self.cloud.add_cluster(f"ehpc-{number}", zone=ZONE, dialect=dialect)
            fill(hosted.jobs, jobs, active=min(jobs, active), now_at=NOW_AT, seed=number)

    def diagnose(
        self, *cluster_ids: str, allowed: int = 1000, secret: str | None = None, seed: int = 0
    ) -> Findings:
        """By configuration, or, without any id, by cluster/list."""
        config = config_of(cluster_ids or ("ehpc-unnamed",))
        (account,) = config.accounts
        budget = AccountBudget(
            allowed=allowed, period_seconds=3600.0, clock=self.clock, log=MemorySpendingLog()
        )
        keys = Credentials(account.access_key_id, secret or account.secret_access_key.reveal())
        doctor = Doctor(
            config=config,
            account=account,
            credentials=lambda: keys,
            transport=self.wire,
            budget=budget,
            clock=self.clock,
            rng=random.Random(seed),
            progressing=lambda *told: self.told.append(told),
        )
        return doctor.diagnose(config.clusters if cluster_ids else (), config.clusters[0])
