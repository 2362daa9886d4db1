"""What a list does to its reader where much is submitted, waits, ends or is deleted at once.

None of it is a fault of the list: it must cost neither a sync, nor the trust in the order, nor
calls out of proportion.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter.errors import SyncError
from exporter.simulator import DIALECTS, JobList, fill
from tests.unit.sync.settled import (
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    calls_of_a_turn,
    newest_change_first,
    settled,
    wait_for,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

DAY = 86400.0
WHOLE_HISTORY = float("inf")
CALLS_AT_REST = 8
"""Of one sync with its background, when nothing changes and a probe is due."""


def unread(
    jobs: int,
    dialect: str = "documented",
    *,
    page_cap: int = 100,
    history_seconds: float = WHOLE_HISTORY,
    active: int = 6,
    newest_at: float = START_AT - 5,
) -> SimulatedCluster:
    """A cluster of which nothing is known yet; its jobs are of the last ninety days."""
    listed = JobList()
    fill(listed, jobs, active=active, now_at=newest_at)
    return SimulatedCluster(
        replace(DIALECTS[dialect], page_cap=page_cap),
        replace(SETTINGS, history_seconds=history_seconds),
        jobs=listed,
    )


def turns(cluster: SimulatedCluster, number: int) -> Counter[str]:
    """So many syncs, each with its background. Returns what they had to correct."""
    corrections: Counter[str] = Counter()
    for _ in range(number):
        corrections.update(cluster.turn().corrections)
    return corrections


def most_calls(cluster: SimulatedCluster, number: int) -> int:
    """Of any of so many turns."""
    return max(calls_of_a_turn(cluster) for _ in range(number))


def ended_newest_first(jobs: JobList) -> list[str]:
    """The identities of those that have ended, by rank."""
    active = {job.uuid for job in jobs.jobs() if job.status in ("pending", "running")}
    return [uuid for uuid in newest_change_first(jobs) if uuid not in active]


def assert_only_deleted(cluster: SimulatedCluster, deleted: Sequence[str]) -> None:
    """Within an audit interval all are found, and nobody doubts the order for their sake."""
    cluster.jobs.delete(deleted)
    corrections = turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
    if cluster.ledger.progress.expected is not None:  # else they are found between the syncs
        assert corrections == {"deleted": len(deleted)}
    assert cluster.profile.order.contradictions == 0
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize(
    "dialect", ["documented", "total-missing", "sort-ignored", "sort-ignored-total-missing"]
)
class TestAJobIsSubmittedAtEveryCall:
    """The list of waiting jobs is several pages long, and longer at every call."""

    def busy(self, dialect: str) -> SimulatedCluster:
        cluster = unread(300, dialect, page_cap=20)
        for n in range(80):
            cluster.jobs.submit(START_AT - 5_000 + n, queue="q", user="u")

        def submit() -> None:
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")

        cluster.between_calls = submit
        return cluster

    def test_the_first_sync_knows_who_waits(self, dialect: str) -> None:
        cluster = self.busy(dialect)
        before = waiting(cluster.true_counts())
        cluster.refresh()
        assert cluster.ledger.progress.active_known
        assert before <= waiting(cluster.counted()) <= waiting(cluster.true_counts())

    def test_every_sync_comes_to_its_end(self, dialect: str) -> None:
        """A sweep costs its pages, and a few calls for what has come in front of them."""
        cluster = self.busy(dialect)
        for _ in range(4):
            before = cluster.calls
            cluster.now_at += 60
            cluster.refresh()
            pages = waiting(cluster.true_counts()) / cluster.cluster.dialect.page_cap
            assert cluster.calls - before <= 2 * pages + 10


def waiting(counts: Counter[tuple[str, str, str]]) -> int:
    return sum(jobs for (status, _, _), jobs in counts.items() if status == "pending")


class TestDeletionsDoNotCostTheTrustInTheOrder:
    """Without it, every sync would be a sweep for an hour, and the list scanned between them."""

    @pytest.mark.parametrize(
        ("dialect", "history_seconds"),
        [("documented", 30 * DAY), ("total-missing", WHOLE_HISTORY)],
        ids=["part-of-history", "no-total"],
    )
    @pytest.mark.parametrize("in_front", [1, 20, 120])
    def test_of_a_waiting_job_together_with_jobs_in_front_of_it(
        self, dialect: str, history_seconds: float, in_front: int
    ) -> None:
        """It stands so many ranks higher than the ledger thinks, if it stands anywhere at all."""
        cluster = unread(1_500, dialect, history_seconds=history_seconds)
        waiting_jobs = [wait_for(days, cluster) for days in range(5, 29, 4)]
        turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        ranks = newest_change_first(cluster.jobs)
        above = ranks.index(waiting_jobs[3]) - 150
        assert_only_deleted(cluster, [*ranks[above : above + in_front], waiting_jobs[3]])

    @pytest.mark.parametrize("page_cap", [20, 100])
    def test_of_the_very_last_job_where_no_total_tells_that_the_list_ends(
        self, page_cap: int
    ) -> None:
        """It waited at the end of a list of which only a day is kept."""
        cluster = unread(page_cap * 3, "total-missing", page_cap=page_cap, history_seconds=DAY)
        last = wait_for(200, cluster)
        turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        assert newest_change_first(cluster.jobs)[-1] == last
        assert_only_deleted(cluster, [last])

    def test_of_a_recent_job_and_another_far_down_where_no_total_tells(self) -> None:
        """The head misses one; and the end of the list is two ranks higher, not one."""
        cluster = settled(1_500, "total-missing")
        ended = ended_newest_first(cluster.jobs)
        assert_only_deleted(cluster, [ended[10], ended[1_000]])

    def test_of_a_recent_job_while_another_is_submitted_where_no_total_tells(self) -> None:
        """The head misses one; and the end of the list is where it was."""
        cluster = settled(1_500, "total-missing")

        def submit_once() -> None:
            cluster.now_at += 1
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            cluster.between_calls = lambda: None

        cluster.between_calls = submit_once
        assert_only_deleted(cluster, [ended_newest_first(cluster.jobs)[10]])

    def test_of_a_job_that_ends_between_two_syncs_and_goes_between_two_calls(self) -> None:
        """In two syncs, it is seen at the head and then is there no more. Another was deleted before
        each, so that there is something to make further calls for."""
        cluster = settled(1_500)
        running = [job.uuid for job in cluster.jobs.jobs() if job.status == "running"]
        ended = ended_newest_first(cluster.jobs)
        for uuid, other in zip(running[:2], ended[700:702], strict=True):
            cluster.now_at += 55
            cluster.jobs.end(uuid, cluster.now_at)
            cluster.jobs.delete([other])
            cluster.between_calls = delete_once(cluster, uuid)
            assert cluster.turn(5).strategy == "delta"
            assert uuid not in cluster.jobs
            assert cluster.turn().strategy == "delta"
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            assert cluster.turn().strategy == "delta"
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("minutes", [2, 10])
    def test_of_a_quarter_that_is_away_for_some_minutes_three_times(self, minutes: int) -> None:
        """As where one part of the server's database does not answer. What has changed there meanwhile is stamped
        so much earlier than what was known when it is back."""
        cluster = settled(1_500)
        for _ in range(3):
            part = set(sorted(cluster.jobs.uuids())[::4])
            running = [uuid for uuid in cluster.jobs.uuids({"running"}) if uuid in part]
            away = {uuid: cluster.jobs.row(uuid) for uuid in part}
            cluster.jobs.delete(part)
            traffic = Traffic(cluster)
            traffic.turns(minutes, 2)
            for uuid, row in away.items():
                cluster.jobs.put_back(uuid, row)
            cluster.jobs.end(running[0], cluster.now_at - 60 * minutes + 30)
            traffic.turns(TURNS_OF_AN_AUDIT_INTERVAL, 2)
            assert cluster.turn().strategy == "delta"
            assert cluster.profile.order.contradictions == 0
            assert cluster.counted() == cluster.true_counts()


def delete_once(cluster: SimulatedCluster, uuid: str) -> Callable[[], None]:
    def delete() -> None:
        cluster.jobs.delete([uuid])
        cluster.between_calls = lambda: None

    return delete


class TestManyStrewnJobsWaitWhereNoFilterTells:
    """Behind the edge of what is kept, each has to be looked up where it stands."""

    JOBS = 80
    CALLS_A_JOB = 8
    """To look one up and see that it stands there. The search starts where the last one ended: one
    from the edge for each of them would take twice as many."""

    def strewn(self) -> tuple[SimulatedCluster, list[str]]:
        cluster = unread(1_500, "filters-ignored", page_cap=10, history_seconds=DAY)
        jobs = [wait_for(3 + 80 * n / self.JOBS, cluster) for n in range(self.JOBS)]
        turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        return cluster, jobs

    def test_all_that_are_deleted_are_found_within_an_audit_interval(self) -> None:
        """Wherever on a page they stood."""
        cluster, jobs = self.strewn()
        assert_only_deleted(cluster, jobs[10:64])

    def test_an_audit_costs_a_few_calls_for_each(self) -> None:
        cluster, _ = self.strewn()
        calls = most_calls(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        assert calls <= self.CALLS_A_JOB * self.JOBS


def test_a_probe_amid_a_thousand_jobs_of_one_second_reads_only_a_few_of_them() -> None:
    """An array was cancelled at once. Two probes of three fall into the middle of it, where no page
    shows a job of another second; to read it whole, each time, would take its ten pages and more."""
    cluster = unread(500)
    at = START_AT - 20 * DAY
    for uuid in [cluster.jobs.submit(at, queue="q", user="u") for _ in range(1_000)]:
        cluster.jobs.cancel(uuid, at + 2)
    turns(cluster, 2)
    assert cluster.ledger.progress.complete
    assert most_calls(cluster, 3 * TURNS_OF_AN_AUDIT_INTERVAL) <= CALLS_AT_REST
    assert cluster.counted() == cluster.true_counts()


def test_a_scan_whose_jobs_the_syncs_have_met_completes() -> None:
    """No order can be used. The budget leaves a scan twenty calls after each sync, and the sweeps
    of these have met the jobs of ninety pages that the scan has yet to read."""
    cluster = unread(150, "sort-ignored", page_cap=10, active=0, newest_at=START_AT - 100_000)
    for n in range(800):
        cluster.jobs.submit(START_AT - 90_000 + n, queue="q", user="u")
    cluster.calls_between = 20
    turns(cluster, 12)
    assert cluster.ledger.progress.complete
    assert cluster.counted() == cluster.true_counts()


class TestDeletionsGoOnWhileTheyAreSearched:
    """Somebody deletes a thousand jobs, one after the other. What has been found stays found, the
    next sync goes on, and in the end all is right."""

    def followed(self, cluster: SimulatedCluster, doomed: Sequence[str]) -> None:
        left = list(doomed)

        def delete_at_every_second_call() -> None:
            cluster.now_at += 0.3
            if left and cluster.calls % 2:
                cluster.jobs.delete([left.pop(0)])

        cluster.between_calls = delete_at_every_second_call
        for _ in range(6):
            now, left = left[:30], left[30:]
            cluster.jobs.delete(now)
            assert cluster.turn().strategy == "delta"
        cluster.between_calls = lambda: None
        cluster.jobs.delete(left)
        turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        assert cluster.counted() == cluster.true_counts()
        assert cluster.profile.order.contradictions == 0

    def test_the_oldest(self) -> None:
        cluster = settled(1_500)
        self.followed(cluster, ended_newest_first(cluster.jobs)[::-1][:400])

    def test_from_the_middle(self) -> None:
        cluster = settled(1_500)
        self.followed(cluster, ended_newest_first(cluster.jobs)[500:900])

    def test_an_array_that_was_cancelled_in_one_second(self) -> None:
        cluster = settled(1_500)
        array = [cluster.jobs.submit(cluster.now_at, queue="q", user="u") for _ in range(500)]
        cluster.turn()
        for uuid in array:
            cluster.jobs.cancel(uuid, cluster.now_at)
        turns(cluster, TURNS_OF_AN_AUDIT_INTERVAL)
        self.followed(cluster, array[:400])


def test_a_job_that_starts_while_its_status_is_audited_has_not_changed_unseen() -> None:
    cluster = settled(1_500)
    fresh: list[str] = []

    def one_starts_and_two_are_submitted() -> None:
        cluster.now_at += 1
        if fresh:
            cluster.jobs.start(fresh.pop(), cluster.now_at)
        fresh.extend(cluster.jobs.submit(cluster.now_at, queue="q", user="u") for _ in range(2))

    cluster.between_calls = one_starts_and_two_are_submitted
    assert turns(cluster, 60) == {}
    assert cluster.profile.order.contradictions == 0


class TestStampsThatComeLate:
    """Some nodes' clocks are behind: their changes come below what is read again for late stamps."""

    def live(self, cluster: SimulatedCluster, turns: int, late_seconds: int) -> int:
        """So many syncs with 200 changes each, of which a sixth come late. Returns the calls."""
        jobs, dice, before = cluster.jobs, Random(turns), cluster.calls
        for _ in range(turns):
            waiting, running = jobs.uuids({"pending"}), jobs.uuids({"running"})
            for number in range(66):
                cluster.now_at += 0.8
                at, late_at = cluster.now_at, cluster.now_at - late_seconds * (number % 4 == 0)
                waiting.append(jobs.submit(at, queue="q", user="u"))
                jobs.start(waiting[number], late_at)
                running.append(waiting[number])
                ending = running.pop(dice.randrange(len(running) - 1))
                jobs.end(ending, max(late_at, jobs.get(ending).modified_at))
            with suppress(SyncError):
                cluster.turn(7.2)
        return cluster.calls - before

    @pytest.mark.parametrize("late_seconds", [20, 50, 110])
    def test_the_order_stands_and_syncs_stay_cheap(self, late_seconds: int) -> None:
        cluster = settled(3_000)
        for _ in range(
            150
        ):  # no job starts so soon that its start seems to be before its submission
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        self.live(cluster, 100, late_seconds)
        assert cluster.profile.order.contradictions <= 1
        assert self.live(cluster, 20, late_seconds) <= 20 * 12
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()
