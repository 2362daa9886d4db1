"""Rare things that meet: each cost a wrong number, or hours of calls, before it was thought of."""

from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import RefusedError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, JobList, fill
from exporter.sync.asking import CollapseUnconfirmed, Contradiction
from exporter.sync.replica import Replica
from tests.unit.sync.settled import (
    SETTINGS,
    Traffic,
    calls_of_a_turn,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


class TestAGapWithoutAFilter:
    """After a long absence, where no filter can tell what is active."""

    def test_active_counts_are_withheld_until_it_is_closed(self) -> None:
        cluster = settled(3_000, "filters-ignored")
        cluster.allowance = lambda _: 10
        assert cluster.ledger.progress.active_known
        Traffic(cluster).pass_by(1_500)
        cluster.now_at += 60
        cluster.refresh()
        assert cluster.counted() != cluster.true_counts()
        assert not cluster.ledger.progress.active_known
        for _ in range(3):
            cluster.turn()
        assert cluster.ledger.progress.active_known
        assert cluster.counted() == cluster.true_counts()

    def test_also_if_the_filter_has_just_been_lost(self) -> None:
        cluster = settled(3_000)
        cluster.allowance = lambda _: 10
        Traffic(cluster).pass_by(1_500)
        cluster.before_call = refuse_filters
        with pytest.raises(Contradiction):
            cluster.turn()
        cluster.now_at += 60
        cluster.refresh()
        assert not cluster.ledger.progress.active_known


class TestAJobFromTheFuture:
    """Its stamp is the newest of all, for weeks."""

    def settled(self) -> SimulatedCluster:
        cluster = settled(3_000)
        cluster.jobs.submit(cluster.now_at + 30 * 86400, queue="q", user="u")
        cluster.turn()
        return cluster

    def test_a_long_gap_is_read_all_the_same(self) -> None:
        cluster = self.settled()
        cluster.allowance = lambda _: 10
        Traffic(cluster).pass_by(2_000)
        with pytest.raises(CollapseUnconfirmed):  # of those that waited, too many do not any more
            cluster.turn()
        cluster.now_at += 60
        cluster.refresh()
        assert not cluster.ledger.progress.complete
        cluster.background()
        for _ in range(2):
            assert cluster.turn().corrections == {}
        assert cluster.counted() == cluster.true_counts()

    def test_an_audit_does_not_take_every_change_for_one_that_was_overlooked(self) -> None:
        cluster = self.settled()
        traffic = Traffic(cluster)
        cluster.between_calls = lambda: traffic.pass_by(1, 0.2)
        for _ in range(60):
            refreshed = cluster.turn()
            assert (refreshed.strategy, refreshed.corrections) == ("delta", {})


def test_one_page_out_of_order_costs_a_few_calls() -> None:
    cluster = settled(10_000)
    messed: list[Page] = []

    def mess_up(page: Page) -> Page:
        if messed or len(page.jobs) < 100:
            return page
        messed.append(page)
        return replace(page, jobs=(*page.jobs[50:], *page.jobs[:50]))

    cluster.distort = mess_up
    before = cluster.calls
    with pytest.raises(Contradiction):
        cluster.turn()
    assert cluster.turn().strategy == "sweep"
    assert cluster.turn().strategy == "delta"
    assert cluster.calls - before <= 20
    assert sum(calls_of_a_turn(cluster) for _ in range(20)) <= 40
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("changed", range(0, 30, 7))
def test_a_list_that_was_sorted_by_chance(changed: int) -> None:
    """All have waited since they were submitted, and that is how the server sorts. Then one changes
    where it stands, and another is deleted: by their number alone they would be right again."""
    listed = JobList()
    uuids = [listed.submit(START_AT - 900 + n, queue="q", user="u") for n in range(34)]
    dialect = replace(DIALECTS["sort-ignored-total-whole"], page_cap=8)
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
    assert [cluster.turn().strategy for _ in range(2)][-1] == "delta"
    listed.submit(cluster.now_at, queue="gpu", user="u")
    listed.delete([uuids[20]])
    listed.edit(uuids[changed], cluster.now_at + 1, cores=7, moves_modified=True)
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.counted() == cluster.true_counts()
    listed_now = {*uuids} - {uuids[20]}
    for _ in range(8):  # which of them is gone no count tells: a probe meets it in time
        if cluster.ledger.known(uuids).keys() != listed_now:
            rest_for_one_audit_interval(cluster, doubts=1)
    assert cluster.ledger.known(uuids).keys() == listed_now


class LooksAtTheHead(Random):
    """Dice by which probation and probes see the head and the end only."""

    def randrange(self, *_: object) -> int:
        return 0


def test_a_scan_that_shows_disorder_is_believed() -> None:
    """Probation looks at three places, and might not see the one job that is out of place."""
    listed = JobList()
    uuids = [listed.submit(START_AT - 900 + n, queue="q", user="u") for n in range(51)]
    listed.edit(uuids[25], START_AT - 100, cores=2, moves_modified=True)
    dialect = replace(DIALECTS["nothing-honoured"], page_cap=8)
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
    cluster.replica = Replica(cluster.ledger, SETTINGS, LooksAtTheHead())
    rest_for_one_audit_interval(cluster, doubts=4)  # all wait, as if a filter had shown only such
    for _ in range(12):
        with suppress(Contradiction):  # the order is tried now and then
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()


def refuse_filters(query: JobListQuery) -> None:
    if query.status is not None:
        raise RefusedError(1101, "request", "refused", retryable=False, advice="")


class TestAFilterThatIsRefused:
    def test_from_the_beginning(self) -> None:
        cluster = SimulatedCluster(settings=SETTINGS, jobs=settled(3_000).jobs)
        cluster.before_call = refuse_filters
        for _ in range(4):
            cluster.turn()
        assert cluster.profile.status_filter.value == "none"
        assert cluster.counted() == cluster.true_counts()

    def test_from_some_day_on(self) -> None:
        cluster = settled(3_000)
        traffic = Traffic(cluster)
        cluster.before_call = refuse_filters
        failed = 0
        for _ in range(30):
            traffic.pass_by(10)
            try:
                cluster.turn()
            except Contradiction:
                failed += 1
        assert failed <= 1
        assert cluster.counted() == cluster.true_counts()

    def test_another_refusal_fails_the_sync(self) -> None:
        cluster = SimulatedCluster(settings=SETTINGS, jobs=settled(3_000).jobs)

        def forbid(query: JobListQuery) -> None:
            if query.status is not None:
                raise RefusedError(1400, "permission", "forbidden", retryable=False, advice="")

        cluster.before_call = forbid
        with pytest.raises(RefusedError):
            cluster.turn()
        assert cluster.profile.status_filter.value == "unknown"


def test_probes_stay_within_the_part_of_the_history_that_is_kept() -> None:
    """Beyond it, jobs that run for long stand among others that are not known."""
    listed = JobList()
    for age in range(2_000, 0, -1):
        submitted_at = START_AT - 90 * age
        uuid = listed.submit(submitted_at, queue="q", user="u")
        listed.start(uuid, submitted_at + 1)
        if age % 4:
            listed.end(uuid, submitted_at + 2)
    short = replace(SETTINGS, history_seconds=3600.0)
    cluster = SimulatedCluster(settings=short, jobs=listed)
    for _ in range(20):
        cluster.turn()
    before = cluster.calls
    for _ in range(100):
        cluster.turn()
        assert cluster.counted()["running", "q", "u"] == 500
    assert cluster.calls - before <= 150


def test_a_list_that_outgrows_a_page_again_and_again_keeps_its_order() -> None:
    listed = JobList()
    fill(listed, 110, active=10, now_at=START_AT - 5)
    cluster = SimulatedCluster(DIALECTS["documented"], SETTINGS, jobs=listed)
    cluster.turn()
    for _ in range(3):
        cluster.jobs.delete([job.uuid for job in cluster.jobs.jobs()][:20])
        assert calls_of_a_turn(cluster) == 1
        for _ in range(20):
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        assert calls_of_a_turn(cluster) <= 3  # the head, the rest of the list, the head once more
        assert cluster.counted() == cluster.true_counts()
        assert cluster.profile.order.contradictions == 0


def test_many_active_jobs_of_one_second_are_all_looked_at_once() -> None:
    """Where no filter helps: an array of jobs fills many pages between two moments."""
    cluster = settled(3_000, "filters-ignored")
    array = [cluster.jobs.submit(cluster.now_at, queue="q", user="u") for _ in range(600)]
    cluster.turn()
    cluster.jobs.edit(array[123], cluster.now_at, cores=99, moves_modified=False)
    before = cluster.calls
    for _ in range(12):
        cluster.turn()
    assert cluster.ledger.known(array)[array[123]].cores == 99
    assert cluster.calls - before <= 130


@pytest.mark.parametrize("seed", range(8))
def test_a_scan_of_a_shuffled_list_misses_nothing_though_no_total_is_told(seed: int) -> None:
    """Pages may join by chance; how far down the last job stands says how many there are."""
    listed = JobList()
    for number in range(150):
        uuid = listed.submit(START_AT - 9000 + number // 40, queue="q", user="u")
        if number % 40 == 0:
            listed.start(uuid, START_AT - number)
    shuffled = DIALECTS["sort-ignored-ties-shuffled"]
    dialect = replace(shuffled, filters="ignored", total_count="missing")
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed, seed=seed)
    for _ in range(20):
        cluster.turn()
        assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("dialect", ["documented", "total-missing"])
def test_a_job_that_has_left_a_crowded_second_is_forgotten(dialect: str) -> None:
    """No page shows both ends of that second: only all of its jobs show that one is missing."""
    listed = JobList()
    for number in range(900):
        at = START_AT - 90_000 + (400 if 400 <= number < 700 else number)
        uuid = listed.submit(at, queue="q", user="u")
        if not 400 <= number < 700:
            listed.start(uuid, at)
            listed.end(uuid, at)
    cluster = SimulatedCluster(DIALECTS[dialect], SETTINGS, jobs=listed)
    for _ in range(12):
        cluster.turn()
    waiting = [job.uuid for job in cluster.jobs.jobs() if job.status == "pending"]
    cluster.jobs.delete(waiting[100:101])
    for _ in range(10):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert cluster.profile.order.contradictions == 0
    assert calls_of_a_turn(cluster) == 1 or dialect == "total-missing"
