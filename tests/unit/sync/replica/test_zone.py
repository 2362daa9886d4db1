"""Where times carry no zone, it is found by what proves it; until then no wait is told."""

from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import DOCUMENTED, JobList
from exporter.sync.context import SyncSettings
from tests.unit.sync.simulated import START_AT, SimulatedCluster

HOUR = 3600
AUTO = SyncSettings(zone_configured=False)


def cluster_in(
    hours: float,
    times: Any,
    *,
    newest_at: float = START_AT - 7_000,
    waiting: int = 2,
    jobs: int = 250,
) -> SimulatedCluster:
    """Three pages of jobs, or as many as are asked for, the last of which wait; every second one's times carry their zone
    where they are ``mixed``."""
    listed = JobList()
    for number in range(jobs):
        at = newest_at - 600 * (jobs - number)
        uuid = listed.submit(at, queue="q", user="u")
        if number < jobs - waiting:
            listed.start(uuid, at + 10)
            listed.end(uuid, at + 20)
    dialect = replace(DOCUMENTED, times=times, zone_offset_seconds=int(hours * HOUR))
    return SimulatedCluster(dialect, AUTO, jobs=listed)


def waiting(cluster: SimulatedCluster, *, zoned: bool) -> str:
    """The job that waits whose times carry their zone, or do not."""
    return next(
        job.uuid for job in cluster.jobs.jobs()
        if job.status == "pending" and (job.job_id % 2 == 0) is zoned
    )  # fmt: skip


def zone(cluster: SimulatedCluster) -> str:
    """What is found of it."""
    return cluster.profile.zone.value


@pytest.mark.parametrize(("hours", "name"), [(8, "+08:00"), (0, "utc")])
@pytest.mark.parametrize("times", ["plain", "mixed"])
class TestTheNewestStampProvesIt:
    def test_at_first_contact(self, times: str, hours: int, name: str) -> None:
        cluster = cluster_in(hours, times)
        for _ in range(2):
            cluster.jobs.submit(START_AT + 55, queue="q", user="u")
        cluster.turn()
        assert zone(cluster) == name

    def test_of_a_quiet_list_it_proves_nothing(self, times: str, hours: int, name: str) -> None:
        cluster = cluster_in(hours, times)
        for _ in range(3):
            cluster.turn()
        assert zone(cluster) == "unknown"


def test_a_stamp_that_carries_its_zone_is_no_proof_for_others() -> None:
    cluster = cluster_in(8, "mixed")
    cluster.turn()
    cluster.jobs.start(waiting(cluster, zoned=True), cluster.now_at + 55)
    cluster.turn()
    assert zone(cluster) == "unknown"


@pytest.mark.parametrize(("hours", "name"), [(8, "+08:00"), (0, "utc"), (9, "+09:00")])
@pytest.mark.parametrize("times", ["plain", "mixed"])
def test_one_job_that_starts_between_two_looks_proves_it(times: str, hours: int, name: str) -> None:
    cluster = cluster_in(hours, times)
    cluster.turn()
    cluster.turn()
    cluster.jobs.start(waiting(cluster, zoned=False), cluster.now_at + 30)
    cluster.turn(100)
    assert zone(cluster) == name
    cluster.turn()
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    submitted = {job.uuid: int(job.submitted_at) for job in cluster.jobs.jobs()}
    known = cluster.ledger.known(submitted).values()
    assert {job.uuid: job.submitted_at for job in known} == submitted


@pytest.mark.parametrize(("hours", "name"), [(8, "+08:00"), (0, "utc"), (9, "+09:00")])
@pytest.mark.parametrize("times", ["plain", "mixed"])
def test_one_job_that_is_submitted_between_two_looks_proves_it(
    times: str, hours: int, name: str
) -> None:
    cluster = cluster_in(hours, times)
    cluster.turn()
    cluster.turn()
    for _ in range(2):  # one of them without a zone
        cluster.jobs.submit(cluster.now_at + 30, queue="q", user="u")
    cluster.turn(100)
    assert zone(cluster) == name


def test_while_it_is_unknown_new_jobs_are_not_taken_for_those_of_another_cluster() -> None:
    """Read in a zone that is ahead, they seem to have been submitted before the last look."""
    cluster = SimulatedCluster(replace(DOCUMENTED, times="plain"), AUTO)
    cluster.turn()
    cluster.turn()
    cluster.jobs.submit(cluster.now_at + 5, queue="q", user="u")
    cluster.turn(100)  # it proves the zone, so the list is read anew
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()


def test_a_job_s_last_change_proves_it_though_its_other_times_carry_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = cluster_in(0, "plain")
    answer = cluster.cloud.list_jobs

    def partly_stamped(*asked: Any) -> dict[str, Any]:
        answered = answer(*asked)
        for job in answered["hpc_job_set"]:
            job["submitted_time"] += "Z"
        return answered

    monkeypatch.setattr(cluster.cloud, "list_jobs", partly_stamped)
    cluster.turn()
    cluster.turn()
    assert zone(cluster) == "unknown"
    cluster.jobs.start(waiting(cluster, zoned=False), cluster.now_at + 30)
    cluster.turn(100)
    assert zone(cluster) == "utc"


@pytest.mark.parametrize(
    ("hours", "jobs", "found"),
    [(11.5, 1, "unknown"), (11.5, 3, "+11:30"), (33, 3, "unknown"), (-13, 3, "unknown")],
)
def test_a_zone_that_is_unlikely_takes_more_and_one_that_is_none_is_not_found(
    hours: float, jobs: int, found: str
) -> None:
    cluster = cluster_in(hours, "plain", waiting=jobs)
    cluster.turn()
    cluster.turn()
    for job in [each for each in cluster.jobs.jobs() if each.status == "pending"]:
        cluster.jobs.start(job.uuid, cluster.now_at + 30)
    cluster.turn(100)
    assert zone(cluster) == found


def test_what_was_asked_for_in_another_zone_is_not_taken() -> None:
    cluster = cluster_in(0, "plain")
    cluster.calls_between = 3
    cluster.turn()
    for _ in range(2):
        cluster.jobs.submit(cluster.now_at + 30, queue="q", user="u")
    for _ in range(20):
        cluster.turn()
    assert zone(cluster) == "utc"
    submitted = {job.uuid: int(job.submitted_at) for job in cluster.jobs.jobs()}
    known = cluster.ledger.known(submitted).values()
    assert {job.uuid: job.submitted_at for job in known} == submitted


def test_a_list_of_one_page_is_read_anew_when_its_zone_is_found() -> None:
    """Then the ledger is empty, and none of the jobs on the page is known."""
    cluster = cluster_in(0, "plain", jobs=30)
    cluster.turn()
    cluster.jobs.start(waiting(cluster, zoned=False), cluster.now_at + 30)
    for _ in range(2):
        cluster.turn()
    assert zone(cluster) == "utc"
    assert cluster.counted() == cluster.true_counts()
