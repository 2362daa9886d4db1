"""The real client before the real simulated cloud."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, timedelta, timezone

import pytest

from exporter.api.client import AccountClient, ClusterJobs, Credentials
from exporter.api.retry import RetryPolicy
from exporter.api.transport import RequestsTransport
from exporter.clock import SystemClock
from exporter.model import Job, JobListQuery
from exporter.simulator import Cloud
from exporter.simulator.dialect import DIALECTS, Dialect
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from tests.waiting import PATIENCE_SECONDS

CLUSTER = "ehpc-1"
KEY_ID, SECRET = "QYACCESSKEYIDEXAMPLE", "SECRETACCESSKEY"
JOBS = 230
MOST_PAGES = 50


class Ledger:
    """A gate and telemetry that keep what they are told."""

    def __init__(self) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self.locked_out = 0

    def admit(self, cluster_name: str) -> None:
        del cluster_name

    def over_quota(self) -> None:
        self.locked_out += 1

    def passed(self) -> None:
        pass

    def api_call_sent(self, account: str) -> None:
        del account
        self.sent += 1

    def api_call_failed(self, account: str, reason: str) -> None:
        del account
        self.failures.append(reason)

    def api_call_took(self, account: str, seconds: float) -> None:
        del account
        assert seconds >= 0

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        raise NotImplementedError


class Meeting:
    """A cloud with one cluster, and a client of it."""

    def __init__(
        self,
        stack: ExitStack,
        *,
        dialect: Dialect = DIALECTS["documented"],
        skew_seconds: float = 0.0,
        secret: str = SECRET,
        policy: RetryPolicy | None = None,
        timeout_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.cloud = Cloud()
        self.hosted = self.cloud.add_cluster(CLUSTER, dialect=dialect)
        fill(self.hosted)
        self.server = stack.enter_context(
            SimulatorServer(Simulation(self.cloud), clock_skew_seconds=skew_seconds)
        )
        clock = SystemClock()
        transport = stack.enter_context(
            closing(RequestsTransport(timeout_seconds=timeout_seconds, clock=clock))
        )
        self.told = Ledger()
        self.client = AccountClient(
            account="default",
            endpoint=self.server.address,
            credentials=lambda: Credentials(KEY_ID, secret),
            transport=transport,
            gate=self.told,
            telemetry=self.told,
            clock=clock,
            random=random.Random(1),
            policy=policy or RetryPolicy(first_wait_seconds=0.001),
        )
        self.jobs = self.cluster(CLUSTER)

    def cluster(self, cluster_id: str, zone: str = "jinan1a") -> ClusterJobs:
        zone_of_times = timezone(timedelta(seconds=self.hosted.dialect.zone_offset_seconds))
        return self.client.cluster(
            "cfd",
            cluster_id=cluster_id,
            zone=zone,
            timezone=zone_of_times if self.hosted.dialect.zone_offset_seconds else UTC,
        )

    def walk(self, status: str | None = None, sort_key: str | None = None) -> Iterator[Job]:
        """Page through the list, by what comes and not by what is said of it."""
        offset = 0
        for _ in range(MOST_PAGES):
            query = JobListQuery(offset, status=status, sort_key=sort_key)
            jobs = self.jobs.list_jobs(query).jobs
            if not jobs:
                return
            yield from jobs
            offset += len(jobs)
        pytest.fail("the list does not end")

    def truth(self) -> list[Job]:
        """What the list really holds."""
        return [
            Job(
                job.uuid,
                job.status,
                job.queue,
                job.user,
                job.cores,
                job.submitted_at,
                job.started_at,
                job.modified_at,
            )
            for job in self.hosted.jobs.jobs()
        ]


def fill(hosted: HostedCluster) -> None:
    rng = random.Random(5)
    at = 1_700_000_000
    for number in range(JOBS):
        queue = rng.choice(["默认队列", 'q"1\\', "a b\nc", "vis"])
        user = rng.choice(["usr-1", "李娜", "o'neil"])
        uuid = hosted.jobs.submit(
            at + number * 7, queue=queue, user=user, cores=rng.choice([1, 4, 64])
        )
        if number % 3:
            hosted.jobs.start(uuid, at + number * 7 + 60)
        if number % 3 == 2:
            hosted.jobs.end(uuid, at + number * 7 + 600, "finished")
