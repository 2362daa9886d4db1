"""Decoding clusters, queues and nodes: tolerant in form, silent about what is not told."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.siblings import (
    decode_clusters,
    decode_nodes,
    decode_queue_detail,
    decode_queues,
)
from exporter.errors import PayloadError, RefusedError
from exporter.model import Amount, ListedCluster, ListedNode, ListedQueue, ListPage

GIB = 2**30
DECODERS: list[Callable[[bytes], Any]] = [
    decode_clusters,
    decode_queues,
    decode_queue_detail,
    decode_nodes,
]
LISTS = ("cluster_set", "hpc_queue_set", "detail", "hpc_app_nodes_set")

CLUSTER = {
    "cluster_id": "ehpc-ut2ua3b0", "cluster_name": "hpc-test", "cluster_type": "ehpc",
    "cluster_status": "active", "pending_job_count": 1, "running_job_count": 2,
    "finished_job_count": 2, "stopped_job_count": 1, "deleted_job_count": 0,
    "cpu_hours": 446.200560295289, "mem_hours": 1.76, "total_node_count": 1,
}  # fmt: skip
READ_CLUSTER = ListedCluster(
    "ehpc-ut2ua3b0", "hpc-test", "active",
    {"pending": 1, "running": 2, "finished": 2, "stopped": 1}, "ehpc", 446.200560295289,
)  # fmt: skip
EHPC_QUEUE = {
    "hpcqueue_id": "ehpcq-6cyb1096", "name": "默认队列", "partition_name": "normal",
    "default_queue": 1, "nodelist": [1],
    "node_info": [{"status": "active", "server_id": 1, "name": "计算节点1"}],
    "spec_detail": {"cpu_num": 26, "mem_size": 80, "gpu_num": 0},
}  # fmt: skip
READ_EHPC_QUEUE = ListedQueue(
    "ehpcq-6cyb1096", ("默认队列", "normal", "ehpcq-6cyb1096"),
    Amount(26.0), Amount(0.0), Amount(80.0 * GIB), {"active": 1},
)  # fmt: skip
DETAIL = {
    "njobs": 9, "npend": 1, "nrun": 2, "total_slots": 224, "avail_slots": 136, "free_slots": "",
    "total_gpus": 8, "avail_gpus": "0", "total_mems": "750", "avail_mems": 618.5, "node_num": 5,
    "name": "q", "hpcqueue_id": "hpcq-1", "scheduler_queue_name": "vis",
}  # fmt: skip


def answer(**fields: Any) -> bytes:
    return json.dumps({"ret_code": 0} | fields).encode()


@pytest.mark.parametrize(
    "record",
    [
        CLUSTER,
        {"app_cluster": CLUSTER},
        {"app_cluster": CLUSTER, "pending_job_count": "1"},
        dict.fromkeys(CLUSTER) | {"app_cluster": CLUSTER, "cluster_status": ""},
        CLUSTER | {"app_cluster": None, "cpu_hours": "446.200560295289", "cluster_type": " EHPC"},
    ],
)
def test_a_cluster(record: Any) -> None:
    listing = decode_clusters(answer(cluster_set=[record], total_count="301"))
    assert (listing.items, listing.records, listing.total_count) == ((READ_CLUSTER,), 1, 301)


def test_names_beyond_measure() -> None:
    """An identity that was cut would be nobody's: such a cluster is left out."""
    records = [CLUSTER | {"cluster_id": "e" * 201}, CLUSTER | {"cluster_name": "n" * 10**6}]
    listing = decode_clusters(answer(cluster_set=records, total_count=2))
    assert [(each.cluster_id, len(each.name)) for each in listing.items] == [("ehpc-ut2ua3b0", 200)]
    assert listing.records == 2


def test_what_a_cluster_does_not_tell() -> None:
    told = {"cluster_id": "hpc-1", "pending_job_count": "", "running_job_count": -1,
            "cpu_hours": ""}  # fmt: skip
    listing = decode_clusters(answer(cluster_set=[told, {"cluster_name": "without an id"}]))
    assert listing.items == (ListedCluster("hpc-1", "", "", {}, "", None),)
    assert (listing.records, listing.total_count) == (2, None)


@pytest.mark.parametrize("name", ["hpc_queue_set", "queues_set", "queue_set"])
def test_a_queue_by_either_name_of_the_list(name: str) -> None:
    listing = decode_queues(answer(**{name: [EHPC_QUEUE]}, total_count=1))
    assert listing.items == (READ_EHPC_QUEUE,)


