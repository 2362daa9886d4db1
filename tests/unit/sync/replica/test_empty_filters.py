"""Servers whose status filter, or one word of it, matches nothing: no job in it is no proof of none."""

from contextlib import suppress
from dataclasses import replace

import pytest

from exporter.errors import SyncError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, JobList, JobRow, fill
from exporter.sync.asking import CollapseUnconfirmed
from tests.unit.sync.settled import (
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

EMPTY = tuple(name for name, dialect in DIALECTS.items() if dialect.unmatched_statuses)


def match_nothing(cluster: SimulatedCluster, until_at: float = float("inf")) -> None:
    """From now on, up to a moment, no filter matches any job."""
    list_jobs = cluster.list_jobs

    def answer(query: JobListQuery) -> Page:
        page = list_jobs(query)
        failing = query.status and cluster.now_at < until_at
        return replace(page, jobs=(), total_count=0) if failing else page

    cluster.list_jobs = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("calls_between", [None, 2])
@pytest.mark.parametrize("dialect", EMPTY)
def test_it_is_told_by_what_the_head_shows(dialect: str, calls_between: int | None) -> None:
    listed = JobList()
    fill(listed, 1_500, active=40, now_at=START_AT - 5)
    cluster = SimulatedCluster(DIALECTS[dialect], SETTINGS, jobs=listed)
    cluster.calls_between = calls_between
    traffic = Traffic(cluster)
    for turn in range(20):
        if turn % 3 == 0:
            traffic.pass_by(4)
        with suppress(SyncError):
            cluster.turn()
        assert not cluster.ledger.progress.active_known or cluster.active_is_right()
    cluster.calls_between = None
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.profile.status_filter.value == "none"


@pytest.mark.parametrize("history_seconds", [float("inf"), 0.0])
@pytest.mark.parametrize("dialect", EMPTY)
def test_or_by_the_first_such_job_of_the_history(dialect: str, history_seconds: float) -> None:
    """No active job stands on the head: then nothing contradicts the filter at first."""
    listed = JobList()
    fill(listed, 1_500, active=0, now_at=START_AT - 5)
    for day in range(1, 30, 3):
        for status in ("pending", "running"):
            at = int(START_AT - day * 86400)
            listed.load_one(
                JobRow(status, "q", "u", 1, at, at if status == "running" else None, at)
            )
    settings = replace(SETTINGS, history_seconds=history_seconds)
    cluster = SimulatedCluster(DIALECTS[dialect], settings, jobs=listed)
    rest_for_one_audit_interval(cluster, doubts=2)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_what_it_has_hidden_behind_the_edge_of_a_part_of_the_history_is_looked_for() -> None:
    """Nothing contradicts it until a job starts in front of that edge."""
    listed = JobList()
    fill(listed, 1_500, active=0, now_at=START_AT - 5)
    at = int(START_AT - 40 * 86400)
    for status in ("pending", "running"):
        listed.load_one(JobRow(status, "q", "u", 1, at, at if status == "running" else None, at))
    settings = replace(SETTINGS, history_seconds=0.0)
    cluster = SimulatedCluster(DIALECTS["filters-empty-running"], settings, jobs=listed)
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
    uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
    cluster.jobs.start(uuid, cluster.now_at)
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.counted() == cluster.true_counts()
    for _ in range(3 * 60):  # hours: it is not read again and again
        cluster.turn()
        assert cluster.ledger.progress.complete
    assert cluster.counted() == cluster.true_counts()


def test_it_is_found_out_by_one_behind_that_edge_that_is_met_by_chance() -> None:
    """The last page shows it, for the proof of the order; the sync that comes before the next step of the proof
    sets it aside."""
    listed = JobList()
    fill(listed, 1_500, active=0, now_at=START_AT - 5)
    at = int(START_AT - 4000 * 86400)
    listed.load_one(JobRow("running", "q", "u", 1, at, at, at))
    settings = replace(SETTINGS, history_seconds=0.0)
    cluster = SimulatedCluster(DIALECTS["filters-empty-running"], settings, jobs=listed)
    for calls_between in (2, 2, 30, 30, 30, 30, 30, 30, 30, 30):
        cluster.calls_between = calls_between
        with suppress(SyncError):
            cluster.turn()
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("dialect", ["documented", "sort-ignored"])
def test_a_filter_that_worked_may_match_nothing_some_day(dialect: str) -> None:
    cluster = settled(1_500, dialect)
    match_nothing(cluster)
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.counted() == cluster.true_counts()
    assert cluster.profile.status_filter.value == "none"
    assert cluster.profile.order.contradictions == 0


@pytest.mark.parametrize("dialect", ["documented", "sort-ignored", "total-missing"])
def test_that_the_last_ones_are_gone_is_believed(dialect: str) -> None:
    cluster = settled(1_500, dialect)
    for job in list(cluster.jobs.jobs()):
        if job.status == "pending":
            cluster.jobs.cancel(job.uuid, cluster.now_at + 1)
    for _ in range(2):
        with suppress(CollapseUnconfirmed):
            cluster.turn()
    assert cluster.active_is_right()
    assert cluster.ledger.count_status("pending") == 0
    assert cluster.profile.status_filter.value == "both"


@pytest.mark.parametrize("dialect", ["documented", "sort-ignored"])
def test_one_wrong_answer_costs_no_more_than_its_repetition(dialect: str) -> None:
    cluster = settled(1_500, dialect)
    list_jobs, wrong = cluster.list_jobs, 0

    def fail_once(query: JobListQuery) -> Page:
        nonlocal wrong
        page = list_jobs(query)
        if not query.status or wrong:
            return page
        wrong += 1
        return replace(page, jobs=(), total_count=0)

    cluster.list_jobs = fail_once  # type: ignore[method-assign]
    for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
        cluster.turn()
        assert cluster.active_is_right()
    assert wrong
    assert cluster.profile.status_filter.value == "both"


def test_a_filter_that_has_shown_such_jobs_before_may_show_none_when_it_is_tried_again() -> None:
    """The last pending ones have just started, and stand where no head shows them."""
    cluster = settled(1_500, "sort-ignored-by-id")
    memory = cluster.replica._memory
    memory.profile = memory.profile.found("status_filter", "none", "", cluster.now_at - 3570)
    for job in list(cluster.jobs.jobs()):
        if job.status == "pending":
            cluster.jobs.start(job.uuid, cluster.now_at + 1)
    for _ in range(3):
        with suppress(CollapseUnconfirmed):
            cluster.turn()
    assert cluster.profile.status_filter.value == "both"
    assert cluster.active_is_right()


def test_one_that_never_has_is_found_out_where_the_head_cannot_tell() -> None:
    """The oldest stand there. A scan finds it out, and another one soon that it has not been a slip."""
    listed = JobList()
    fill(listed, 1_500, active=0, now_at=START_AT - 5)
    dialect = replace(DIALECTS["sort-ignored-by-id"], unmatched_statuses=frozenset({"running"}))
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
    cluster.turn()
    for number in range(8):
        uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        if number % 2:
            cluster.jobs.start(uuid, cluster.now_at)
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.active_is_right()


def test_an_outage_of_filters_changes_nothing_that_is_right() -> None:
    cluster = settled(1_500, settings=replace(SETTINGS, history_seconds=86400.0))
    match_nothing(cluster, until_at=cluster.now_at + 600)
    withheld = 0
    for _ in range(90):
        with suppress(SyncError):
            cluster.turn()
        withheld += not cluster.ledger.progress.active_known
        assert cluster.active_is_right()
    assert withheld <= 1
    assert cluster.profile.status_filter.value == "both"
