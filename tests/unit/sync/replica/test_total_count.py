"""Servers whose ``total_count`` counts fewer jobs than there are."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, JobList, JobRow, fill
from exporter.sync import context
from exporter.sync.replica import Replica
from tests.unit.sync.adversary import some_jobs
from tests.unit.sync.settled import (
    SERVERS,
    SETTINGS,
    Traffic,
    calls_of_a_turn,
    counting_something_else,
    rest_for_one_audit_interval,
    settled,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

TOTALS: dict[str, Callable[[Page, int], int]] = {
    "up to a limit": lambda page, total: min(total, 200),
    "up to a limit where a page ends": lambda page, total: min(total, 199),
    "up to a page": lambda page, total: min(total, 100),
    "what is sent": lambda page, total: len(page.jobs),
    "all but a few": lambda page, total: max(0, total - 3),
}
THERE = ("documented", "sort-ignored", "filters-ignored", "nothing-honoured", "total-whole")


def counting(there: str, counted: str, count: int) -> SimulatedCluster:
    listed = JobList()
    some_jobs(listed, count, Random(count))
    cluster = SimulatedCluster(DIALECTS[there], SETTINGS, jobs=listed)

    def miscount(page: Page) -> Page:
        total = page.total_count
        return page if total is None else replace(page, total_count=TOTALS[counted](page, total))

    cluster.distort = miscount
    return cluster


def shown_is_right(cluster: SimulatedCluster) -> bool:
    """What would be published of a list at rest: all, or the active jobs, or nothing."""
    if cluster.ledger.progress.complete:
        return cluster.counted() == cluster.true_counts()
    return not cluster.ledger.progress.active_known or cluster.active_is_right()


@pytest.mark.parametrize("count", [99, 100, 101, 199, 200, 450])
@pytest.mark.parametrize("counted", TOTALS)
@pytest.mark.parametrize("there", THERE)
def test_nothing_wrong_is_shown_of_a_list_at_rest(there: str, counted: str, count: int) -> None:
    cluster = counting(there, counted, count)
    for _ in range(6):
        with suppress(SyncError):
            cluster.turn()
        assert shown_is_right(cluster)
    # Two hundred may be all that a server shows of a longer list.
    assert cluster.ledger.progress.complete or count == 200


@pytest.mark.parametrize("counted", TOTALS)
@pytest.mark.parametrize("there", THERE)
def test_it_is_right_once_a_list_rests(there: str, counted: str) -> None:
    cluster = counting(there, counted, 97)
    Traffic(cluster).turns(12, 5)
    for _ in range(10):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert len(cluster.jobs) > 100


def test_a_list_of_exactly_one_page_costs_one_call_once_it_is_known() -> None:
    listed = JobList()
    some_jobs(listed, 100, Random(1))
    cluster = SimulatedCluster(DIALECTS["documented"], SETTINGS, jobs=listed)
    cluster.turn()
    assert cluster.calls == 2
    cluster.turn()
    assert cluster.calls == 3
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("there", ["documented", "sort-ignored", "ties-shuffled"])
@pytest.mark.parametrize("more", [2, -2])
@pytest.mark.parametrize("from_turn", [0, 12])
def test_a_total_of_filtered_answers_alone_may_be_wrong_from_the_first_or_some_day(
    there: str, more: int, from_turn: int
) -> None:
    """Kept in a cache of the server's, say. It is done without, and costs less than a scan a turn."""
    listed = JobList()
    some_jobs(listed, 600, Random(3))
    dialect = replace(DIALECTS[there], page_cap=20)
    cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
    list_jobs, traffic = cluster.list_jobs, Traffic(cluster)

    def miscount(query: JobListQuery) -> Page:
        page = list_jobs(query)
        if not query.status or page.total_count is None or turn < from_turn:
            return page
        return replace(page, total_count=max(0, page.total_count + more))

    cluster.list_jobs = miscount  # type: ignore[method-assign]
    for turn in range(24):
        if turn < 16:
            traffic.pass_by(3)
        with suppress(SyncError):
            cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    calls = cluster.calls
    rest_for_one_audit_interval(cluster, doubts=1)
    rest_for_one_audit_interval(cluster)
    assert cluster.calls - calls <= 20 * (600 / 19)


