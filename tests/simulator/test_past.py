"""A lagging copy against snapshots of the list, and a cache that does not grow without end."""

import random

import pytest

from exporter.simulator import JobList, ListedJob, Order
from exporter.simulator.past import LaggingCopy, PageCache

AT = 1_700_000_000


def happen(jobs: JobList, at: int, rng: random.Random) -> None:
    """Something, perhaps."""
    uuids = [job.uuid for job in jobs.jobs()]
    deed = rng.randrange(7) if uuids else 0
    if deed == 0:
        jobs.submit(at, queue=rng.choice("PQ"), user="u")
    elif deed == 1:
        jobs.start(rng.choice(uuids), at)
    elif deed == 2:
        jobs.end(rng.choice(uuids), at, "exited")
    elif deed == 3:
        jobs.edit(rng.choice(uuids), at, queue="R")
    elif deed == 4:
        jobs.delete([rng.choice(uuids)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lag_seconds", [5, 20])
def test_it_is_the_list_as_it_was(seed: int, lag_seconds: int) -> None:
    rng = random.Random(seed)
    jobs = JobList(uuid_salt=seed)
    copy = LaggingCopy(jobs, AT)
    snapshots: dict[int, list[ListedJob]] = {AT: []}
    for at in range(AT + 1, AT + 120):
        copy.look(at)  # as a deletion tells no time
        for _ in range(rng.choice((0, 1, 4))):
            happen(jobs, at, rng)
        snapshots[at] = list(jobs.jobs())
        if rng.random() < 0.4 and at - lag_seconds >= AT:
            late = copy.as_of(lag_seconds, at)
            assert list(late.jobs()) == snapshots[at - lag_seconds]
            for order in Order:
                page = late.page(order=order, limit=1000, queue="P")
                assert page == late.copy().page(order=order, limit=1000, queue="P")


def test_it_keeps_no_change_that_it_has_taken_over() -> None:
    jobs = JobList()
    copy = LaggingCopy(jobs, AT)
    for second in range(1, 500):
        jobs.submit(AT + second, queue="q", user="u")
        copy.as_of(5, AT + second)
    assert len(copy._late) == 5
    assert jobs.log == []


def test_a_cache_drops_what_is_too_old() -> None:
    cache = PageCache()
    for number in range(5000):
        cache.put({"offset": str(number)}, 20, AT + number, {"ret_code": 0})
    assert len(cache._pages) <= 1000
    assert cache.get({"offset": "4990"}, 20, AT + 5000) == {"ret_code": 0}
    assert cache.get({"offset": "4980"}, 20, AT + 5000) is None
