"""Replicas that know their whole list, ready to be copied: reading a long list takes a while."""

from contextlib import suppress
from copy import deepcopy
from functools import cache
from random import Random

from exporter.errors import SyncError
from exporter.model import Page
from exporter.simulator import (
    DEPLOYMENTS,
    DIALECTS,
    DOCUMENTED,
    Dialect,
    JobList,
    JobRow,
    Order,
    fill,
)
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Replica
from tests.unit.sync.simulated import START_AT, SimulatedCluster

SETTINGS = SyncSettings(interval_seconds=60, audit_interval_seconds=600)
TURNS_OF_AN_AUDIT_INTERVAL = 10
DAY = 86400.0
SERVERS = {**DIALECTS, **DEPLOYMENTS}


@cache
def _read_once(dialect: str, count: int, settings: SyncSettings) -> SimulatedCluster:
    listed = JobList()
    fill(listed, count, active=min(150, count // 10), now_at=START_AT - 5)
    cluster = SimulatedCluster(SERVERS[dialect], settings, jobs=listed)
    for _ in range(14):
        cluster.turn()
        if cluster.ledger.progress.complete:
            break
    for _ in range(12):
        cluster.turn()
    return cluster


def settled(
    count: int, dialect: str = "documented", settings: SyncSettings = SETTINGS, *, seed: int = 0
) -> SimulatedCluster:
    """A cluster whose ledger equals its list of ``count`` jobs; nobody else has it."""
    original = _read_once(dialect, count, settings)
    copy = SimulatedCluster(
        SERVERS[dialect],
        settings,
        jobs=deepcopy(original.jobs),
        seed=seed,
        ledger=original.ledger.copied_to(None),
    )
    copy.replica = Replica(copy.ledger, settings, Random(seed))
    copy.now_at = original.now_at
    assert copy.counted() == copy.true_counts()
    assert copy.ledger.progress.complete
    return copy


def fresh(count: int, dialect: Dialect = DOCUMENTED, *, seed: int = 0) -> SimulatedCluster:
    """A cluster of which nothing is known yet."""
    listed = JobList()
    fill(listed, count, active=count // 20, now_at=START_AT - 5, seed=seed)
    return SimulatedCluster(dialect, SETTINGS, jobs=listed, seed=seed)


def counting_something_else(dialect: str, beyond: int, count: int) -> SimulatedCluster:
    """An unread cluster whose total is that of a list with more jobs."""
    listed = JobList()
    fill(listed, count, active=count // 10, now_at=START_AT - 5)
    cluster = SimulatedCluster(DIALECTS[dialect], SETTINGS, jobs=listed)

    def distorted(page: Page) -> Page:
        total = page.total_count
        if total is not None and total >= len(cluster.jobs):
            total += beyond
        return Page(page.jobs, total, page.server_time_at)

    cluster.distort = distorted
    return cluster


def rest_for_one_audit_interval(cluster: SimulatedCluster, *, doubts: int = 0) -> None:
    """``doubts``: so many syncs may fail before what the server says is believed."""
    failed = 0
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        try:
            cluster.turn()
        except SyncError:
            failed += 1
    assert failed <= doubts


class Traffic:
    """Changes of a list as they come all day; by its own dice, quicker than asking the list."""

    def __init__(self, cluster: SimulatedCluster, seed: int = 0) -> None:
        self.cluster = cluster
        self.dice = Random(seed)
        self.by_status: dict[str, list[str]] = {"pending": [], "running": []}
        for job in cluster.jobs.jobs():
            self.by_status.get(job.status, []).append(job.uuid)

    def pass_by(self, times: int, seconds: float = 1) -> None:
        """So many times: one job is submitted, one starts, one ends."""
        pending, running = self.by_status["pending"], self.by_status["running"]
        jobs = self.cluster.jobs
        for _ in range(times):
            self.cluster.now_at += seconds
            at = self.cluster.now_at
            pending.append(jobs.submit(at, queue="q", user="u"))
            started = pending.pop(self.dice.randrange(len(pending)))
            jobs.start(started, at)
            running.append(started)
            jobs.end(running.pop(self.dice.randrange(len(running))), at)

    def turns(self, turns: int, times: int) -> None:
        """So many syncs, with so many changes of each kind before each; one that fails is passed
        over."""
        for _ in range(turns):
            self.pass_by(times)
            with suppress(SyncError):
                self.cluster.turn()


def calls_of_a_turn(cluster: SimulatedCluster, seconds: float | None = None) -> int:
    """The calls of one sync with its background."""
    before = cluster.calls
    cluster.turn(seconds)
    return cluster.calls - before


def newest_change_first(jobs: JobList) -> list[str]:
    """The identities by rank."""
    return [job.uuid for job in jobs.page(order=Order.MODIFIED, limit=len(jobs)).jobs]


def wait_for(days: float, cluster: SimulatedCluster) -> str:
    """A job that has waited, and stood where it stands, for so long already."""
    at = int(START_AT - days * DAY)
    return cluster.jobs.load_one(JobRow("pending", "q", "u", 1, at, None, at))
