"""Where jobs are listed that are not in the ledger: by intent, or because they are yet to be read.

A job's rank in the ledger is not its place in the list then, and no total tells what is missing.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from math import log2
from random import Random
from typing import Literal

import msgspec
import pytest

from exporter.model import OUT_OF_WINDOW, hidden
from exporter.simulator import DIALECTS, DOCUMENTED, Dialect, JobList, Order, fill
from exporter.sync.context import INFINITE, SyncSettings
from exporter.sync.replica import Replica
from tests.unit.ledger.made import tallied
from tests.unit.sync.settled import (
    DAY,
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    rest_for_one_audit_interval,
    wait_for,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


def unread(
    count: int, history_seconds: float, *, dialect: Dialect = DOCUMENTED, seed: int = 0
) -> SimulatedCluster:
    """A cluster of which nothing is known yet; its jobs are of the last ninety days."""
    listed = JobList()
    fill(listed, count, active=6, now_at=START_AT - 5)
    settings = replace(SETTINGS, history_seconds=history_seconds)
    return SimulatedCluster(dialect, settings, jobs=listed, seed=seed)


@pytest.mark.parametrize("dialect", ["documented", "total-whole"])
@pytest.mark.parametrize("history_seconds", [float("inf"), 30 * DAY, 0.0])
def test_a_deleted_active_job_does_not_cost_the_trust_in_the_order(
    dialect: str, history_seconds: float
) -> None:
    """A sweep does not show it, as it would not if it had changed where it stood; but it stands
    nowhere. Without the order, every sync would be a sweep for an hour, and scans between them."""
    cluster = unread(2_000, history_seconds, dialect=DIALECTS[dialect])
    waiting = [wait_for(days, cluster) for days in range(10, 60, 5)]
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    cluster.jobs.delete([waiting[5]])
    corrections: Counter[str] = Counter()
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        corrections.update(cluster.turn().corrections)
    assert not corrections.keys() - {"deleted"}
    assert cluster.profile.order.contradictions == 0
    assert cluster.counted() == cluster.true_counts()


def test_old_jobs_that_are_deleted_leave_the_ledger_once_it_knows_more_than_there_are() -> None:
    """A cloud that keeps jobs for so many days deletes the oldest of them all the time."""
    cluster = unread(2_000, 30 * DAY)
    cluster.turn()
    cluster.turn(40 * DAY)
    page = cluster.jobs.page(order=Order.MODIFIED, limit=len(cluster.jobs))
    oldest_first = [job.uuid for job in reversed(page.jobs)]
    for first in range(0, 1_500, 300):
        cluster.jobs.delete(oldest_first[first : first + 300])
        cluster.turn()
        assert cluster.ledger.size <= len(cluster.jobs)
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()


class TestOneJobFarDown:
    """It has waited since before all others came, at the end of a list that is not known. To look
    there takes a search: some calls for each doubling of the list, not one for each of its pages."""

    def with_it(
        self, history_seconds: float, dialect_name: str = "documented"
    ) -> tuple[SimulatedCluster, str]:
        dialect = replace(DIALECTS[dialect_name], page_cap=20)
        cluster = unread(2_000, history_seconds, dialect=dialect)
        return cluster, wait_for(200, cluster)

    @pytest.mark.parametrize("history_seconds", [DAY, 0.0])
    def test_that_it_was_deleted(self, history_seconds: float) -> None:
        cluster, uuid = self.with_it(history_seconds)
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        cluster.jobs.delete([uuid])
        assert most_calls(cluster, cluster.turn) <= calls_of_a_search(cluster)
        assert counted_active(cluster) == true_active(cluster)

    def test_that_it_was_deleted_before_the_history_has_been_read(self) -> None:
        """The budget leaves calls for audits already, but for the history none."""
        cluster, uuid = self.with_it(float("inf"))

        def turn() -> None:
            cluster.now_at += 60
            cluster.refresh()
            if cluster.profile.order.value == "unknown":
                cluster.background(most_calls=1)  # to prove the order: the next is the history

        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            turn()
        assert not cluster.ledger.progress.complete
        cluster.jobs.delete([uuid])
        assert most_calls(cluster, turn) <= calls_of_a_search(cluster)
        assert not cluster.ledger.progress.complete
        assert counted_active(cluster) == true_active(cluster)

    def test_whether_it_still_waits_where_no_filter_tells(self) -> None:
        cluster, _ = self.with_it(DAY, "filters-ignored")
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        assert most_calls(cluster, cluster.turn) <= calls_of_a_search(cluster)
        assert counted_active(cluster) == true_active(cluster)


def calls_of_a_search(cluster: SimulatedCluster) -> float:
    """By leaps that grow, then by halving; and the few of the other audits of that turn."""
    return 2 * log2(len(cluster.jobs) / cluster.cluster.dialect.page_cap) + 20


def most_calls(cluster: SimulatedCluster, turn: Callable[[], object]) -> int:
    """Of any turn in more than an audit interval."""
    calls = []
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL + 2):
        before = cluster.calls
        turn()
        calls.append(cluster.calls - before)
    return max(calls)


def counted_active(cluster: SimulatedCluster) -> Counter[str]:
    return by_active_status(cluster.counted())


def true_active(cluster: SimulatedCluster) -> Counter[str]:
    return by_active_status(cluster.true_counts())


def by_active_status(counts: Counter[tuple[str, str, str]]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for (status, _, _), jobs in counts.items():
        if status in ("pending", "running"):
            summed[status] += jobs
    return summed


@pytest.mark.parametrize("seed", [1, 3])
def test_deletions_at_the_far_end_of_what_is_kept_are_found_by_the_next_audit(seed: int) -> None:
    """Where no total tells of them: a look at the last rank that is known shows them all, and a
    look at any other rank only those above it."""
    cluster = unread(3_000, 60 * DAY, seed=seed)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    assert cluster.ledger.progress.complete
    ranks = [job.uuid for job in cluster.jobs.page(order=Order.MODIFIED, limit=2_000).jobs]
    deleted = ranks[1_950:1_955]
    assert cluster.ledger.known(deleted).keys() == {*deleted}
    cluster.jobs.delete(deleted)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    assert cluster.ledger.known(ranks).keys() & {*deleted} == set()
    assert cluster.counted() == cluster.true_counts()


class TestAnotherConfiguration:
    """The ledger knows of the jobs that were left out, but not how they ended."""

    def restarted(self, dialect: str, history_seconds: float) -> SimulatedCluster:
        cluster = unread(600, 30 * DAY, dialect=DIALECTS[dialect])
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        cluster.now_at += 5 * DAY
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        assert cluster.ledger.count_status(OUT_OF_WINDOW)
        cluster.settings = replace(cluster.settings, history_seconds=history_seconds)
        cluster.replica = Replica(cluster.ledger, cluster.settings, Random(0))
        return cluster

    @pytest.mark.parametrize("history_seconds", [60 * DAY, INFINITE])
    @pytest.mark.parametrize(
        "dialect", ["documented", "sort-by-submitted-only", "sort-ignored", "filters-ignored"]
    )
    def test_a_longer_history_is_read(self, dialect: str, history_seconds: float) -> None:
        cluster = self.restarted(dialect, history_seconds)
        counted = deepcopy(tallied(cluster.ledger))
        cluster.now_at += 60
        cluster.refresh()
        assert not cluster.ledger.progress.complete
        corrections: Counter[str] = Counter()
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            corrections.update(cluster.turn().corrections)
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()
        assert tallied(cluster.ledger) == counted
        assert not corrections

    @pytest.mark.parametrize("days", [20, 30])
    def test_one_that_is_not_longer_is_known(self, days: float) -> None:
        cluster = self.restarted("documented", days * DAY)
        before = cluster.calls
        cluster.now_at += 60
        cluster.refresh()
        assert cluster.calls - before == 1
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()


def test_what_was_deleted_behind_the_edge_brings_no_audits_after_a_restart() -> None:
    """The head, once more, and the page with the edge: what is left was behind it."""
    cluster = unread(1_000, 10 * DAY)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    listed = [each.uuid for each in cluster.jobs.jobs()]
    unknown = {*listed} - cluster.ledger.known(listed).keys()
    cluster.replica = Replica(cluster.ledger, cluster.settings, Random(0))
    cluster.jobs.delete([max(unknown)])
    cluster.now_at += 3600
    before = cluster.calls
    cluster.refresh()
    assert cluster.calls - before == 3
    assert cluster.ledger.progress.complete


def test_nobody_scans_a_list_for_the_few_jobs_that_are_kept_of_it() -> None:
    """No order can be used, and no total tells how long the list is. What is kept of it is a page;
    but to read the list takes many times the calls of a sweep."""
    dialect = DIALECTS["sort-ignored-total-missing"]
    cluster = unread(2_003, 0.0, dialect=dialect)
    for turn in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.now_at += 60
        before = cluster.calls
        assert cluster.refresh().strategy == "sweep"
        assert cluster.calls - before <= (5 if turn else 8)
        cluster.background()


def test_a_suspended_job_that_is_deleted_behind_the_edge_is_missed() -> None:
    """It is in no status that is counted with a filter, and stands where ranks are not counted."""
    cluster = unread(2_000, 0.0)
    cluster.turn()
    uuid = cluster.jobs.submit(cluster.now_at, queue="held", user="u")
    cluster.jobs.start(uuid, cluster.now_at)
    cluster.jobs.suspend(uuid, cluster.now_at)
    cluster.turn()
    for _ in range(300):
        ended = cluster.jobs.submit(cluster.now_at + 5, queue="q", user="u")
        cluster.jobs.cancel(ended, cluster.now_at + 9)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn(600)
    assert cluster.counted()["suspended", "held", "u"] == 1
    cluster.jobs.delete([uuid])
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    assert cluster.counted()["suspended", "held", "u"] == 0
    assert cluster.profile.order.contradictions == 0


class TestWindow:
    """Only a part of the history is wanted: ``collection.history`` of 30d, or none."""

    @pytest.mark.parametrize(
        "dialect", ["documented", "sort-ignored", "filters-ignored", "total-missing"]
    )
    @pytest.mark.parametrize("history_seconds", [30 * 86400.0, 0.0])
    def test_what_is_wanted_is_shown_and_its_counts_are_right(
        self, dialect: str, history_seconds: float
    ) -> None:
        settings = replace(SETTINGS, history_seconds=history_seconds)
        listed = JobList()
        fill(listed, 1_500, active=60, now_at=START_AT - 5)
        cluster = SimulatedCluster(DIALECTS[dialect], settings, jobs=listed)
        traffic = Traffic(cluster)
        for _ in range(8):
            traffic.pass_by(10)
            cluster.turn()
        rest_for_one_audit_interval(cluster)
        assert cluster.ledger.progress.complete
        wanted = wanted_of(cluster, history_seconds)
        assert shown(cluster) == wanted
        assert cluster.counted() == cluster.true_counts()
        assert len(wanted) < 1_500

    @pytest.mark.parametrize("history_seconds", [30 * 86400.0, 0.0])
    def test_time_alone_makes_jobs_leave(self, history_seconds: float) -> None:
        settings = replace(SETTINGS, history_seconds=history_seconds)
        cluster = settled_in_window(settings)
        before = shown(cluster)
        for _ in range(5):
            cluster.turn(86400.0)
        wanted = wanted_of(cluster, history_seconds)
        assert shown(cluster) == wanted
        assert wanted < before or history_seconds == 0

    def test_a_deletion_within_the_window_is_found(self) -> None:
        cluster = settled_in_window(replace(SETTINGS, history_seconds=30 * 86400.0))
        uuids = [
            job.uuid
            for job in sorted(cluster.jobs.jobs(), key=lambda job: job.modified_at)
            if job.status == "finished"
        ]
        cluster.jobs.delete(uuids[-200:-150])
        for _ in range(200):
            cluster.turn()
            if not cluster.ledger.known(uuids[-200:-150]):
                break
        assert not cluster.ledger.known(uuids[-200:-150])

    def test_also_if_the_total_fits_because_one_is_missing_behind_its_edge(self) -> None:
        """By the next check, wherever the job stood."""
        cluster = settled_in_window(replace(SETTINGS, history_seconds=30 * DAY))
        oldest_at = cluster.now_at - 29 * DAY
        ended = [job for job in cluster.jobs.jobs() if job.status == "finished"]
        _, uuid = min((job.modified_at, job.uuid) for job in ended if job.modified_at > oldest_at)
        cluster.jobs.delete([uuid])
        progress = cluster.ledger.progress
        assert progress.unread
        with cluster.ledger.transaction():
            cluster.ledger.progress = msgspec.structs.replace(progress, unread=progress.unread - 1)
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    def test_a_running_job_is_known_however_long_it_has_run(self) -> None:
        settings = replace(SETTINGS, history_seconds=0.0)
        cluster = settled_in_window(settings)
        uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == "running")
        for _ in range(4):
            cluster.turn(40 * 86400.0)
        assert cluster.ledger.known([uuid])[uuid].status == "running"
        cluster.jobs.end(uuid, cluster.now_at)
        cluster.turn()
        assert cluster.ledger.known([uuid])[uuid].status == "finished"


def shown(cluster: SimulatedCluster) -> set[str]:
    """The identities of the jobs that are counted."""
    known = cluster.ledger.known([job.uuid for job in cluster.jobs.jobs()])
    return {uuid for uuid, job in known.items() if not hidden(job.status)}


def wanted_of(cluster: SimulatedCluster, history_seconds: float) -> set[str]:
    """The identities of the jobs that are to be counted; a change of the last hour always is."""
    oldest_at = cluster.now_at - max(history_seconds, 3600)
    return {
        job.uuid
        for job in cluster.jobs.jobs()
        if job.status in ("pending", "running") or job.modified_at >= oldest_at
    }


def settled_in_window(settings: SyncSettings) -> SimulatedCluster:
    listed = JobList()
    fill(listed, 3_000, active=60, now_at=START_AT - 5)
    cluster = SimulatedCluster(DOCUMENTED, settings, jobs=listed)
    for _ in range(5):
        cluster.turn()
    assert cluster.ledger.progress.complete
    return cluster


class TestOutOfReach:
    """The list is longer than a server shows from both of its ends."""

    @pytest.mark.parametrize("beyond", ["empty", "5000"])
    def test_a_suspended_job_that_can_no_longer_be_looked_at_fails_no_sync(
        self, beyond: Literal["empty", "5000"]
    ) -> None:
        cluster = unread(
            3_000, INFINITE, dialect=replace(DOCUMENTED, depth_limit=1_000, beyond_depth=beyond)
        )
        traffic = Traffic(cluster)
        suspended = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        cluster.jobs.start(suspended, cluster.now_at)
        cluster.jobs.suspend(suspended, cluster.now_at)
        traffic.turns(TURNS_OF_AN_AUDIT_INTERVAL, 3)
        assert cluster.profile.depth.value == "1000"
        for _ in range(1_000):
            cluster.jobs.cancel(cluster.jobs.submit(cluster.now_at, queue="q", user="u"), START_AT)
        for _ in range(2 * TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.now_at += SETTINGS.interval_seconds
            cluster.refresh()
            assert cluster.active_is_right()
