"""Capacity in, families out."""

import dataclasses

import pytest

from exporter import collector
from exporter.clock import Instant
from exporter.model import Amount
from exporter.snapshot import Capacity, ClusterState, QueueCapacity, SnapshotBoard
from tests.unit.board_states import NOON_AT, capacity, good_state, new_state, snapshot
from tests.unit.collected import collect, values

GIB = 2**30


def test_what_queues_can_run_by_the_name_that_their_jobs_have() -> None:
    families = collect(good_state())
    cores = values(families["ehpc_queue_cores"], "queue")
    assert cores == {("vis",): 26, ("idle",): 512}
    assert values(families["ehpc_queue_cores_available"], "queue") == {("vis",): 22}
    assert values(families["ehpc_queue_gpus"], "queue") == {("vis",): 0}
    assert values(families["ehpc_queue_gpus_available"], "queue") == {("vis",): 0}
    assert values(families["ehpc_queue_memory_bytes"], "queue") == {("vis",): 8 * GIB}
    assert values(families["ehpc_queue_memory_available_bytes"], "queue") == {("vis",): GIB}
    jobs = values(families["ehpc_jobs_submitted"], "queue")
    assert ("vis",) in jobs


def test_nodes() -> None:
    families = collect(good_state())
    assert values(families["ehpc_queue_nodes"], "queue", "status") == {
        ("vis", "active"): 2, ("vis", "stopped"): 1, ("idle", "active"): 0, ("idle", "stopped"): 4,
    }  # fmt: skip
    assert values(families["ehpc_nodes"], "role", "status") == {
        ("login", "active"): 1, ("compute", "active"): 2, ("compute", "stopped"): 5,
    }  # fmt: skip


def test_the_cluster_itself() -> None:
    families = collect(good_state(), new_state())
    assert values(families["ehpc_cluster_status"], "cluster_name", "status") == {
        ("cfd", "active"): 1
    }
    assert values(families["ehpc_cluster_core_hours"], "cluster_name") == {("cfd",): 446.25}
    assert values(families["ehpc_cluster_listed_jobs"], "status") == {
        ("pending",): 2, ("running",): 4, ("finished",): 1200,
    }  # fmt: skip
    told = values(families["ehpc_capacity_timestamp_seconds"], "cluster_name")
    assert told == {("cfd",): NOON_AT - 60}


def test_what_is_not_told_is_not_there() -> None:
    untold = Capacity(taken=None, served_seconds=0.0)
    families = collect(dataclasses.replace(good_state(), capacity=untold))
    for name in collector.CAPACITY_GAUGES | {"ehpc_capacity_timestamp_seconds"}:
        assert families[name].samples == [], name


def queue(*names: str, cores: Amount, nodes: int) -> QueueCapacity:
    return QueueCapacity(names, cores, Amount(), Amount(), {"active": nodes})


def test_queues_beyond_the_limit_stand_with_the_other_jobs() -> None:
    folded = dataclasses.replace(snapshot(), folded_queues=2)
    queues = (
        queue("可视化", "vis", cores=Amount(26.0, 22.0), nodes=1),
        queue("one", cores=Amount(10.0, 4.0), nodes=1),
        queue("two", cores=Amount(20.0, 0.0), nodes=2),
    )
    state = dataclasses.replace(
        good_state(),
        snapshot=folded,
        capacity=dataclasses.replace(capacity(), queues=queues),
    )
    families = collect(state)
    assert values(families["ehpc_queue_cores"], "queue") == {("vis",): 26, ("_other",): 30}
    free = values(families["ehpc_queue_cores_available"], "queue")
    assert free == {("vis",): 22, ("_other",): 4}
    assert values(families["ehpc_queue_nodes"], "queue")["_other",] == 3
    untold = (*queues, queue("three", cores=Amount(5.0), nodes=1))
    state = dataclasses.replace(state, capacity=dataclasses.replace(capacity(), queues=untold))
    families = collect(state)
    assert values(families["ehpc_queue_cores"], "queue")["_other",] == 35
    assert ("_other",) not in values(families["ehpc_queue_cores_available"], "queue")


def test_before_any_jobs_are_known_queues_have_their_own_names() -> None:
    families = collect(dataclasses.replace(good_state(), snapshot=None))
    assert set(values(families["ehpc_queue_cores"], "queue")) == {("可视化",), ("idle",)}


@pytest.mark.parametrize(
    ("age", "age_monotonic", "shown"),
    [(1800, 1800, True), (1800.1, 0, False), (-3600, 1800, True), (0, 1800.1, False)],
)
def test_capacity_goes_when_it_is_too_old(age: float, age_monotonic: float, shown: bool) -> None:
    taken = dataclasses.replace(capacity(), taken=Instant(NOON_AT, 1000.0))
    state = dataclasses.replace(good_state(taken_at=NOON_AT + age), capacity=taken)
    families = collect(state, now=Instant(NOON_AT + age, 1000.0 + age_monotonic))
    for name in collector.CAPACITY_GAUGES:
        assert bool(families[name].samples) == shown, name
    assert families["ehpc_capacity_timestamp_seconds"].samples
    assert families["ehpc_jobs"].samples


def test_a_name_that_goes_to_another_cluster_leaves_capacity_behind() -> None:
    board, state = SnapshotBoard(), good_state()
    board.publish(dataclasses.replace(state, capacity=None))
    board.publish_capacity(state.identity, capacity())
    other = dataclasses.replace(state.identity, cluster_id="ehpc-another")
    board.publish(dataclasses.replace(state, identity=other, capacity=None))
    assert board.current()["cfd"].capacity is None
    board.publish_capacity(state.identity, capacity())  # by a round that is under way
    assert board.current()["cfd"].capacity is None
    board.publish_capacity(other, capacity())
    renamed = dataclasses.replace(other, labels=(("site", "jinan"),))
    board.publish(dataclasses.replace(state, identity=renamed, capacity=None))
    assert board.current()["cfd"].capacity == capacity(), "it is the same cluster"


def test_capacity_has_a_publisher_of_its_own() -> None:
    board = SnapshotBoard()
    bare = dataclasses.replace(good_state(), capacity=None)
    board.publish_capacity(bare.identity, capacity())
    assert not board.current()
    board.publish(bare)
    board.publish_capacity(bare.identity, capacity())
    before = board.current()["cfd"]
    board.publish_capacity(bare.identity, capacity())
    assert board.current()["cfd"] is before
    assert before == good_state()
    board.publish(dataclasses.replace(bare, tried=False))
    assert board.current()["cfd"] == dataclasses.replace(good_state(), tried=False)
    board.publish_capacity(bare.identity, None)
    assert board.current()["cfd"] == ClusterState(
        **{f.name: getattr(bare, f.name) for f in dataclasses.fields(bare)} | {"tried": False}
    )
