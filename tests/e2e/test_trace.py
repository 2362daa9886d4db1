"""Real input: a replayed trace, stopped at three moments, counted by a plain count and by us.

The trace is no part of the project: its place is told by EHPC_TRACE, or it lies beside the checkout.
"""

import csv
import gzip
import heapq
import json
import os
import urllib.request
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from exporter.ledger.store import open_ledger
from exporter.model import JobListQuery
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.simulator import JobList
from exporter.simulator.command import TRACE_CLUSTER_ID, read_trace
from exporter.simulator.trace import outcome, queue_capacities, replay
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Replica
from tests.e2e.running import (
    KEY_ID,
    ROOT,
    SECRET,
    Metrics,
    config_of,
    run_command,
    simulating,
    write_config,
)
from tests.unit.sync.simulated import CLUSTER_ID, START_AT, SimulatedCluster

CORES = 24
"""Of every queue; so few that at busy sites jobs wait."""
MOMENTS = (300_000, 700_000, 1_200_000)
QUEUES, USERS, JOBS = 170, 216, 188_041


class Line(NamedTuple):
    submit_s: int
    run_s: int
    cores: int
    user: str
    queue: str


@lru_cache(maxsize=1)
def trace_path() -> Path:
    """The trace; skips the test if there is none."""
    told = os.environ.get("EHPC_TRACE")
    path = Path(told) if told else ROOT.parent / "shared" / "workload" / "lcg-2005.csv.gz"
    if not path.is_file():
        pytest.skip(f"no trace at {path}; EHPC_TRACE can name one")
    return path


