"""Decoding the answers of the calls other than job/list (API reference, section 6): clusters,
queues, nodes. Pure.

A number may be written as a text, be ``""`` or be missing, a list may have either of its names, and
the fields of a cluster may be nested in ``app_cluster``. What is not told is None, or not there: a
wrong capacity is worse than none. Of a node nothing is read but what is counted: its record holds
what only its administrators may see.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from exporter.api.answer import (
    LONGEST_NAME,
    Reply,
    as_text,
    bad,
    shortened,
    total_count_of,
    understood,
    whole_number,
)
from exporter.model import Amount, ListedCluster, ListedNode, ListedQueue, ListPage

_GIB = 2**30
_MOST = 2**53
"""A larger number cannot be a real quantity."""
_COUNTED = ("pending", "running", "finished", "stopped")
"""Statuses of which cluster/list counts the jobs."""
_QUEUE_NAMES = (
    "queue_name",
    "name",
    "hpq_name",
    "scheduler_queue_name",
    "partition_name",
    "hpcqueue_id",
)
"""The fields by which jobs may call a queue, in the order in which a job's own are asked."""

Scrub = Callable[[str], str]


class _Clusters(Reply):
    total_count: Any = None
    cluster_set: list[dict[str, Any] | None] | UnsetType | None = UNSET


class _Queue(msgspec.Struct):
    # Any: how a value is written must not make an answer bad. Fields not named here are skipped.
    queue_name: Any = None
    name: Any = None
    hpq_name: Any = None
    scheduler_queue_name: Any = None
    partition_name: Any = None
    hpcqueue_id: Any = None
    spec_detail: Any = None
    node_info: Any = None
    total_slots: Any = None
    avail_slots: Any = None
    total_gpus: Any = None
    avail_gpus: Any = None
    total_mems: Any = None
    avail_mems: Any = None


class _Queues(Reply):
    total_count: Any = None
    hpc_queue_set: list[_Queue | None] | UnsetType | None = UNSET
    queues_set: list[_Queue | None] | UnsetType | None = UNSET
    queue_set: list[_Queue | None] | UnsetType | None = UNSET


class _Detail(Reply):
    detail: list[_Queue | None] | _Queue | UnsetType | None = UNSET


class _Node(msgspec.Struct):
    status: Any = None
    role: Any = None
    queue_info: Any = None


class _Nodes(Reply):
    total_count: Any = None
    hpc_app_nodes_set: list[_Node | None] | UnsetType | None = UNSET


_CLUSTERS = msgspec.json.Decoder(_Clusters)
_QUEUES = msgspec.json.Decoder(_Queues)
_DETAIL = msgspec.json.Decoder(_Detail)
_NODES = msgspec.json.Decoder(_Nodes)


def decode_clusters(body: bytes, *, scrub: Scrub = str) -> ListPage[ListedCluster]:
    """The clusters of cluster/list. Raises RefusedError or PayloadError, as do the others."""
    answer = understood(_CLUSTERS, body, scrub)
    total_count = total_count_of(answer.total_count)
    records = _list(answer.cluster_set, "cluster_set", total_count)
    clusters = tuple(each for record in records if (each := _cluster(record)).cluster_id)
    return ListPage(clusters, len(records), total_count)


def decode_queues(body: bytes, *, scrub: Scrub = str) -> ListPage[ListedQueue]:
    """The queues of queue/ehpc/getQueueList, or of queue/getCurrentQueue."""
    answer = understood(_QUEUES, body, scrub)
    total_count = total_count_of(answer.total_count)
    named = (answer.hpc_queue_set, answer.queues_set, answer.queue_set)
    there = next((each for each in named if not isinstance(each, UnsetType)), UNSET)
    records = _list(there, "list of queues", total_count)
    queues = tuple(queue for record in records if (queue := _queue(record)).names)
    return ListPage(queues, len(records), total_count)


def decode_queue_detail(body: bytes, *, scrub: Scrub = str) -> ListedQueue | None:
    """The queue of queue/describeQueue; None where it tells of none."""
    detail = understood(_DETAIL, body, scrub).detail
    records = [detail] if isinstance(detail, _Queue) else _list(detail, "detail", None)
    return _queue(records[0]) if records else None