def test_a_total_of_filtered_answers_that_hides_deletions_is_found_out_by_the_end_of_its_list() -> (
    None
):
    """It goes on counting two jobs that are gone, behind the edge of a part of the history."""
    listed = JobList()
    fill(listed, 1_000, active=0, now_at=START_AT - 5)
    at = int(START_AT - 40 * 86400)
    waiting = [
        listed.load_one(JobRow("pending", "q", "u", 1, at + n, None, at + n)) for n in range(30)
    ]
    settings = replace(SETTINGS, history_seconds=0.0)
    cluster = SimulatedCluster(DIALECTS["documented"], settings, jobs=listed)
    for _ in range(12):
        cluster.turn()
    list_jobs = cluster.list_jobs

    def count_two_more(query: JobListQuery) -> Page:
        page = list_jobs(query)
        if query.status != "pending" or page.total_count is None:
            return page
        return replace(page, total_count=page.total_count + 2)

    cluster.jobs.delete(waiting[10:12])
    cluster.list_jobs = count_two_more  # type: ignore[method-assign]
    assert cluster.counted() != cluster.true_counts()
    rest_for_one_audit_interval(cluster, doubts=2)
    assert cluster.counted() == cluster.true_counts()


class TestATotalThatCountsSomethingElse:
    """Deleted jobs, perhaps."""

    @pytest.mark.parametrize("count", [60, 503])
    @pytest.mark.parametrize("beyond", [-37, 1, 37, 5_000])
    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_a_total_that_counts_something_else(self, there: str, beyond: int, count: int) -> None:
        """Deleted jobs too, perhaps: it is wrong by as much for the whole list at every call."""
        cluster = counting_something_else(there, beyond, count)
        Traffic(cluster).turns(4, 3)
        cluster.jobs.delete(
            [next(job.uuid for job in cluster.jobs.jobs() if job.status == "exited")]
        )
        rest_for_one_audit_interval(cluster, doubts=3)
        rest_for_one_audit_interval(cluster)
        assert cluster.counted() == cluster.true_counts()

    def test_a_run_of_deleted_jobs_is_searched_by_submission_too(self) -> None:
        """In that order they are in one place, and spread over the list by their changes."""
        cluster = counting_something_else("documented", -3, 3_000)
        for _ in range(14):
            with suppress(SyncError):
                cluster.turn()
        assert cluster.profile.total_count.value == "none"
        cluster.jobs.delete(cluster.jobs.uuids()[1_500:1_530])
        assert calls_of_a_turn(cluster) <= 14
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_it_is_looked_at_again_more_and_more_rarely(self, there: str) -> None:
        cluster = counting_something_else(there, 37, 230)
        for _ in range(20):
            with suppress(SyncError):
                cluster.turn()
        cluster.replica = Replica(cluster.ledger, SETTINGS, Random(0))  # as after a restart
        traffic = Traffic(cluster)
        looks = []
        for turn in range(24 * 3):
            traffic.pass_by(2)
            try:
                cluster.turn(1200)
            except SyncError:
                looks.append(turn)
        assert cluster.profile.total_count.value == "none"
        assert 2 <= len(looks) <= 6
        assert looks[-1] - looks[-2] > looks[1] - looks[0]
        rest_for_one_audit_interval(cluster, doubts=1)
        assert cluster.counted() == cluster.true_counts()
        cluster.distort = lambda page: page
        cluster.turn(86400)
        rest_for_one_audit_interval(cluster, doubts=1)
        assert cluster.profile.total_count.value in ("filtered", "unknown")
        assert cluster.ledger.progress.expected == len(cluster.jobs)
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("there", ["documented", "sort-ignored", "nothing-honoured"])
    def test_a_total_that_is_right_is_believed_against_pages_that_are_cut_short(
        self, there: str
    ) -> None:
        cluster = settled(600, there)
        dice = Random(4)

        def cut(page: Page) -> Page:
            length = dice.randrange(len(page.jobs) + 1) if dice.random() < 0.7 else len(page.jobs)
            return Page(page.jobs[:length], page.total_count, page.server_time_at)

        cluster.distort = cut
        for _ in range(30):
            with suppress(SyncError):
                cluster.turn()
                assert cluster.counted() == cluster.true_counts()
            assert cluster.profile.total_count.value != "none"

    def test_an_empty_list_with_a_total_stays_a_failure(self) -> None:
        """Nothing tells whether the total or the emptiness is wrong."""
        cluster = settled(600)
        known = cluster.counted()
        cluster.distort = lambda page: Page((), 600, page.server_time_at)
        for _ in range(30):
            with pytest.raises(SyncError):
                cluster.turn()
        assert cluster.counted() == known