@lru_cache(maxsize=1)
def lines() -> list[Line]:
    with gzip.open(trace_path(), "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        assert next(rows) == list(Line._fields)
        return [Line(int(a), int(b), int(c), user, queue) for a, b, c, user, queue in rows]


def by_queue() -> dict[str, list[tuple[int, Line]]]:
    """Each queue's jobs and their numbers, in the order of the trace."""
    found: dict[str, list[tuple[int, Line]]] = {}
    for number, line in enumerate(lines()):
        found.setdefault(line.queue, []).append((number, line))
    return found


def capacity_for(jobs: list[tuple[int, Line]]) -> int:
    """The cores of a queue: as many as its widest job has, at least."""
    return max(CORES, *(line.cores for _, line in jobs))


def plain_count(at: int) -> Counter[tuple[str, str, str]]:
    """The jobs by status, queue and user at a second of the trace: each queue on its own, first
    come first served on its cores. Shares nothing with the simulator but how jobs end."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for queue, jobs in by_queue().items():
        for (number, line), (started_at, ended_at) in started(jobs, capacity_for(jobs)):
            if line.submit_s > at:
                continue
            if started_at > at:
                status = "pending"
            elif ended_at > at:
                status = "running"
            else:
                status = outcome(1, number)
            counts[status, queue, line.user] += 1
    return counts


def started(
    jobs: Iterable[tuple[int, Line]], capacity: int
) -> Iterable[tuple[tuple[int, Line], tuple[int, int]]]:
    """When each job of a queue starts and ends."""
    free, now = capacity, 0
    running: list[tuple[int, int]] = []
    for number, line in jobs:
        now = max(now, line.submit_s)
        while running and (running[0][0] <= now or free < line.cores):
            ended_at, cores = heapq.heappop(running)
            now = max(now, ended_at)
            free += cores
        free -= line.cores
        heapq.heappush(running, (now + line.run_s, line.cores))
        yield (number, line), (now, now + line.run_s)


@pytest.fixture
def not_too_long(at: int) -> None:
    """A person who runs the tests waits for the largest moment only; CI takes all."""
    if at != max(MOMENTS) and not os.environ.get("CI") and not os.environ.get("EHPC_TRACE"):
        pytest.skip("only in CI, or with EHPC_TRACE set")


def sums(counts: Counter[tuple[str, str, str]], place: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, count in counts.items():
        found[key[place]] += count
    return found


@pytest.mark.parametrize("at", MOMENTS)
@pytest.mark.usefixtures("not_too_long")
def test_collect_counts_a_replayed_trace(tmp_path: Path, at: int) -> None:
    flags = (
        f"--trace={trace_path()}", f"--at={at}", "--speed=0", f"--queue-cores={CORES}",
        "--quota-requests=0", f"--access-key-id={KEY_ID}", f"--secret-access-key={SECRET}",
    )  # fmt: skip
    with simulating(*flags) as endpoint:
        config = config_of(endpoint, {"grid": TRACE_CLUSTER_ID}, labels={"user": {"limit": 500}})
        path = write_config(tmp_path, config)
        ended = run_command("collect", f"--config.file={path}", "--full", "--format=prometheus")
        assert (ended.returncode, ended.stderr) == (0, "")
        with urllib.request.urlopen(f"{endpoint}/-/truth?cluster_id={TRACE_CLUSTER_ID}") as answer:
            truth = json.load(answer)
    shown = Metrics(ended.stdout).jobs()["grid"]
    simulated = Counter(
        {(row["status"], row["queue"], row["user"]): row["jobs"] for row in truth["counts"]}
    )
    counted = plain_count(at)
    assert simulated == counted
    assert shown == counted
    submitted = [line for line in lines() if line.submit_s <= at]
    assert shown.total() == len(submitted)
    assert sums(shown, 1) == Counter(line.queue for line in submitted)
    assert sums(shown, 2) == Counter(line.user for line in submitted)
    assert set(sums(shown, 0)) == {"pending", "running", "finished", "exited", "cancelled"}


def test_the_trace_is_the_one_that_is_meant() -> None:
    assert len(lines()) == JOBS
    assert len({line.queue for line in lines()}) == QUEUES
    assert len({line.user for line in lines()}) == USERS


FOLLOWED_SECONDS = 60_000
"""Of two weeks. All of them have been followed once, and take some minutes."""
EVERY_SECONDS = 7200
"""From one sync to the next: so rarely that most jobs start and end between two."""


def plain_usage(at: int) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """The core seconds of the runs that have ended by a second of the trace, and the seconds that
    jobs have waited, by queue and user."""
    core_seconds, waited = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for queue, jobs in by_queue().items():
        for (_, line), (started_at, ended_at) in started(jobs, capacity_for(jobs)):
            if ended_at <= at:
                core_seconds[queue, line.user] += line.cores * line.run_s
            if started_at <= at:
                waited[queue, line.user] += started_at - line.submit_s
    return core_seconds, waited


def test_usage_is_the_trace_s_own_sum_to_the_second(tmp_path: Path) -> None:
    """From its first second, with kills in the middle of a sync, and restarts."""
    trace, jobs, dice = read_trace(trace_path()), JobList(), Random(1)
    capacities = queue_capacities(trace, CORES)
    world = replay(trace, jobs, start_at=int(START_AT) + 5, capacities=capacities, seed=1)
    path = tmp_path / "one.ledger"
    cluster = SimulatedCluster(
        settings=SyncSettings(zone_configured=True), jobs=jobs, ledger=open_ledger(path, CLUSTER_ID)
    )
    publisher, snapshot = Publisher(LabelRules()), None
    for at in range(0, FOLLOWED_SECONDS + 2 * EVERY_SECONDS, EVERY_SECONDS):
        cluster.now_at = START_AT + 5 + min(at, FOLLOWED_SECONDS)
        world.advance_to(cluster.now_at)
        if dice.random() < 0.1:
            kill_in_a_sync(cluster, path, dice.randrange(1, 4))
            publisher = Publisher(LabelRules())
        cluster.refresh()
        cluster.background()
        with cluster.ledger.transaction():
            snapshot = publisher.snapshot(cluster.ledger, cluster.now_at)
    assert snapshot is not None
    core_seconds, waited = plain_usage(FOLLOWED_SECONDS)
    assert {row[:2]: row.seconds for row in snapshot.core_seconds if row.seconds} == +core_seconds
    assert {row[:2]: row.seconds for row in snapshot.user_waits if row.seconds} == +waited
    assert core_seconds.total() > 10**6
    cluster.ledger.close()


def kill_in_a_sync(cluster: SimulatedCluster, path: Path, calls: int) -> None:
    """The process ends at a call, with nothing written since the last sync, and begins again."""

    def fail(_: JobListQuery) -> None:
        nonlocal calls
        calls -= 1
        if calls == 0:
            raise KeyboardInterrupt

    cluster.before_call = fail
    with suppress(KeyboardInterrupt):
        cluster.refresh()
    cluster.before_call = lambda query: None
    cluster.ledger.close()
    cluster.ledger = open_ledger(path, CLUSTER_ID)
    cluster.replica = Replica(cluster.ledger, cluster.settings, Random(1))