def test_a_queue_whose_numbers_are_texts() -> None:
    spec = {"cpu_num": "26", "mem_size": "80.0", "gpu_num": ""}
    listing = decode_queues(answer(queues_set=[EHPC_QUEUE | {"spec_detail": spec}]))
    assert listing.items == (READ_EHPC_QUEUE._replace(gpus=Amount()),)


@pytest.mark.parametrize("spec", [None, "", [], 7])
def test_a_queue_that_tells_no_capacity(spec: Any) -> None:
    record = {"name": "gpu", "spec_detail": spec, "node_info": spec}
    listing = decode_queues(answer(hpc_queue_set=[record, {}]))
    assert listing.items == (ListedQueue("", ("gpu",), Amount(), Amount(), Amount(), {}),)
    assert listing.records == 2


@pytest.mark.parametrize("detail", [[DETAIL], DETAIL])
def test_what_is_free_in_a_queue(detail: Any) -> None:
    assert decode_queue_detail(answer(detail=detail)) == ListedQueue(
        "hpcq-1", ("q", "vis", "hpcq-1"),
        Amount(224.0, 136.0), Amount(8.0, 0.0), Amount(750.0 * GIB, 618.5 * GIB), {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("total", "free", "room"),
    [
        (224, 244, Amount(224.0)),  # more than there is
        (224, "", Amount(224.0)),
        (224, -1, Amount(224.0)),
        ("", 5, Amount()),
        (True, 1, Amount()),
        (float("1e300"), 1, Amount()),
        (0, 0, Amount(0.0, 0.0)),
    ],
)
def test_room_that_cannot_be(total: Any, free: Any, room: Amount) -> None:
    queue = decode_queue_detail(answer(detail=[{"total_slots": total, "avail_slots": free}]))
    assert queue is not None
    assert queue.cores == room


def test_a_detail_of_nothing() -> None:
    assert decode_queue_detail(answer(detail=[])) is None
    assert decode_queue_detail(answer(detail=None)) is None


@pytest.mark.parametrize(
    ("info", "queue"),
    [
        ("gpu", "gpu"),
        ({"name": "gpu", "hpcqueue_id": "q1"}, "gpu"),
        ({"hpcqueue_id": "q1"}, "q1"),
        ([{"queue_name": "gpu"}, {"queue_name": "cpu"}], "gpu"),
        ([], ""),
        (None, ""),
        ({}, ""),
        (7, "7"),
        ("q" * 300, "q" * 199 + "…"),
    ],
)
def test_a_node_and_its_queue(info: Any, queue: str) -> None:
    record = {"role": "Compute", "status": " active ", "queue_info": info, "env": "secret"}
    listing = decode_nodes(answer(hpc_app_nodes_set=[record], total_count=1))
    assert listing.items == (ListedNode("compute", "active", queue),)
    assert "secret" not in repr(listing)


@pytest.mark.parametrize(("decode", "name"), list(zip(DECODERS, LISTS, strict=True)))
def test_answers_that_tell_nothing(decode: Callable[[bytes], Any], name: str) -> None:
    assert not getattr(decode(answer(**{name: None})), "items", None)
    for body, error in (
        (answer(), PayloadError),
        (answer(**{name: "text"}), PayloadError),
        (answer(**{name: ["text"]}), PayloadError),
        (answer(**{name: []}, ret_code=None), PayloadError),
        (answer(ret_code=1400, message="no"), RefusedError),
        (b"<html>", PayloadError),
        (b"", PayloadError),
    ):
        with pytest.raises(error):
            decode(body)


@pytest.mark.parametrize(("decode", "name"), list(zip(DECODERS, LISTS, strict=True)))
def test_a_record_that_is_null_hides_no_other(decode: Callable[[bytes], Any], name: str) -> None:
    record = {"cluster_id": "a", "name": "a", "role": "login"}
    read = decode(answer(**{name: [record, None, None]}))
    alone = decode(answer(**{name: [record]}))
    if isinstance(read, ListPage):
        assert (read.records, read.items[:1]) == (3, alone.items)
    else:
        assert read == alone


@pytest.mark.parametrize(("decode", "name"), list(zip(DECODERS, LISTS, strict=True))[:2])
def test_an_empty_list_need_not_be_there(decode: Callable[[bytes], Any], name: str) -> None:
    del name
    assert decode(answer(total_count=0)).items == ()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({*CLUSTER, *EHPC_QUEUE, *DETAIL, "role", "status", "queue_info", "app_cluster"})


@given(records=st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING), max_size=3))
def test_whatever_a_field_holds(records: list[dict[str, Any]]) -> None:
    for decode, name in zip(DECODERS, LISTS, strict=True):
        read = decode(answer(**{name: records}))
        if isinstance(read, ListPage):
            assert read.records == len(records)
