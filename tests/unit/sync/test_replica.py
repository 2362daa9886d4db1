"""One cluster followed through what clouds do: answers from the past, from a cache, of a part of the
list, or of none. What is published stays right, and every transition is counted once."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError
from exporter.model import JobListQuery
from exporter.simulator import DOCUMENTED, Dialect, JobList, fill
from exporter.sync.asking import CollapseUnconfirmed
from exporter.sync.context import SyncSettings
from tests.unit.ledger.made import tallied
from tests.unit.sync.living import Living, account_of
from tests.unit.sync.settled import (
    DAY,
    SERVERS,
    Traffic,
    calls_of_a_turn,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

COUNT = 1_500


class TestCollapse:
    """That much of the list is gone is a claim that needs a proof."""

    @pytest.mark.parametrize("name", ["documented", "console"])
    @pytest.mark.parametrize("fault", ["empty-list", "one-page", "half-the-shards"])
    def test_one_wrong_answer_costs_one_call(self, fault: str, name: str) -> None:
        cluster, usual = settled(COUNT, name), settled(COUNT, name)
        cluster.cloud.faults.add(fault, next_calls=1)
        assert calls_of_a_turn(cluster) <= calls_of_a_turn(usual) + 1
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.complete

    @pytest.mark.parametrize("name", ["documented", "console"])
    @pytest.mark.parametrize("fault", ["empty-list", "one-page", "half-the-shards"])
    def test_a_list_that_comes_back_comes_back_whole(self, fault: str, name: str) -> None:
        """What it costs is the confirmation; no job is lost, and none is counted anew."""
        cluster = settled(COUNT, name)
        counted = account_of(cluster.ledger)
        before = cluster.calls
        cluster.cloud.faults.add(fault, next_calls=2)
        with pytest.raises(CollapseUnconfirmed):
            cluster.turn()
        assert cluster.calls - before == 2
        assert cluster.counted() == cluster.true_counts()
        assert cluster.turn().corrections == {}
        assert cluster.counted() == cluster.true_counts()
        assert account_of(cluster.ledger) == counted
        assert cluster.profile.order.contradictions == 0

    @pytest.mark.parametrize("name", ["documented", "console", "sort-ignored-by-id"])
    @pytest.mark.parametrize("every", [8, 3])
    def test_answers_of_half_the_shards_now_and_then_change_nothing(
        self, every: int, name: str
    ) -> None:
        cluster = settled(COUNT, name)
        traffic = Traffic(cluster)

        def now_and_then(_: JobListQuery) -> None:
            if cluster.calls % every == every - 1:
                cluster.cloud.faults.add("half-the-shards", next_calls=1)

        cluster.before_call = now_and_then
        failed = 0
        for _ in range(24):
            traffic.pass_by(2)
            try:
                cluster.turn()
            except SyncError:
                failed += 1
            else:
                assert cluster.active_is_right()
        assert failed <= 24 / every
        cluster.before_call = lambda query: None
        for _ in range(10):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_half_of_the_jobs_in_a_status_are_asked_for_again(self) -> None:
        cluster = settled(COUNT, "console")
        once: list[JobListQuery] = []

        def half_once(query: JobListQuery) -> None:
            if query.status == "pending" and not once:
                once.append(query)
                cluster.cloud.faults.add("half-the-shards", next_calls=1)

        cluster.before_call = half_once
        cluster.turn()
        assert once
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("name", ["documented", "console"])
    def test_a_real_one_is_believed_by_the_second_sync(self, name: str) -> None:
        cluster = settled(COUNT, name)
        uuids = [job.uuid for job in cluster.jobs.jobs()]
        cluster.jobs.delete(uuids[: COUNT // 2])
        with pytest.raises(CollapseUnconfirmed):
            cluster.turn()
        for _ in range(2):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.profile.order.contradictions == 0

    def test_it_is_not_believed_within_the_same_moment(self) -> None:
        """A retry at once may meet the same half of the servers."""
        cluster = settled(COUNT)
        cluster.jobs.delete([job.uuid for job in cluster.jobs.jobs()])
        for _ in range(3):
            with pytest.raises(CollapseUnconfirmed):
                cluster.turn(1)
        cluster.turn(60)
        assert cluster.counted() == {}

    @pytest.mark.parametrize("name", ["documented", "console", "sort-ignored"])
    def test_a_list_that_was_empty_at_first_is_not_known(self, name: str) -> None:
        """A search index that is being built, or a database that is being restored, shows no job."""
        cluster = SimulatedCluster(SERVERS[name])
        cluster.turn()
        fill(cluster.jobs, COUNT, active=150, now_at=START_AT - DAY)
        with pytest.raises(CollapseUnconfirmed):
            cluster.turn()
        self._is_read_before_it_counts_as_complete(cluster)

    @pytest.mark.parametrize("name", ["console", "sort-ignored"])
    def test_nor_is_it_if_new_jobs_fill_its_head(self, name: str) -> None:
        cluster = SimulatedCluster(replace(SERVERS[name], page_cap=20))
        cluster.turn()
        fill(cluster.jobs, 500, active=20, now_at=START_AT - DAY)
        for number in range(25):
            uuid = cluster.jobs.submit(cluster.now_at + 58, queue="q", user="u")
            if number % 2:
                cluster.jobs.start(uuid, cluster.now_at + 59)
        self._is_read_before_it_counts_as_complete(cluster)

    def _is_read_before_it_counts_as_complete(self, cluster: SimulatedCluster) -> None:
        cluster.now_at += 60
        cluster.refresh()
        assert not cluster.ledger.progress.complete
        cluster.background()
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.complete


def live_with(
    dialect: Dialect, interval_seconds: float, seed: int
) -> tuple[SimulatedCluster, Living]:
    """Jobs live while they are looked at by answers that may be from the past."""
    listed = JobList()
    fill(listed, 300, active=40, now_at=START_AT - 100)
    settings = SyncSettings(interval_seconds=interval_seconds, audit_interval_seconds=600)
    cluster = SimulatedCluster(dialect, settings, jobs=listed, seed=seed)
    for _ in range(5):
        with suppress(SyncError):
            cluster.turn()
    living = Living(cluster, Random(seed))
    for _ in range(40):
        for _ in range(living.rng.randrange(6)):
            living.rng.choice((living.submit, living.start, living.end, living.cancel))()
            cluster.now_at += living.rng.choice((0, 1, 2))
        with suppress(SyncError):
            cluster.turn()
    return cluster, living


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("interval_seconds", [5, 60])
@pytest.mark.parametrize(
    "name",
    ["lagging-5", "lagging-20", "lagging-60", "cached-5", "cached-60", "console-lagging-20"],
)
def test_answers_from_the_past_count_nothing_twice(
    name: str, interval_seconds: float, seed: int
) -> None:
    dialect = SERVERS.get(name) or replace(SERVERS["console"], lag_seconds=20)
    cluster, living = live_with(dialect, interval_seconds, seed)
    while cluster.now_at < START_AT + 3_600:
        with suppress(SyncError):
            cluster.turn(60)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete
    assert account_of(cluster.ledger) == living.account()


@pytest.mark.parametrize("lag_seconds", [20, 60])
def test_how_far_a_replica_is_behind_is_learned_and_kept(lag_seconds: int) -> None:
    cluster, _ = live_with(replace(DOCUMENTED, lag_seconds=lag_seconds), 5, 1)
    assert 0 < cluster.profile.lag_seconds <= 2 * lag_seconds + 10
    assert cluster.ledger.progress.profile.lag == cluster.profile.lag


def test_a_step_back_that_stands_is_believed() -> None:
    """A job is queued again, and the server does not stamp it."""
    cluster = settled(COUNT)
    ended = next(job for job in cluster.jobs.jobs() if job.status == "finished")
    cluster.jobs.edit(ended.uuid, cluster.now_at, status="pending", moves_modified=False)
    for _ in range(12):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("dialect", ["documented", "nothing-honoured", "sort-ignored"])
def test_a_list_that_has_gone_back_as_a_whole_is_read_anew(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud was restored from a copy. Not all of a million records are kept until they are believed."""
    monkeypatch.setattr("exporter.sync.intake.MOST_STALE_RECORDS", 100)
    cluster = settled(COUNT, dialect)
    counted = deepcopy(tallied(cluster.ledger))
    began_at = cluster.ledger.progress.began_at
    for job in cluster.jobs.jobs():
        cluster.jobs.edit(job.uuid, job.modified_at - 500, status="running", moves_modified=True)
    kept = 0
    for _ in range(20):
        with suppress(SyncError):
            cluster.turn()
        kept = max(kept, len(cluster.replica._memory.stale_records.since))
    assert kept == 100
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete
    assert (cluster.ledger.progress.began_at or 0) > (began_at or 0)
    assert tallied(cluster.ledger) == counted


