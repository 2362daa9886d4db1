"""The calls that are made, beside the fewest that anybody could do with."""

from dataclasses import replace
from math import ceil, log2
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.simulator import JobList, ListedJob, fill
from exporter.sync.replica import Replica
from tests.unit.sync.fewest import calls_to_begin, calls_to_see_changes, in_order
from tests.unit.sync.settled import Traffic, settled
from tests.unit.sync.simulated import START_AT, SimulatedCluster

COUNT = 2_000
EXTRA_OF_A_DELTA = 1
"""Times have steps of a second: the page after the last change is read, too, if it began in it."""
OVERLAP = 100 / 98
"""Pages overlap by a job, so that the chain is seen to be unbroken; and jobs stamped late are met."""
OF_A_SEARCH = 2 * log2(COUNT / 100) + 4
"""For one run of deleted jobs (the project's figure)."""


def quiet() -> SimulatedCluster:
    """A settled cluster whose audits are not due for long."""
    cluster = settled(COUNT)
    cluster.replica.settings = replace(cluster.settings, audit_interval_seconds=1e9)
    cluster.refresh()
    return cluster


def refresh(cluster: SimulatedCluster) -> int:
    """The calls of one sync. Its counts are right."""
    before = cluster.calls
    cluster.now_at += 60
    cluster.refresh()
    assert cluster.counted() == cluster.true_counts()
    return cluster.calls - before


def delete_run(cluster: SimulatedCluster, first: float, length: int) -> None:
    """Jobs that changed one after the other; ``first`` is a part of the list."""
    jobs = in_order(cluster.jobs)
    at = int(first * (len(jobs) - length))
    cluster.jobs.delete([job.uuid for job in jobs[at : at + length]])


@given(st.lists(st.sampled_from((0, 0, 1, 20, 33, 34, 70, 300)), min_size=1, max_size=6))
@example([0] * 6)
@settings(max_examples=12, deadline=None)
def test_a_refresh_costs_what_has_changed(changes: list[int]) -> None:
    cluster = quiet()
    traffic = Traffic(cluster)
    after = in_order(cluster.jobs)
    for triples in changes:
        before = after
        traffic.pass_by(triples, seconds=0.2)
        after = in_order(cluster.jobs)
        fewest = calls_to_see_changes(before, after)
        assert fewest <= refresh(cluster) <= ceil(fewest * OVERLAP) + EXTRA_OF_A_DELTA


def test_in_a_steady_state_that_is_hardly_more_than_the_fewest() -> None:
    cluster = quiet()
    traffic = Traffic(cluster)
    calls = fewest = 0
    after = in_order(cluster.jobs)
    for _ in range(60):
        before = after
        traffic.pass_by(20, seconds=3)
        after = in_order(cluster.jobs)
        fewest += calls_to_see_changes(before, after)
        calls += refresh(cluster)
    assert calls <= 1.05 * fewest


@given(first=st.floats(0, 1), length=st.integers(1, 300), triples=st.integers(0, 40))
@settings(max_examples=12, deadline=None)
def test_one_run_of_deleted_jobs_costs_a_search(first: float, length: int, triples: int) -> None:
    cluster = quiet()
    before: list[ListedJob] = in_order(cluster.jobs)
    delete_run(cluster, first, length)
    Traffic(cluster).pass_by(triples)
    fewest = calls_to_see_changes(before, in_order(cluster.jobs))
    assert fewest <= refresh(cluster) <= fewest + OF_A_SEARCH


@given(triples=st.integers(0, 400))
@settings(max_examples=8, deadline=None)
def test_after_a_restart_too(triples: int) -> None:
    cluster = quiet()
    before = in_order(cluster.jobs)
    Traffic(cluster).pass_by(triples)
    cluster.replica = Replica(cluster.ledger, cluster.settings, Random(1))
    fewest = calls_to_see_changes(before, in_order(cluster.jobs))
    assert fewest <= refresh(cluster) <= ceil(fewest * OVERLAP) + EXTRA_OF_A_DELTA


@given(active=st.integers(0, 1_500), seed=st.integers(0, 9))
@settings(max_examples=12, deadline=None)
def test_the_first_counts_cost_what_is_active(active: int, seed: int) -> None:
    listed = JobList()
    fill(listed, COUNT, active=active, now_at=START_AT - 5, seed=seed)
    cluster = SimulatedCluster(jobs=listed, seed=seed)
    cluster.refresh()
    fewest = calls_to_begin(listed)
    assert cluster.active_is_right()
    # Of each of the two lists, a page more may begin.
    assert fewest <= cluster.calls <= ceil(fewest * OVERLAP) + 4


def test_what_the_fewest_are() -> None:
    jobs = [ListedJob(f"job-{n}", n, "finished", "q", "u", 1, 0, 0, 1000 - n) for n in range(500)]
    changed = jobs[450]._replace(status="exited", modified_at=2000)
    assert calls_to_see_changes(jobs, jobs) == 1
    assert calls_to_see_changes(jobs, [changed, *jobs[:450], *jobs[451:]]) == 1
    assert calls_to_see_changes(jobs, jobs[:200] + jobs[300:]) == 1
    assert calls_to_see_changes(jobs, jobs[:100] + jobs[101:250] + jobs[251:]) == 2
    assert calls_to_see_changes(jobs, jobs[:300]) == 1
    assert calls_to_see_changes(jobs[250:], jobs) == 3
    assert calls_to_see_changes(jobs, []) == 1
    assert calls_to_see_changes([], jobs) == 5
    assert calls_to_see_changes(jobs[100:], [*jobs[:100], *jobs[101:]]) == 2
