"""The made-up world: always legal, always the same by its seed, in steps of any size."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import END_STATUSES, JobList, ListedJob
from exporter.simulator.engine import Engine, Plan, World
from exporter.simulator.workload import (
    ClusterProfile,
    Inhabitants,
    QueueProfile,
    demo_profiles,
    rate_factor,
)
from exporter.simulator.worldclock import WorldClock

DAY = 86400
START_AT = 1_700_006_400
LEGAL = END_STATUSES | {"pending", "running", "suspended"}
SMALL = ClusterProfile(
    "ehpc-small",
    "jinan1a",
    400,
    2,
    (QueueProfile("默认队列", 3, 900), QueueProfile("debug", 1, 60, headroom=0.9)),
    ("u1", "李娜", 'o"brien'),
)
slow = settings(max_examples=15)


def a_world(seed: int = 1, profile: ClusterProfile = SMALL) -> tuple[JobList, Engine]:
    jobs = JobList()
    return jobs, Inhabitants(profile, jobs, START_AT, seed).engine


def check_invariants(jobs: JobList, engine: Engine) -> None:
    busy: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for job in jobs.jobs():
        assert job.status in LEGAL
        assert START_AT <= job.submitted_at <= job.modified_at <= engine.now_at
        assert job.queue in engine.queues
        check_times(job)
        if job.status in {"running", "suspended"}:
            busy[job.queue] += job.cores
        if job.status == "pending":
            waiting[job.queue] += 1
    for name, fifo in engine.queues.items():
        assert busy[name] == fifo.cores - fifo.free == engine.cores_busy(name)
        assert 0 <= fifo.free <= fifo.cores
        assert waiting[name] == len(fifo.waiting)
        assert not fifo.waiting or fifo.waiting[0].cores > fifo.free
    assert sum(jobs.counts().values()) == len(jobs)


def check_times(job: ListedJob) -> None:
    if job.status == "pending":
        assert job.started_at is None
    elif job.status == "running":
        assert job.started_at is not None
        assert job.submitted_at <= job.started_at <= job.modified_at
    elif job.status in {"finished", "exited"}:
        assert job.started_at is not None
        assert job.started_at <= job.modified_at


@given(seed=st.integers(0, 10**6), steps=st.lists(st.integers(0, 20_000), max_size=12))
@slow
def test_the_world_is_legal_at_any_moment(seed: int, steps: list[int]) -> None:
    jobs, engine = a_world(seed)
    at = START_AT
    for step in steps:
        at += step
        engine.advance_to(at)
        check_invariants(jobs, engine)


@given(
    seed=st.integers(0, 10**6),
    moments=st.lists(st.integers(0, 3 * DAY), max_size=8, unique=True).map(sorted),
)
@slow
def test_the_size_of_the_steps_does_not_matter(seed: int, moments: list[int]) -> None:
    at_once, engine = a_world(seed)
    engine.advance_to(START_AT + 3 * DAY)
    step_by_step, engine = a_world(seed)
    for moment in [*moments, 3 * DAY]:
        engine.advance_to(START_AT + moment)
    assert list(at_once.jobs()) == list(step_by_step.jobs())


def test_seeds_make_worlds_differ() -> None:
    worlds = []
    for seed in (1, 2):
        jobs, engine = a_world(seed)
        engine.advance_to(START_AT + DAY)
        worlds.append(list(jobs.jobs()))
    assert worlds[0] != worlds[1]
    assert all(len(world) > 100 for world in worlds)


def test_everything_that_can_happen_happens() -> None:
    jobs, engine = a_world(7, replace(SMALL, jobs_per_day=2000, keep_days=20))
    statuses, requeued, deleted, waits = set[str](), set[str](), 0, 0
    started: dict[str, int] = {}
    for hour in range(24 * 3):
        engine.advance_to(START_AT + hour * 3600)
        now = {job.uuid: job for job in jobs.jobs()}
        statuses |= {job.status for job in now.values()}
        waits += sum(job.status == "pending" for job in now.values())
        requeued |= {
            uuid for uuid in started if uuid in now and now[uuid].started_at != started[uuid]
        }
        deleted += sum(uuid not in now for uuid in started)
        started = {uuid: job.started_at for uuid, job in now.items() if job.started_at}
    assert statuses == LEGAL
    assert requeued
    assert deleted
    assert waits
    names = {name for key in jobs.counts() for name in (key.queue, key.user)}
    assert {"默认队列", "李娜", 'o"brien'} <= names


def test_old_jobs_are_purged() -> None:
    jobs, engine = a_world(3)
    engine.advance_to(START_AT + 10 * DAY)
    ended = [job for job in jobs.jobs() if job.status in END_STATUSES]
    assert ended
    assert min(job.modified_at for job in ended) >= START_AT + (10 - SMALL.keep_days - 1) * DAY
    young, engine = a_world(3, replace(SMALL, keep_days=100))
    engine.advance_to(START_AT + 10 * DAY)
    assert len(young) > 2 * len(jobs)


def test_days_have_waves_and_weeks_have_weekends() -> None:
    monday = 1_699_804_800  # midnight in China
    by_hour = [rate_factor(monday + hour * 3600) for hour in range(24)]
    assert max(by_hour) > 5 * min(by_hour)
    assert 12 <= by_hour.index(max(by_hour)) <= 18
    assert rate_factor(monday + 5 * DAY + 50_000) < rate_factor(monday + 50_000) / 2
    week = [rate_factor(monday + quarter * 900) for quarter in range(7 * 96)]
    assert sum(week) / len(week) == pytest.approx(1, abs=0.06)


def test_demo_clusters_are_distinct_and_stay_the_same() -> None:
    many = demo_profiles(30)
    assert len({profile.cluster_id for profile in many}) == 30
    assert demo_profiles(3) == many[:3]
    assert all(len(profile.cluster_id.partition("-")[2]) == 8 for profile in many)


# The engine itself


def a_queue(cores: int = 4) -> tuple[JobList, Engine]:
    jobs = JobList()
    engine = Engine(jobs, 1000)
    engine.add_queue("q", cores)
    return jobs, engine


def put(engine: Engine, at: int, *, cores: int = 1, run: int = 100) -> Plan:
    return engine.submit(at, queue="q", user="u", cores=cores, run_seconds=run, outcome="finished")


def statuses(jobs: JobList) -> list[str]:
    return [job.status for job in jobs.jobs()]


def test_jobs_start_in_the_order_in_which_they_came() -> None:
    jobs, engine = a_queue()
    for cores in (3, 4, 1):
        put(engine, 1000, cores=cores)
    assert statuses(jobs) == ["running", "pending", "pending"]
    engine.advance_to(1099)
    assert statuses(jobs) == ["running", "pending", "pending"]
    engine.advance_to(1100)
    assert statuses(jobs) == ["finished", "running", "pending"]
    engine.advance_to(1200)
    assert statuses(jobs) == ["finished", "finished", "running"]
    assert put(engine, 1200, cores=99).cores == 4


def test_cancelled_jobs_give_their_place_and_never_end_again() -> None:
    jobs, engine = a_queue(1)
    first, second, third = (put(engine, 1000) for _ in range(3))
    engine.cancel(second, 1010)
    engine.cancel(first, 1020)
    assert statuses(jobs) == ["cancelled", "cancelled", "running"]
    engine.cancel(first, 1030)
    engine.advance_to(1119)
    assert statuses(jobs)[2] == "running"
    engine.advance_to(1120)
    assert statuses(jobs) == ["cancelled", "cancelled", "finished"]
    assert [job.modified_at for job in jobs.jobs()] == [1020, 1010, 1120]
    assert third.state == "over"


def test_requeued_jobs_run_from_their_beginning() -> None:
    jobs, engine = a_queue(1)
    first, second = put(engine, 1000), put(engine, 1000)
    engine.requeue(first, 1050)
    assert statuses(jobs) == ["pending", "running"]
    assert jobs.get(first.uuid).started_at is None
    engine.requeue(first, 1060)
    engine.advance_to(1249)
    assert statuses(jobs) == ["running", "finished"]
    engine.advance_to(1250)
    assert statuses(jobs) == ["finished", "finished"]
    assert second.uuid in jobs


def test_suspended_jobs_keep_their_cores_and_run_what_is_left() -> None:
    jobs, engine = a_queue(1)
    first = put(engine, 1000)
    put(engine, 1000)
    engine.suspend(first, 1030, 50)
    assert statuses(jobs) == ["suspended", "pending"]
    engine.advance_to(1100)
    assert statuses(jobs) == ["running", "pending"]
    engine.advance_to(1149)
    assert statuses(jobs) == ["running", "pending"]
    engine.advance_to(1150)
    assert statuses(jobs) == ["finished", "running"]


def test_a_suspended_job_that_is_cancelled_does_not_come_back() -> None:
    jobs, engine = a_queue(1)
    first = put(engine, 1000)
    engine.suspend(first, 1030, 50)
    engine.cancel(first, 1040)
    engine.advance_to(5000)
    assert statuses(jobs) == ["cancelled"]
    assert engine.cores_busy("q") == 0


def test_a_backlog_waits_and_can_be_cancelled() -> None:
    jobs, engine = a_queue(4)
    world = World([("c", engine)])
    world.advance_to(2000)
    assert world.submit_backlog("c", queue="q", jobs=10) == 9
    assert world.submit_backlog("c", queue="fresh", jobs=3, cores=2) == 2
    assert world.cancel_backlog("c", "q") == 9
    assert world.cancel_backlog("c", "absent") == 0
    assert Counter(statuses(jobs)) == {"running": 2, "cancelled": 9, "pending": 2}
    world.advance_to(2000 + 3 * 3600)
    assert Counter(statuses(jobs)) == {"finished": 4, "cancelled": 9}


def test_the_worlds_time() -> None:
    clock = WorldClock(real_at=100.0, world_at=5000.0, speed=60.0)
    assert clock.world_at(101.0) == 5060
    clock.set_speed(110.0, 0.0)
    assert clock.world_at(500.0) == 5600
    clock.jump(510.0, 40.0)
    assert clock.world_at(600.0) == 5640
    clock.set_speed(600.0, 1.0)
    assert clock.world_at(601.0) == 5641
    assert clock.world_at(0.0) == 5640
