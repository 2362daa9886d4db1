"""Finding what was deleted: right at once, and in few calls."""

from collections import Counter
from contextlib import suppress
from math import log2
from random import Random

import pytest

from exporter.errors import SyncError
from exporter.model import Job, Page
from exporter.profile import Profile, Trait
from exporter.simulator import DIALECTS, JobList
from exporter.sync.asking import Ask, CollapseUnconfirmed
from exporter.sync.context import BY_CHANGE, BY_SUBMISSION
from exporter.sync.reconcile import boundaries, look_at, page_at, reconcile, search, whole
from exporter.sync.replica import Refreshed
from tests.unit.sync.answers import AT, MovingList, a_sync, converse, numbered
from tests.unit.sync.settled import SETTINGS, calls_of_a_turn, settled
from tests.unit.sync.simulated import START_AT, SimulatedCluster


def goal(count: int) -> int:
    """Most calls for one run of deleted jobs (the project's figure)."""
    return int(2 * log2(count / 100) + 4)


def in_order(cluster: SimulatedCluster, by: str) -> list[str]:
    """Identities, oldest first."""
    jobs = sorted(cluster.jobs.jobs(), key=lambda job: (getattr(job, by), job.job_id))
    return [job.uuid for job in jobs]


RUNS = {
    "oldest": lambda uuids, length: uuids[:length],
    "newest": lambda uuids, length: uuids[-length:],
    "middle": lambda uuids, length: uuids[len(uuids) // 2 : len(uuids) // 2 + length],
    "a third": lambda uuids, length: uuids[len(uuids) // 3 : len(uuids) // 3 + length],
    "near the end": lambda uuids, length: uuids[150 : 150 + length],
}


class TestOneRun:
    @pytest.mark.parametrize("run", RUNS)
    @pytest.mark.parametrize(
        ("count", "length"), [(2_000, 1), (2_000, 30), (2_000, 700), (10_000, 30)]
    )
    def test_submitted_one_after_the_other(self, count: int, run: str, length: int) -> None:
        cluster = settled(count)
        cluster.jobs.delete(RUNS[run](in_order(cluster, "submitted_at"), length))
        refreshed = self._found_at_once(cluster, count)
        assert refreshed.corrections == {"deleted": length}

    @pytest.mark.parametrize("length", [1, 30])
    @pytest.mark.parametrize("run", ["oldest", "newest", "a third"])
    def test_changed_one_after_the_other(self, run: str, length: int) -> None:
        """Where the server sorts by the last change alone, or that is how they were chosen."""
        cluster = settled(2_000, "sort-by-modified-only")
        cluster.jobs.delete(RUNS[run](in_order(cluster, "modified_at"), length))
        self._found_at_once(cluster, 2_000)

    @pytest.mark.parametrize("seed", range(3))
    def test_together_with_new_jobs(self, seed: int) -> None:
        cluster = settled(2_000, seed=seed)
        cluster.jobs.delete(RUNS["middle"](in_order(cluster, "submitted_at"), 50))
        for _ in range(30):
            cluster.jobs.submit(cluster.now_at + 30, queue="q", user="u")
        self._found_at_once(cluster, 2_000)

    def _found_at_once(self, cluster: SimulatedCluster, count: int) -> Refreshed:
        before = cluster.calls
        cluster.now_at += 60
        refreshed = cluster.refresh()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.calls - before <= goal(count)
        assert refreshed.strategy == "delta"
        return refreshed


@pytest.mark.parametrize("seed", range(4))
def test_several_runs_are_found_within_a_few_syncs(seed: int) -> None:
    cluster = settled(2_000, seed=seed)
    dice = Random(seed)
    uuids = in_order(cluster, "submitted_at")
    for _ in range(4):
        start = dice.randrange(len(uuids) - 40)
        cluster.jobs.delete(uuids[start : start + 20])
        del uuids[start : start + 20]
    calls = [calls_of_a_turn(cluster) for _ in range(3)]
    assert cluster.counted() == cluster.true_counts()
    assert max(calls) <= 4 * goal(2_000)


def test_jobs_scattered_all_over_cost_no_more_than_reading_the_list() -> None:
    cluster = settled(2_000)
    uuids = in_order(cluster, "submitted_at")
    cluster.jobs.delete(Random(1).sample(uuids, 200))
    calls = [calls_of_a_turn(cluster) for _ in range(10)]
    assert cluster.counted() == cluster.true_counts()
    assert sum(calls) <= 150


def test_a_deletion_that_new_jobs_hide_from_the_total_is_found_by_the_audits() -> None:
    cluster = settled(2_000)
    cluster.jobs.delete(in_order(cluster, "submitted_at")[700:712])
    for _ in range(12):
        cluster.jobs.submit(cluster.now_at + 1, queue="q", user="u")
    found = Counter[str]()
    for _ in range(10):
        cluster.now_at += 60
        found.update(cluster.refresh().corrections)
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("left", [3, 0])
def test_that_most_of_the_list_is_deleted_is_believed_when_it_is_seen_again(left: int) -> None:
    """What it costs is the confirmation."""
    cluster = settled(2_000)
    uuids = in_order(cluster, "submitted_at")
    cluster.jobs.delete(uuids[: len(uuids) - left])
    before, counted = cluster.calls, cluster.counted()
    with pytest.raises(CollapseUnconfirmed):
        cluster.turn()
    assert cluster.counted() == counted
    cluster.turn()
    assert cluster.counted() == cluster.true_counts()
    assert cluster.calls - before <= 5


class TestTies:
    """Hundreds of jobs of the same second, as an array job makes them."""

    @pytest.mark.parametrize(
        "dialect", ["documented", "ties-reversed", "ties-shuffled", "small-pages"]
    )
    @pytest.mark.parametrize("tied", [100, 106, 350])
    def test_a_deletion_among_them(self, dialect: str, tied: int) -> None:
        listed = JobList()
        uuids = []
        for number in range(900):
            at = START_AT - 90_000 + (300 if 300 <= number < 300 + tied else number)
            uuid = listed.submit(at, queue="q", user="u")
            listed.start(uuid, at)
            listed.end(uuid, at)
            uuids.append(uuid)
        cluster = SimulatedCluster(DIALECTS[dialect], SETTINGS, jobs=listed)
        for _ in range(12):
            with suppress(SyncError):  # a history in an order that changes may be hard to read
                cluster.turn()
        assert cluster.counted() == cluster.true_counts()
        cluster.jobs.delete(uuids[310:317])
        cluster.turn()
        assert cluster.ledger.size == len(cluster.jobs)
        for _ in range(12):
            cluster.turn()
        assert cluster.ledger.known(uuids).keys() == {job.uuid for job in cluster.jobs.jobs()}

    @pytest.mark.parametrize("left", [97, 98, 99, 100])
    def test_a_page_of_them_at_the_head(self, left: int) -> None:
        """A page that begins with the job before them cannot show the one behind them, too."""
        listed = JobList()
        uuids = []
        for number in range(500):
            at = START_AT - 90_000 + min(number, 300) + (number == 499)
            uuid = listed.submit(at, queue="q", user="u")
            listed.start(uuid, at)
            listed.end(uuid, at)
            uuids.append(uuid)
        cluster = SimulatedCluster(DIALECTS["documented"], SETTINGS, jobs=listed)
        cluster.turn()
        cluster.jobs.delete(uuids[310 : 310 + 199 - left])
        cluster.turn()
        assert cluster.ledger.known(uuids).keys() == {job.uuid for job in cluster.jobs.jobs()}

    def test_hundreds_that_change_in_one_second_are_a_few_pages(self) -> None:
        cluster = settled(2_000)
        at = cluster.now_at + 30
        uuids = [cluster.jobs.submit(at, queue="q", user="u") for _ in range(400)]
        assert calls_of_a_turn(cluster) <= 7
        assert cluster.counted() == cluster.true_counts()
        at = cluster.now_at + 30
        for uuid in uuids:
            cluster.jobs.cancel(uuid, at)
        assert calls_of_a_turn(cluster) <= 7
        assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("dialect", ["documented", "total-missing", "sort-by-modified-only"])
@pytest.mark.parametrize("seed", range(3))
def test_it_goes_on_while_the_search_goes_on(dialect: str, seed: int) -> None:
    """Jobs are submitted, start and end between the calls of the search itself."""
    cluster = settled(2_000, dialect, seed=seed)
    dice = Random(seed)
    cluster.jobs.delete(RUNS["a third"](in_order(cluster, "submitted_at"), 40))

    def between() -> None:
        cluster.now_at += dice.choice((0, 1))
        if dice.random() < 0.5:
            cluster.jobs.submit(cluster.now_at, queue="q", user="u")
        running = [job.uuid for job in cluster.jobs.jobs() if job.status == "running"]
        cluster.jobs.end(dice.choice(running), cluster.now_at)

    cluster.between_calls = between
    for _ in range(2):
        cluster.turn()
    cluster.between_calls = lambda: None
    for _ in range(10):
        cluster.turn()
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("tied", [1, 20])
@pytest.mark.parametrize("growth", [3, 4, 9])
def test_jobs_are_not_looked_up_for_ever_in_a_list_that_grows_as_fast_as_it_is_read(
    tied: int, growth: int
) -> None:
    jobs = [job._replace(submitted_at=AT - place // tied) for place, job in enumerate(numbered(60))]
    order = Trait("submission", "seen")
    with a_sync(Profile(order=order), jobs, expected=60) as sync:

        def grow(listed: list[Job]) -> None:
            newer = numbered(len(listed) + growth, at=AT + len(listed))[len(listed) :]
            listed[:0] = [job._replace(submitted_at=AT + len(listed)) for job in newer]

        server = MovingList(jobs, acts=dict.fromkeys(range(2000), grow))
        with pytest.raises(SyncError, match="moves too fast"):
            converse(look_at(sync, BY_SUBMISSION, jobs[50:]), server.answer)


def test_a_second_that_cannot_be_read_whole_is_not_tried_for_ever() -> None:
    """For instance because its pages come from a cache, and half of its jobs are on none."""
    jobs = numbered(50)
    jobs[10:40] = [job._replace(modified_at=AT - 20) for job in jobs[10:40]]
    listed = MovingList(jobs, cap=10)
    listed.jobs[25:40] = jobs[10:25]
    profile = Profile(order=Trait("change"), total_count=Trait("filtered"), page_size=Trait("10"))
    with a_sync(profile, jobs[:5], newest_at=AT, expected=50) as sync:
        converse(search(sync, BY_CHANGE, whole(sync)), listed.answer)
    assert len(listed.asked) < 100


def test_no_page_is_asked_for_behind_the_end_of_a_list_that_is_shorter_than_was_known() -> None:
    """A server that shows only a part of longer lists may refuse it."""
    jobs = numbered(60)
    listed = MovingList(jobs[:30])
    profile = Profile(order=Trait("submission"), total_count=Trait("filtered"))
    with a_sync(profile, jobs, newest_at=AT, expected=30) as sync:
        converse(look_at(sync, BY_SUBMISSION, jobs[50:51]), listed.answer)
    assert max(listed.asked) < 30


@pytest.mark.parametrize("oldest", [98, 99, 100, 198])
def test_the_oldest_second_may_have_any_number_of_jobs(oldest: int) -> None:
    """With the job in front of them, 99 are as many as a full page, behind which others may follow."""
    listed = JobList()
    for number in range(400):
        at = START_AT - 90_000 + max(0, number - oldest + 1)
        uuid = listed.submit(at, queue="q", user="u")
        listed.start(uuid, at)
        listed.end(uuid, at)
    cluster = SimulatedCluster(DIALECTS["documented"], SETTINGS, jobs=listed)
    for _ in range(3):
        cluster.turn()
    assert cluster.ledger.progress.complete
    assert cluster.counted() == cluster.true_counts()


@pytest.mark.parametrize("cap", [4, 10])
@pytest.mark.parametrize("deleted", [10, 30])
@pytest.mark.parametrize("call", range(1, 12))
def test_a_job_is_looked_up_though_many_are_deleted_meanwhile(
    cap: int, deleted: int, call: int
) -> None:
    """Its place is then in front of where it was looked for before."""
    jobs = numbered(200)

    def delete(listed: list[Job]) -> None:
        del listed[5 : 5 + deleted]

    profile = Profile(order=Trait("submission"), total_count=Trait("filtered"))
    with a_sync(profile, jobs, newest_at=AT, expected=200) as sync:
        listed = MovingList(jobs, cap=cap, acts={call: delete})
        page = converse(page_at(sync, BY_SUBMISSION, AT - 150, 20), listed.answer)
    assert "job-0150" in page.uuids
    assert len(listed.asked) < 30


def test_a_second_in_any_order_is_read_whole_while_jobs_are_submitted() -> None:
    jobs, dice = numbered(60), Random(1)
    jobs[20:50] = [job._replace(submitted_at=AT - 20) for job in jobs[20:50]]

    def act(listed: list[Job]) -> None:
        listed[:0] = numbered(1, at=AT + len(listed))
        tied = [place for place, job in enumerate(listed) if job.submitted_at == AT - 20]
        shuffled = listed[tied[0] : tied[-1] + 1]
        dice.shuffle(shuffled)
        listed[tied[0] : tied[-1] + 1] = shuffled

    profile = Profile(order=Trait("submission"), total_count=Trait("filtered"))
    with a_sync(profile, jobs[:5], newest_at=AT, expected=60) as sync:
        listed = MovingList(jobs, cap=10, acts=dict.fromkeys(range(2000), act))
        page = converse(page_at(sync, BY_SUBMISSION, AT - 20, 20), listed.answer)
    assert {*page.uuids} >= {job.uuid for job in jobs[20:50]}
    assert len(page.jobs) == 32


@pytest.mark.parametrize("place", [0, 25, 45, -1])
@pytest.mark.parametrize("calls", [2, 3])
def test_a_second_is_read_whole_while_jobs_are_deleted(place: int, calls: int) -> None:
    """In front of it, in it and behind it, one at every second or third call."""
    jobs = numbered(100)
    jobs[20:70] = [job._replace(submitted_at=AT - 20) for job in jobs[20:70]]
    profile = Profile(order=Trait("submission"), total_count=Trait("filtered"))
    with a_sync(profile, jobs[:5], newest_at=AT, expected=100) as sync:
        acts = {call: lambda listed: listed.pop(place) for call in range(calls, 2000, calls)}
        listed = MovingList(jobs, cap=10, acts=acts)
        page = converse(page_at(sync, BY_SUBMISSION, AT - 20, 20), listed.answer)
        assert {*page.uuids} >= {job.uuid for job in listed.jobs if job.submitted_at == AT - 20}
        assert len(listed.asked) <= 12
        found = boundaries(page, BY_SUBMISSION)
        assert (found[0].at, found[-1].at) == (AT - 19, AT - 20)
        assert abs(found[-1].rank + 30) <= len(listed.asked)


def test_a_second_is_read_whole_though_jobs_in_it_were_known_with_a_later_change() -> None:
    """The clocks of two machines differ: it was queued again a moment before it ended, by the stamps after that."""
    jobs = numbered(60)
    jobs[20:50] = [job._replace(modified_at=AT - 20) for job in jobs[20:50]]
    known = [job._replace(status="pending", modified_at=AT - 18) for job in jobs[30:33]]
    profile = Profile(order=Trait("change"), total_count=Trait("filtered"), page_size=Trait("10"))
    with a_sync(profile, known, newest_at=AT, expected=60) as sync:
        listed = MovingList(jobs, cap=10)
        page = converse(page_at(sync, BY_CHANGE, AT - 20, 20), listed.answer)
    assert {*page.uuids} >= {job.uuid for job in jobs[20:50]}
    assert len(listed.asked) <= 6


def test_what_one_order_cannot_show_is_searched_in_the_other() -> None:
    """For instance because all were submitted in one second, and a cache shows half of them on no page."""
    jobs = [job._replace(submitted_at=AT) for job in numbered(60)]
    by_change, by_submission = MovingList(jobs, cap=10), MovingList(jobs, cap=10)
    del by_change.jobs[40]
    by_submission.jobs = [*jobs[:10], *jobs[:49]]
    profile = Profile(order=Trait("change"), total_count=Trait("filtered"), page_size=Trait("10"))

    def answer(ask: Ask) -> Page:
        listed = by_change if ask.query.sort_key == "modified_time" else by_submission
        return listed.answer(ask)

    with a_sync(profile, jobs, newest_at=AT, expected=59, unread=0) as sync:
        converse(reconcile(sync, BY_CHANGE), answer)
        assert sync.total_fits()
        assert sync.ledger.suspects == 1
