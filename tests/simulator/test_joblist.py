"""The job list against a plain list of tuples that is sorted and filtered anew at every look."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import JobKey, JobList, JobRow, ListedJob, Order, TieOrder, Transition, fill
from exporter.simulator.ordering import OrderedKeys

FIELDS = {
    Order.MODIFIED: lambda job: job.modified_at,
    Order.SUBMITTED: lambda job: job.submitted_at,
    Order.STARTED: lambda job: max(0, job.started_at or 0),
    Order.JOB_ID: lambda job: job.job_id,
    Order.UUID: lambda job: job.uuid,
}


def plainly(
    jobs: list[ListedJob], order: Order, descending: bool, ties: TieOrder
) -> list[ListedJob]:
    by_id = sorted(jobs, key=lambda job: job.job_id, reverse=ties is TieOrder.REVERSED)
    return sorted(by_id, key=FIELDS[order], reverse=descending)


@st.composite
def histories(draw: st.DrawFn) -> JobList:
    """A list after random changes, looked at in between so that indices are kept up to date."""
    jobs = JobList(uuid_salt=draw(st.integers(0, 2**45)))
    uuids: list[str] = []
    rng = random.Random(draw(st.integers(0, 2**32)))
    at = 1000
    for _ in range(draw(st.integers(0, 40))):
        at += rng.choice([0, 0, 1, 5])
        deed = rng.randrange(9)
        if deed < 3 or not uuids:
            queue, user = rng.choice("PQ"), rng.choice("uvw")
            uuids.append(jobs.submit(at, queue=queue, user=user, cores=rng.randrange(3)))
            continue
        uuid = rng.choice(uuids)
        if deed == 3:
            jobs.start(uuid, at)
        elif deed == 4:
            jobs.end(uuid, at, rng.choice(["finished", "exited"]))
        elif deed == 5:
            jobs.requeue(uuid, at, moves_modified=rng.random() < 0.5)
        elif deed == 6:
            jobs.edit(uuid, at, queue=rng.choice("PQR"), status=rng.choice(["stopped", None]))
        elif deed == 7:
            jobs.delete([uuid])
            uuids.remove(uuid)
        else:
            jobs.page(
                order=rng.choice(list(Order)),
                descending=rng.random() < 0.5,
                status=rng.choice([None, "pending", "running"]),
                queue=rng.choice([None, "P"]),
                ties=rng.choice(list(TieOrder)),
            )
    assert len(jobs) == len(uuids)
    assert all(uuid in jobs for uuid in uuids)
    return jobs


@given(
    jobs=histories(),
    order=st.sampled_from(list(Order)),
    descending=st.booleans(),
    ties=st.sampled_from([TieOrder.STABLE, TieOrder.REVERSED]),
    offset=st.integers(0, 30),
    limit=st.integers(0, 20),
    status=st.sampled_from([None, "pending", "running", "unheard"]),
    queue=st.sampled_from([None, "P", "R"]),
    user=st.sampled_from([None, "u"]),
)
@settings(max_examples=400)
def test_a_page_is_a_slice_of_the_sorted_and_filtered_list(
    *,
    jobs: JobList,
    order: Order,
    descending: bool,
    ties: TieOrder,
    offset: int,
    limit: int,
    status: str | None,
    queue: str | None,
    user: str | None,
) -> None:
    wanted = [
        job
        for job in jobs.jobs()
        if status in {None, job.status} and queue in {None, job.queue} and user in {None, job.user}
    ]
    page = jobs.page(
        order=order,
        descending=descending,
        offset=offset,
        limit=limit,
        status=status,
        queue=queue,
        user=user,
        ties=ties,
    )
    assert page.matching == len(wanted)
    assert page.jobs == plainly(wanted, order, descending, ties)[offset : offset + limit]


@given(jobs=histories(), descending=st.booleans(), seed=st.integers(0, 99))
def test_shuffled_ties_stay_within_their_second(jobs: JobList, descending: bool, seed: int) -> None:
    rng = random.Random(seed)
    ask: dict[str, Any] = {
        "order": Order.MODIFIED,
        "descending": descending,
        "ties": TieOrder.SHUFFLED,
    }
    whole = jobs.page(limit=1000, rng=rng, **ask).jobs
    assert sorted(whole) == sorted(jobs.jobs())
    times = [job.modified_at for job in whole]
    assert times == sorted(times, reverse=descending)
    some = jobs.page(offset=3, limit=7, rng=rng, **ask).jobs
    assert [job.modified_at for job in some] == times[3:10]
    assert len(set(some)) == len(some)


def test_shuffled_ties_differ_from_call_to_call() -> None:
    jobs = JobList()
    for _ in range(50):
        jobs.submit(1000, queue="q", user="u")
    rng = random.Random(1)
    pages = [tuple(jobs.page(limit=10, ties=TieOrder.SHUFFLED, rng=rng).jobs) for _ in range(4)]
    assert len(set(pages)) == len(pages)
    assert len(set().union(*pages)) > 10


def test_transitions_that_are_still_leave_modified_time() -> None:
    jobs = JobList()
    jobs.still_transitions = frozenset({Transition.START})
    uuid = jobs.submit(1000, queue="q", user="u")
    jobs.start(uuid, 1010)
    assert jobs.get(uuid)[6:] == (1000, 1010, 1000)
    jobs.start(uuid, 1011, moves_modified=True)
    assert jobs.get(uuid).modified_at == 1011
    jobs.end(uuid, 1020, "exited")
    assert jobs.get(uuid).modified_at == 1020
    jobs.edit(uuid, 1030, user="v")
    assert jobs.get(uuid)[2:] == ("exited", "q", "v", 1, 1000, 1011, 1020)
    jobs.requeue(uuid, 1040)
    assert jobs.get(uuid)[5:] == (1, 1000, None, 1040)


def test_identities_are_told_of_all_jobs_or_of_those_in_some_statuses() -> None:
    jobs = JobList()
    first, second, third = [jobs.submit(1000, queue="q", user="u") for _ in range(3)]
    jobs.start(second, 1010)
    jobs.delete([third])
    assert jobs.uuids() == [first, second]
    assert jobs.uuids({"running", "no such word"}) == [second]


def test_what_is_not_in_the_list_is_a_key_error() -> None:
    jobs = JobList()
    uuid = jobs.submit(1000, queue="q", user="u")
    other = JobList(uuid_salt=5).submit(1000, queue="q", user="u")
    jobs.delete([uuid])
    for absent in (uuid, other, "", "hpcjob-", "hpcjob-zzzzzzzz", "!"):
        assert absent not in jobs
        with pytest.raises(KeyError):
            jobs.get(absent)
        with pytest.raises(KeyError):
            jobs.start(absent, 1001)


def test_identities_are_never_taken_twice_nor_shared_by_lists() -> None:
    first, second = JobList(uuid_salt=1), JobList(uuid_salt=2)
    for jobs in (first, second):
        jobs.load(JobRow("pending", "q", "u", 1, 5, None, 5) for _ in range(3000))
    identities = {job.uuid for jobs in (first, second) for job in jobs.jobs()}
    assert len(identities) == 6000
    assert all(len(identity) == len("hpcjob-vka21yhq") for identity in identities)


def test_a_bulk_list_has_what_was_ordered() -> None:
    jobs = JobList()
    fill(jobs, 5000, active=300, now_at=1_000_000_000, seed=3)
    by_status: Counter[str] = Counter()
    for key, count in jobs.counts().items():
        assert isinstance(key, JobKey)
        by_status[key.status] += count
    assert by_status.total() == len(jobs) == 5000
    assert by_status["pending"] + by_status["running"] == 300
    assert 0 < by_status["exited"] < by_status["finished"]
    for job in jobs.jobs():
        started = job.submitted_at if job.started_at is None else job.started_at
        assert job.submitted_at <= started <= job.modified_at <= 1_000_000_000
    with pytest.raises(ValueError, match="11 active jobs of 10"):
        fill(JobList(), 10, active=11, now_at=0)


def test_ordered_keys_agree_with_a_sorted_list_through_splits_and_emptied_chunks() -> None:
    rng = random.Random(7)
    keys = OrderedKeys(range(0, 30_000, 3))
    plain = list(range(0, 30_000, 3))
    fresh = [key for key in range(30_000) if key % 3]
    rng.shuffle(fresh)
    for key in fresh[:9000]:
        keys.add(key)
    plain = sorted(plain + fresh[:9000])
    for key in plain[2000:12_000]:
        keys.remove(key)
    del plain[2000:12_000]
    assert list(keys) == plain
    assert len(keys) == len(plain)
    for _ in range(300):
        key, start = rng.randrange(31_000), rng.randrange(len(plain) + 5)
        assert keys.rank(key) == sum(other < key for other in plain)
        assert keys.slice(start, start + 100) == plain[start : start + 100]
    for absent in (plain[0] - 1 if plain[0] else 40_000, 40_000):
        with pytest.raises(KeyError):
            keys.remove(absent)