def decode_nodes(body: bytes, *, scrub: Scrub = str) -> ListPage[ListedNode]:
    """The nodes of cluster/listNodes."""
    answer = understood(_NODES, body, scrub)
    total_count = total_count_of(answer.total_count)
    records = _list(answer.hpc_app_nodes_set, "hpc_app_nodes_set", total_count)
    nodes = tuple(map(_node, records))
    return ListPage(nodes, len(nodes), total_count)


def _list(records: Any, name: str, total_count: int | None) -> Sequence[Any]:
    if isinstance(records, UnsetType) and total_count != 0:
        raise bad(f"the answer has no {name}")
    return () if isinstance(records, UnsetType) or records is None else records


def _cluster(record: Mapping[str, Any] | None) -> ListedCluster:
    outer = record or {}
    nested = outer.get("app_cluster")
    # What the outer level leaves empty may be told by the inner one.
    told = {name: value for name, value in outer.items() if value not in (None, "")}
    fields = {**nested, **told} if isinstance(nested, dict) else outer
    counts = {each: whole_number(fields.get(f"{each}_job_count")) for each in _COUNTED}
    cluster_id = as_text(fields.get("cluster_id")).strip()
    return ListedCluster(
        cluster_id=cluster_id if len(cluster_id) <= LONGEST_NAME else "",  # cut, it is nobody's
        name=shortened(as_text(fields.get("cluster_name"))),
        status=_word(fields.get("cluster_status")),
        jobs={each: count for each, count in counts.items() if count is not None and count >= 0},
        kind=_word(fields.get("cluster_type")),
        core_hours=_number(fields.get("cpu_hours")),
    )


def _queue(record: _Queue | None) -> ListedQueue:
    record = record or _Queue()
    names = (as_text(getattr(record, field)) for field in _QUEUE_NAMES)
    spec = record.spec_detail if isinstance(record.spec_detail, dict) else {}
    return ListedQueue(
        queue_id=as_text(record.hpcqueue_id).strip(),
        names=tuple(dict.fromkeys(shortened(name) for name in names if name.strip())),
        cores=_amount(spec.get("cpu_num"), record.total_slots, record.avail_slots),
        gpus=_amount(spec.get("gpu_num"), record.total_gpus, record.avail_gpus),
        memory_bytes=_amount(spec.get("mem_size"), record.total_mems, record.avail_mems, _GIB),
        nodes=_nodes(record.node_info),
    )


def _node(record: _Node | None) -> ListedNode:
    node = record or _Node()
    return ListedNode(_word(node.role), _node_status(node.status), _queue_of_node(node.queue_info))


def _amount(specified: Any, total: Any, available: Any, unit: int = 1) -> Amount:
    """What is free belongs to the total that came with it: sources may count in different units."""
    counted, free = _number(total), _number(available)
    if counted is None:
        whole = _number(specified)
        return Amount(None if whole is None else whole * unit)
    free = None if free is None or free > counted else free * unit
    return Amount(counted * unit, free)


def _nodes(node_info: Any) -> Mapping[str, int]:
    """How many nodes are in each status; empty where that is not told."""
    nodes = node_info if isinstance(node_info, list) else ()
    return Counter(_node_status(node.get("status")) for node in nodes if isinstance(node, dict))


def _queue_of_node(info: Any) -> str:
    """The queue of a node: its name, its record, or a list of these, as its form is not documented."""
    if isinstance(info, list):
        info = info[0] if info else None
    if isinstance(info, dict):
        names = (as_text(info.get(field)) for field in _QUEUE_NAMES)
        return shortened(next((name for name in names if name.strip()), ""))
    return shortened(as_text(info))


def _word(value: Any) -> str:
    """A status or role: one of the server's own words."""
    return shortened(as_text(value).strip().lower())


def _node_status(value: Any) -> str:
    """``unknown`` where it is missing: a node without a state is no reason for an alert."""
    return _word(value) or "unknown"


def _number(value: Any) -> float | None:
    """A quantity however it is written: 12, 12.5, "12"; None for what is none, or less than 0."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number < _MOST else None
