"""New jobs at the head, active ones by status, those that have left looked up where they stand: what
that costs, and that end statuses are right within a minute."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import BudgetExhausted, SyncError
from exporter.model import SET_ASIDE, JobListQuery
from exporter.simulator import JobList, fill
from exporter.sync.asking import Contradiction
from exporter.sync.context import INFINITE
from tests.unit.ledger.made import tallied
from tests.unit.sync.settled import (
    DAY,
    SERVERS,
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    calls_of_a_turn,
    rest_for_one_audit_interval,
    settled,
    wait_for,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

BY_SUBMISSION = ("console", "console-strict", "console-by-id", "sort-refused")


def long_list(name: str, count: int, active: int) -> SimulatedCluster:
    """A cluster whose whole list is known."""
    listed = JobList()
    fill(listed, count, active=active, now_at=START_AT - 5)
    cluster = SimulatedCluster(SERVERS[name], SETTINGS, jobs=listed)
    for _ in range(4):
        cluster.turn()
    assert cluster.ledger.progress.complete
    assert cluster.counted() == cluster.true_counts()
    return cluster


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_a_sync_costs_a_few_calls(name: str) -> None:
    """300 active jobs, and 20 changes in the last five seconds: at most 8. (The list may be longer:
    where they stand in it decides.)"""
    cluster = long_list(name, 2_000, 300)
    traffic = Traffic(cluster)
    calls = []
    for _ in range(12):
        traffic.pass_by(7, seconds=0.7)
        calls.append(calls_of_a_turn(cluster, 5))
        assert cluster.active_is_right()
    assert sum(calls) / len(calls) <= 8


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_active_jobs_that_all_stand_on_the_head_are_not_asked_for_again(name: str) -> None:
    cluster = long_list(name, 500, 0)
    for number in range(8):
        uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        if number % 2:
            cluster.jobs.start(uuid, cluster.now_at)
        before = cluster.calls
        cluster.now_at += 60
        cluster.refresh()
        assert cluster.active_is_right()
    assert cluster.calls - before == 1


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_end_statuses_are_right_within_a_minute(name: str) -> None:
    cluster = settled(1_500, name)
    traffic = Traffic(cluster)
    for _ in range(20):
        traffic.pass_by(10)
        cluster.turn(55)
        assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_whatever_happens_to_an_active_job_is_seen(name: str) -> None:
    cluster = settled(1_500, name)
    jobs = cluster.jobs
    running = [job.uuid for job in jobs.jobs() if job.status == "running"]
    pending = [job.uuid for job in jobs.jobs() if job.status == "pending"]
    at = cluster.now_at + 30
    jobs.end(running[0], at, "exited")
    jobs.suspend(running[1], at, "stopped")
    jobs.requeue(running[2], at)
    jobs.edit(running[3], at, queue="elsewhere", moves_modified=True)
    jobs.cancel(pending[0], at)
    jobs.delete([running[4], pending[1]])
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    jobs.resume(running[1], at + 60)
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("name", BY_SUBMISSION)
@pytest.mark.parametrize("run", ["oldest", "middle", "newest"])
def test_a_run_of_deleted_jobs_is_found_at_once_and_in_few_calls(run: str, name: str) -> None:
    cluster = settled(3_000, name)  # so many that to read half of them is not few calls
    ended = [
        job.uuid
        for job in sorted(cluster.jobs.jobs(), key=lambda job: job.submitted_at)
        if job.status == "finished"
    ]
    start = {"oldest": 0, "middle": len(ended) // 2, "newest": len(ended) - 40}[run]
    cluster.jobs.delete(ended[start : start + 40])
    usual = 3
    assert calls_of_a_turn(cluster) <= usual + 14
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_a_job_that_is_queued_again_after_its_end_is_found(name: str) -> None:
    """Its status shows it; it stands where it stood."""
    cluster = settled(1_500, name)
    ended = [job.uuid for job in cluster.jobs.jobs() if job.status == "finished"]
    for uuid in Random(1).sample(ended, 5):
        cluster.jobs.requeue(uuid, cluster.now_at + 30)
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()


def test_a_job_of_the_history_that_is_changed_is_found() -> None:
    """Nothing brings it to the head: how many have ended in each way shows it."""
    cluster = settled(500, "console")
    uuid = next(job.uuid for job in cluster.jobs.jobs() if job.status == "finished")
    cluster.jobs.edit(uuid, cluster.now_at, status="exited", moves_modified=True)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_where_no_filter_helps_the_active_jobs_are_looked_at_where_they_stand() -> None:
    cluster = settled(1_500, "nothing-honoured")
    traffic = Traffic(cluster)
    assert cluster.profile.order.value in ("submission", "default")
    calls = []
    for _ in range(10):
        traffic.pass_by(5)
        before = cluster.calls
        cluster.turn()
        calls.append(cluster.calls - before)
        assert cluster.active_is_right()
    assert sorted(calls)[5] <= 8, "600 of the list are young, and all active ones among them"
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("name", BY_SUBMISSION)
def test_it_corrects_nothing_that_happens_while_it_looks(name: str) -> None:
    cluster = settled(1_500, name)
    traffic = Traffic(cluster)
    cluster.between_calls = lambda: traffic.pass_by(1)
    corrections: Counter[str] = Counter()
    for _ in range(30):
        corrections.update(cluster.turn().corrections)
    assert corrections.keys() <= {"deleted"} and not corrections["deleted"]  # noqa: PT018
    assert cluster.profile.order.contradictions == 0
    cluster.between_calls = lambda: None
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize(
    ("name", "moves_modified"), [("console", False), ("documented", False), ("console", True)]
)
@pytest.mark.parametrize("history_seconds", [INFINITE, DAY])
def test_a_queue_that_is_renamed_has_the_history_read_again(
    name: str, moves_modified: bool, history_seconds: float
) -> None:
    """If its name is no part of a job, no job has a new time of change; by submission, none comes to the head. Most pages
    show jobs that are too old to be counted."""
    cluster = settled(3_000, name, replace(SETTINGS, history_seconds=history_seconds))
    jobs = cluster.jobs
    for job in [each for each in jobs.jobs() if each.queue == "queue-01"]:
        jobs.edit(job.uuid, cluster.now_at, queue="renamed", moves_modified=moves_modified)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.ledger.progress.complete


def test_ended_jobs_that_only_get_a_new_time_have_no_history_read_again() -> None:
    """Nothing that is counted has changed, and the end statuses would be withheld meanwhile."""
    cluster = settled(3_000, "console")
    for job in cluster.jobs.jobs():
        if job.status == "finished":
            cluster.jobs.edit(job.uuid, cluster.now_at, cores=job.cores, moves_modified=True)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
        assert cluster.ledger.progress.complete


def test_what_ends_is_counted_though_the_history_is_too_deep_to_be_read() -> None:
    """As the runbook of EhpcHistoryWithheld promises."""
    listed = JobList()
    fill(listed, 900, active=30, now_at=START_AT - 5)
    server = replace(SERVERS["console"], page_cap=20, depth_limit=200)
    cluster = SimulatedCluster(server, SETTINGS, jobs=listed)
    for _ in range(5):
        with suppress(SyncError):  # its depth is found, and the history is too deep
            cluster.turn()
    assert cluster.replica.obstacle is not None
    jobs = cluster.jobs
    for uuid in jobs.uuids({"running"})[-5:]:
        jobs.end(uuid, cluster.now_at, "exited")
    jobs.delete(jobs.uuids({"pending"})[-1:])
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        with suppress(SyncError):  # the history is too deep
            cluster.turn()
    tallies = tallied(cluster.ledger).items()
    assert sum(tally.times for key, tally in tallies if key[0] == "ended") == 5
    assert not cluster.ledger.count_status(SET_ASIDE)
    assert cluster.active_is_right()


@pytest.mark.parametrize("status", ["running", "suspended"])
@pytest.mark.parametrize("reverse", ["honoured", "ascending"])
def test_a_job_that_leaves_where_no_page_reaches_blinds_nobody(reverse: str, status: str) -> None:
    """What has become of it cannot be known. The other jobs are counted, and the history is withheld."""
    listed = JobList()
    fill(listed, 350 if reverse == "honoured" else 180, active=0, now_at=START_AT - 5)
    server = replace(SERVERS["console"], page_cap=20, depth_limit=200, reverse=reverse)  # type: ignore[arg-type]
    cluster = SimulatedCluster(server, SETTINGS, jobs=listed)
    jobs = cluster.jobs
    started = [jobs.submit(cluster.now_at - 3, queue="q", user="u") for _ in range(2)]
    for uuid in started:
        jobs.start(uuid, cluster.now_at - 2)
    for _ in range(4):
        with suppress(SyncError):  # its depth is found
            cluster.turn()
    assert cluster.ledger.progress.complete
    for _ in range(30):
        for _ in range(12):
            jobs.cancel(jobs.submit(cluster.now_at, queue="q", user="u"), cluster.now_at)
        cluster.now_at += 60
        with suppress(Contradiction):  # its depth is found
            cluster.refresh()
    if status == "running":
        jobs.end(started[0], cluster.now_at)
    else:
        jobs.suspend(started[0], cluster.now_at)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.now_at += 60
        cluster.refresh()
        with suppress(SyncError):  # the history is too deep
            cluster.background()
        counted, true = cluster.counted(), cluster.true_counts()
        assert counted["running", "q", "u"] == true["running", "q", "u"]
        assert not cluster.ledger.progress.complete
    assert cluster.replica.obstacle is not None


def test_a_sync_that_finds_no_calls_for_the_active_jobs_fails() -> None:
    """It must not tell of what it has not seen."""
    listed = JobList()
    fill(listed, 1_500, active=0, now_at=START_AT - 5)
    cluster = SimulatedCluster(SERVERS["console"], SETTINGS, jobs=listed)
    uuid = wait_for(900, cluster)
    for _ in range(4):
        cluster.turn()
    assert cluster.ledger.progress.complete
    cluster.jobs.start(uuid, cluster.now_at + 5)
    cluster.now_at += 60
    left = 1

    def spend(query: JobListQuery) -> None:
        nonlocal left
        if not left:
            raise BudgetExhausted("budget", "no calls", until_at=cluster.now_at + 60, advice="")
        left -= 1

    cluster.before_call, cluster.allowance = spend, lambda purpose: left
    with pytest.raises(BudgetExhausted):
        cluster.refresh()