@pytest.fixture
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LEAST_LIMIT", 200)


@pytest.mark.usefixtures("_small_limits")
@pytest.mark.parametrize("beyond", ["empty", "problem", "5000"])
@pytest.mark.parametrize("there", ["documented", "console"])
class TestATotalThatCountsNoFurtherThanTheServerShows:
    """As of a search engine: nothing tells how many jobs there are, so the history is withheld."""

    def cluster(self, there: str, beyond: str, count: int) -> SimulatedCluster:
        listed = JobList()
        some_jobs(listed, count, Random(count))
        dialect = replace(
            SERVERS[there],
            page_cap=20,
            depth_limit=200,
            total_limit=200,
            beyond_depth=beyond,  # type: ignore[arg-type]
        )
        return SimulatedCluster(dialect, SETTINGS, jobs=listed)

    def look(self, cluster: SimulatedCluster, turns: int) -> None:
        for _ in range(turns):
            with suppress(SyncError):
                cluster.turn()

    def test_of_a_longer_list(self, there: str, beyond: str) -> None:
        cluster = self.cluster(there, beyond, 300)
        self.look(cluster, 4)
        cluster.jobs.submit(cluster.now_at, queue="q", user="u")  # which no total shows
        self.look(cluster, 4)
        assert not cluster.ledger.progress.complete
        assert cluster.active_is_right()
        assert cluster.replica.obstacle is not None
        before = cluster.calls
        self.look(cluster, 10)
        assert cluster.active_is_right()
        assert cluster.calls - before <= 10 * (4 if there == "documented" else 10)
        assert not cluster.profile.order.contradictions

    def test_of_a_list_that_has_grown(self, there: str, beyond: str) -> None:
        cluster = self.cluster(there, beyond, 190)
        self.look(cluster, 4)
        assert cluster.ledger.progress.complete
        for _ in range(20):
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        self.look(cluster, 4)
        assert not cluster.ledger.progress.complete
        assert cluster.active_is_right()
        assert cluster.replica.obstacle is not None
        cluster.jobs.delete(cluster.jobs.uuids()[:50])
        self.look(cluster, 12)
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()


@pytest.mark.usefixtures("_small_limits")
def test_a_total_may_be_a_limit_also_where_what_has_shown_it_is_forgotten() -> None:
    """For instance because the server has answered with another cluster's list for a while."""
    listed, other = JobList(), JobList(uuid_salt=7919)
    some_jobs(listed, 250, Random(1))
    some_jobs(other, 120, Random(2))
    cluster = SimulatedCluster(
        replace(
            SERVERS["reverse-ignored"], depth_limit=200, total_limit=200, beyond_depth="problem"
        ),
        SETTINGS,
        jobs=listed,
    )
    for each, turns in ((listed, 1), (other, 3), (listed, 3)):
        cluster.cluster.jobs = each
        cluster.cluster.speak(cluster.cluster.dialect)
        for _ in range(turns):
            with suppress(SyncError):
                cluster.turn()
    assert not cluster.ledger.progress.complete
    assert cluster.active_is_right()
    assert cluster.replica.obstacle is not None
