"""A scan in the background, and the syncs that come between its calls."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError, TransportError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, JobList, JobRow, fill
from tests.unit.ledger.made import tallied
from tests.unit.sync.settled import (
    SERVERS,
    SETTINGS,
    fresh,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster


class TestMarks:
    """What a scan has met."""

    def _scanning(self) -> SimulatedCluster:
        cluster = fresh(2_000, DIALECTS["sort-ignored-by-id"])
        cluster.refresh()
        cluster.background(most_calls=7)
        return cluster

    def test_a_failed_sync_does_not_make_the_scan_believe_that_it_met_all(self) -> None:
        cluster = self._scanning()
        for _ in range(30):
            # New jobs come in, and the sync that has seen them fails.
            for _ in range(40):
                cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            calls = 0

            def trouble(query: JobListQuery) -> None:
                nonlocal calls
                calls += 1
                if calls == 2:
                    raise TransportError("timeout", "no answer", retryable=True, advice="")

            cluster.before_call = trouble
            cluster.now_at += 60
            with pytest.raises(TransportError):
                cluster.refresh()
            cluster.before_call = lambda query: None
        cluster.background()
        known = cluster.ledger.known(job.uuid for job in cluster.jobs.jobs())
        ended = [job.uuid for job in cluster.jobs.jobs() if job.status == "finished"]
        assert not [uuid for uuid in ended if uuid not in known]

    def test_scans_that_fail_leave_nothing_behind(self) -> None:
        """The sets of what they met are on disk, and a long list's are large."""
        cluster = fresh(1_000, DIALECTS["sort-ignored-by-id"])
        cluster.turn()
        for _ in range(5):
            cluster.now_at += 600
            cluster.refresh()
            asking = cluster.replica.background(cluster.now_at, lambda purpose: 10**6)
            assert asking is not None
            with cluster.ledger.transaction():
                ask = next(asking)
                for _ in range(3):
                    ask = asking.send(cluster.list_jobs(ask.query))
            asking.close()  # after too many failures it is given up
        cluster.turn(600)
        tables = cluster.ledger._connection.execute(
            "SELECT name FROM sqlite_temp_master WHERE name LIKE 'marks%' AND type = 'table'"
        ).fetchall()
        assert len(tables) <= 1

    def test_scans_that_are_lied_to_leave_nothing_behind(self) -> None:
        cluster = fresh(1_000, DIALECTS["sort-ignored-total-missing"])
        for _ in range(3):
            cluster.turn()
        dice = Random(1)

        def shuffled(page: Page) -> Page:
            jobs = list(page.jobs)
            dice.shuffle(jobs)
            return Page(jobs[:50], page.total_count, page.server_time_at)

        for _ in range(5):
            cluster.now_at += 600
            cluster.refresh()
            cluster.distort = shuffled
            with suppress(SyncError):
                cluster.background(most_calls=200)
            cluster.distort = lambda page: page
        tables = cluster.ledger._connection.execute(
            "SELECT name FROM sqlite_temp_master WHERE name LIKE 'marks%' AND type = 'table'"
        ).fetchall()
        assert len(tables) <= 1


def test_a_scan_counts_the_many_jobs_that_began_and_ended_between_two_syncs() -> None:
    """A sweep has seen none of them, so it proves nothing that they are unknown."""
    cluster = settled(1_500, "sort-ignored-by-id")
    for number in range(200):
        at = cluster.now_at + number / 10
        uuid = cluster.jobs.submit(at, queue="q", user="u")
        cluster.jobs.start(uuid, at + 1)
        cluster.jobs.end(uuid, at + 3)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_jobs_that_only_a_cache_still_shows_are_not_what_the_filter_hides() -> None:
    """A cache of pages has jobs that were deleted, others at each scan. With a filter that hides jobs, it would
    be the same ones."""
    cluster = settled(1_500, "sort-ignored-by-id")
    list_jobs, failed = cluster.list_jobs, 0
    for _ in range(30):
        at = int(cluster.now_at - 3600)
        row = JobRow("pending", "q", "u", 1, at, None, at)
        gone = [cluster.jobs.load_one(row) for _ in range(3)]
        cached = deepcopy(cluster.jobs)
        cluster.jobs.delete(gone)

        def answer(query: JobListQuery, cached: JobList = cached) -> Page:
            now = cluster.jobs
            cluster.cluster.jobs = cached if query.offset and not query.status else now
            try:
                return list_jobs(query)
            finally:
                cluster.cluster.jobs = now

        cluster.list_jobs = answer  # type: ignore[method-assign]
        try:
            cluster.turn()
        except SyncError:
            failed += 1
    assert cluster.profile.status_filter.value == "both"
    assert failed <= 1


def test_a_job_that_seems_to_have_ended_before_it_started_is_believed_in_an_audit_interval() -> (
    None
):
    """Its end was stamped by another clock, so its record is stale, and only another scan shows it again."""
    cluster = settled(1_500, "sort-ignored-by-id")
    uuid = cluster.jobs.submit(cluster.now_at, queue="q", user="u")
    cluster.jobs.start(uuid, cluster.now_at + 30)
    cluster.turn()
    cluster.jobs.end(uuid, cluster.now_at - 32)
    rest_for_one_audit_interval(cluster)
    assert cluster.counted() == cluster.true_counts()


def test_a_scan_that_began_long_ago_lets_a_stale_record_stand_its_time() -> None:
    """A sync has seen the record since. By the time at which the scan began, that would not have been yet."""
    cluster = settled(1_500, "sort-ignored-by-id")
    uuid = cluster.jobs.submit(cluster.now_at - 9_000, queue="q", user="u")
    cluster.turn()
    cluster.now_at += 600
    cluster.go_on_in_background(3)
    before = cluster.jobs.copy()
    cluster.jobs.start(uuid, cluster.now_at + 30)
    cluster.calls_between = 0
    cluster.turn()
    cluster.cluster.jobs, now = before, cluster.jobs
    cluster.turn()  # this answer is behind
    cluster.go_on_in_background(50)  # and these, too
    cluster.cluster.jobs = now
    cluster.turn()
    started = [
        tally.times for key, tally in tallied(cluster.ledger).items() if key.kind == "started"
    ]
    assert sum(started) == 1


@pytest.mark.parametrize("active", [240, 390])
@pytest.mark.parametrize("name", ["window", "window-refused"])
def test_a_list_that_cannot_be_read_whole_is_swept_however_many_of_its_jobs_are_active(
    name: str, active: int
) -> None:
    """To read it all takes no more calls than to sweep it, and every sync failed at that. If more of them are pending
    than the server shows from one end, only an order shows the others."""
    listed = JobList()
    fill(listed, active + 10, active=active, now_at=START_AT - 5)
    cluster = SimulatedCluster(replace(SERVERS[name], depth_limit=200), SETTINGS, jobs=listed)
    assert (len(listed.uuids({"pending"})) > 200) == (active > 300)
    for _ in range(3):
        with suppress(SyncError):  # its depth is found
            cluster.turn()
        assert not cluster.ledger.progress.active_known or cluster.active_is_right()
    assert cluster.ledger.progress.active_known
