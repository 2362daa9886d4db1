"""What a refresh, a restart and a first start may cost."""

from random import Random

import pytest

from exporter.ledger.records import Progress
from exporter.simulator import JobList, fill
from exporter.sync.replica import Replica
from tests.unit.sync.settled import (
    SERVERS,
    SETTINGS,
    Traffic,
    calls_of_a_turn,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

CALIBRATED = (
    "documented",
    "job-status",
    "job-status-strict",
    "console",
    "console-strict",
    "total-whole",
)
"""Servers with an order and a filter, whatever they are called."""


class TestCost:
    def test_steady_state_with_sixty_changes_a_minute(self) -> None:
        """At most 1.1 calls a refresh on average, audits included."""
        cluster = settled(2_000)
        traffic = Traffic(cluster)
        calls = 0
        turns = 132
        for _ in range(turns):
            traffic.pass_by(20, seconds=3)
            calls += calls_of_a_turn(cluster, 0.0)
        assert cluster.counted() == cluster.true_counts()
        assert calls / turns <= 1.1

    def test_a_list_of_some_pages_without_filters_is_followed_by_its_order(self) -> None:
        cluster = settled(1_500, "filters-ignored")
        traffic = Traffic(cluster)
        calls = 0
        for _ in range(10):
            traffic.pass_by(10)
            calls += calls_of_a_turn(cluster)
        assert calls <= 30

    def test_at_rest(self) -> None:
        cluster = settled(2_000)
        calls = sum(calls_of_a_turn(cluster) for _ in range(50))
        assert calls <= 50 * 1.5

    @pytest.mark.parametrize("changes", [0, 50, 98, 500, 2_000])
    def test_after_a_restart(self, changes: int) -> None:
        """At most 2 + changes / 99 calls until current."""
        cluster = settled(5_000)
        for _ in range(changes):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        before = cluster.calls
        cluster.now_at += 100
        cluster.ledger.progress = cluster.ledger.progress  # as it was read from the disk
        cluster.refresh()
        assert cluster.calls - before <= 2 + -(-changes // 99)
        assert cluster.counted() == cluster.true_counts()

    def test_after_a_restart_long_after(self) -> None:
        """The same, with half of the calls of a common account."""
        cluster = settled(2_000)
        cluster.allowance = lambda _: 1_000
        changes = 27_000
        for _ in range(changes):
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        before = cluster.calls
        cluster.now_at += 100
        cluster.replica = Replica(cluster.ledger, SETTINGS, Random(0))
        assert cluster.refresh().strategy == "delta"
        assert cluster.calls - before <= 2 + -(-changes // 99)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("server", CALIBRATED)
    @pytest.mark.parametrize("active", [0, 40, 300, 1_000])
    def test_until_the_active_counts_are_published(self, active: int, server: str) -> None:
        """At most 8 + A / 99 calls, and 3 + A / 99 where the server's profile is known; another for
        each status where no total tells how many are in it."""
        proofs = 2 if server == "total-whole" else 0
        cluster, known = first_start(active, server), first_start(active, server)
        cluster.refresh()
        assert cluster.ledger.progress.active_known
        assert cluster.active_is_right()
        assert cluster.calls <= 8 + -(-active // 99) + proofs
        cluster.background()
        with known.ledger.transaction():
            known.ledger.progress = Progress(profile=cluster.ledger.progress.profile)
        known.replica = Replica(known.ledger, SETTINGS, Random(0))
        known.refresh()
        assert known.ledger.progress.active_known
        assert known.active_is_right()
        assert known.calls <= 3 + -(-active // 99) + proofs


def first_start(active: int, server: str) -> SimulatedCluster:
    """Nothing is known of it."""
    listed = JobList()
    fill(listed, max(1_500, 4 * active), active=active, now_at=START_AT - 5)
    return SimulatedCluster(SERVERS[server], SETTINGS, jobs=listed)