@pytest.mark.parametrize("dialect", ["documented", "sort-by-submitted-only"])
@pytest.mark.parametrize("jobs", [120, 299, 900])
def test_another_list_that_is_believed_leaves_no_job_behind(jobs: int, dialect: str) -> None:
    """For some syncs, another cluster's list is shown: parts of both have equal numbers of jobs."""
    cluster = settled(300, dialect)
    usual, other = cluster.jobs, JobList(uuid_salt=7919)
    fill(other, jobs, active=12, now_at=cluster.now_at - 50)
    for shown in (other, usual):
        cluster.cluster.jobs = shown
        cluster.cluster.speak(cluster.cluster.dialect)
        for _ in range(4):
            with suppress(SyncError):
                cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.complete


@pytest.mark.parametrize("dialect", ["documented", "sort-by-submitted-only"])
@pytest.mark.parametrize(
    ("page_cap", "jobs", "turns", "calls_between", "zone_configured"),
    [(100, 300, 1, None, True), (10, 40, 2, 4, True), (10, 40, 2, 4, False)],
    ids=["total not compared yet", "short pages, some not read yet", "and no known zone"],
)
def test_another_list_is_noticed_at_any_time(
    page_cap: int,
    jobs: int,
    turns: int,
    calls_between: int | None,
    zone_configured: bool,
    dialect: str,
) -> None:
    """A proxy that was set up wrong shows another cluster's list before the right one."""
    cluster = SimulatedCluster(
        replace(SERVERS[dialect], page_cap=page_cap, times="plain"),
        SyncSettings(zone_configured=zone_configured),
    )
    fill(cluster.jobs, jobs, active=12, now_at=START_AT - 5000)
    cluster.calls_between = calls_between
    for _ in range(turns):
        cluster.turn()
    cluster.calls_between = None
    cluster.cluster.jobs = JobList(uuid_salt=7919)
    fill(cluster.jobs, 300, active=12, now_at=START_AT - 5000, seed=1)
    cluster.cluster.speak(cluster.cluster.dialect)
    for _ in range(5):
        with suppress(SyncError):
            cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete


def test_stamps_that_are_set_back_are_believed() -> None:
    """A server was restored with a clock that was wrong: a few jobs are older than they were."""
    cluster = settled(COUNT)
    running = [job for job in cluster.jobs.jobs() if job.status == "running"][:5]
    for job in running:
        cluster.jobs.edit(job.uuid, job.modified_at - 500, status="pending", moves_modified=True)
    for _ in range(12):
        with suppress(SyncError):
            cluster.turn()
    assert cluster.counted() == cluster.true_counts()


def test_a_job_that_is_deleted_after_a_stale_answer_leaves_nothing_to_look_up() -> None:
    """Otherwise the change detector would never again spare the cluster a sync."""
    cluster = SimulatedCluster()
    uuid = cluster.jobs.submit(START_AT, queue="q", user="u")
    cluster.jobs.submit(START_AT, queue="q", user="u")
    before = cluster.jobs.copy()
    cluster.jobs.start(uuid, START_AT + 30)
    cluster.turn()
    cluster.cluster.jobs, now = before, cluster.jobs
    cluster.turn(5)
    assert not cluster.replica.all_resolved
    cluster.cluster.jobs = now
    cluster.jobs.delete([uuid])
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert cluster.replica.all_resolved
