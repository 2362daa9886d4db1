"""cluster/list, the calls for queues, listNodes: from the parameters of a request to its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.simulator.fleet_dialect import FleetDialect
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.plant import NODE_CORES, Node, Queue, cores_busy
from exporter.simulator.records import CONTENT_MARK, queue_fields
from exporter.simulator.refusal import DEFAULT_LIMIT, RefusalError, refusal, whole_number

_MOST_LIMIT = 100
_HPC = "hpc"
_MB_PER_CORE = 4096
_LISTING = ("limit", "offset", "search_word", "sort_key", "reverse")
_CREATED = "2021-08-17T09:11:16Z"


@dataclass(frozen=True, slots=True)
class FleetCall:
    """One call beside job/list. It is about one cluster, but for cluster/list."""

    action: str
    word: str
    """One of ``fleet_dialect.CALLS``."""
    parameters: frozenset[str]
    """Its own that are known; those of the documentation and of the vendor's own client."""


CLUSTERS = "/api/cluster/list"
EHPC_QUEUES = "/api/queue/ehpc/getQueueList"
HPC_QUEUES = "/api/queue/getCurrentQueue"
QUEUE = "/api/queue/describeQueue"
NODES = "/api/cluster/listNodes"

FLEET_CALLS: Mapping[str, FleetCall] = {
    CLUSTERS: FleetCall(
        "HpcClusterListClusterResponse",
        "clusters",
        frozenset(
            {
                *_LISTING,
                *("cluster_id", "owner", "cluster_type", "status", "verbose", "start_time"),
                *("end_time", "iam_cluster_ids", "run_user", "shared_status"),
            }
        ),
    ),
    EHPC_QUEUES: FleetCall(
        "HpcQueueGetEhpcQueueListResponse",
        "queues",
        frozenset({*_LISTING, "cluster_id", "is_active", "name", "queue_ids"}),
    ),
    HPC_QUEUES: FleetCall(
        "HpcQueueGetCurrentQueueResponse",
        "queues",
        frozenset({*_LISTING, "cluster_id", "belong", "owner", "zone_id"}),
    ),
    QUEUE: FleetCall(
        "HpcQueueDescribeQueueResponse", "queue", frozenset({"cluster_id", "id", "owner"})
    ),
    NODES: FleetCall(
        "HpcClusterGetClusterNodesResponse",
        "nodes",
        frozenset({*_LISTING, "cluster_id", "status", "health_status", "node_role", "verbose"}),
    ),
}
"""By path."""


def check_call(path: str, method: str, params: Mapping[str, str], dialect: FleetDialect) -> None:
    """Raises ``RefusalError`` where the cloud does not understand a request, or does not allow it."""
    call = FLEET_CALLS[path]
    known_method = dialect.queue_method if path == EHPC_QUEUES else "GET"
    if known_method not in {method, "either"}:
        raise refusal(dialect.unknown, f"InvalidRequestMethod, [{method}] not allowed")
    if path == HPC_QUEUES and dialect.queue_zone not in params:
        raise refusal(dialect.unknown, "InvalidRequestFormat, missing parameter [zone_id]")
    unknown = params.keys() - call.parameters - {"zone"}
    if unknown and dialect.unknown_param != "ignored":
        names = ", ".join(sorted(unknown))
        raise refusal(dialect.unknown_param, f"InvalidRequestFormat, unknown parameter [{names}]")
    if path == CLUSTERS and dialect.owner == "required" and not params.get("owner"):
        raise refusal(dialect.unknown, "InvalidRequestFormat, missing parameter [owner]")
    if call.word in dialect.forbidden:
        raise RefusalError(1400, "PermissionDenied, you may not ask for this")


def cluster_list(
    clusters: Sequence[HostedCluster],
    dialect: FleetDialect,
    params: Mapping[str, str],
    now_at: float,
) -> dict[str, Any]:
    """The answer to cluster/list, of the clusters that the account has in the zone."""
    wanted = [
        cluster
        for cluster in clusters
        if params.get("cluster_id") in {None, "", cluster.cluster_id}
        and params.get("cluster_type") in {None, "", _kind(cluster)}
        and params.get("status") in {None, "", cluster.plant.status}
    ]
    page = _cut(wanted, params)
    records = [_cluster(each, dialect, now_at) for each in page]
    if dialect.cluster_fields == "nested":
        records = [{"app_cluster": record} for record in records]
    elif params.get("verbose") == "1":
        records = [{**record, "app_cluster": record} for record in records]
    return _listing(CLUSTERS, "cluster_set", records, len(wanted))


def about_cluster(
    path: str, cluster: HostedCluster, dialect: FleetDialect, params: Mapping[str, str]
) -> dict[str, Any]:
    """The answer to a call about one cluster."""
    return _ABOUT_ONE[path](cluster, dialect, params)


def _ehpc_queues(
    cluster: HostedCluster, dialect: FleetDialect, params: Mapping[str, str]
) -> dict[str, Any]:
    if _kind(cluster) == _HPC:
        raise RefusalError(2100, "ResourceNotFound, no E-HPC cluster")
    queues = list(cluster.plant.queues.values())
    records = [
        {
            "hpcqueue_id": queue_fields(queue.name)["hpcqueue_id"],
            "name": queue.name,
            "partition_name": queue_fields(queue.name)["scheduler_queue_name"],
            "default_queue": int(place == 0),
            "nodelist": [number + 1 for number in range(len(queue.nodes))],
            "node_info": [
                {"status": node.status, "server_id": number + 1, "name": node.name}
                for number, node in enumerate(queue.nodes)
            ],
            "spec_detail": _spec(queue, dialect),
            "transition_status": "",
            "create_time": _CREATED,
            "update_time": _CREATED,
        }
        for place, queue in enumerate(queues)
    ]
    return _listing(EHPC_QUEUES, "hpc_queue_set", _cut(records, params), len(queues))


def _hpc_queues(
    cluster: HostedCluster, dialect: FleetDialect, params: Mapping[str, str]
) -> dict[str, Any]:
    if _kind(cluster) != _HPC:
        raise RefusalError(2100, "ResourceNotFound, no HPC cluster")
    queues = list(cluster.plant.queues.values())
    records = [
        {
            **_names(queue),
            "belong": 0,
            "spec_detail": {
                **_spec(queue, dialect),
                "node_num": _written(len(queue.nodes), dialect),
            },
        }
        for queue in queues
    ]
    return _listing(HPC_QUEUES, dialect.queue_list, _cut(records, params), len(queues))


def _describe(
    cluster: HostedCluster, dialect: FleetDialect, params: Mapping[str, str]
) -> dict[str, Any]:
    wanted = params.get("id", "")
    found = [
        queue
        for queue in cluster.plant.queues.values()
        if queue_fields(queue.name)["hpcqueue_id"] == wanted
    ]
    if not found:
        raise RefusalError(2100, f"ResourceNotFound, queue [{wanted}] not found")
    (queue,) = found
    jobs, busy = cluster.jobs, cores_busy(cluster.jobs, queue.name)
    free = max(0, queue.cores - busy) / queue.cores if queue.cores else 0.0
    pending, running = (
        jobs.matching(status=status, queue=queue.name) for status in ("pending", "running")
    )
    amounts: dict[str, Any] = {
        "njobs": pending + running,
        "npend": pending,
        "nrun": running,
        "nstop": jobs.matching(status="suspended", queue=queue.name),
        "total_slots": queue.cores,
        "avail_slots": max(0, queue.cores - busy),
        "total_gpus": queue.gpus,
        "avail_gpus": int(queue.gpus * free),
        "total_mems": queue.memory_gb,
        "avail_mems": int(queue.memory_gb * free),
        "node_num": len(queue.nodes),
    }
    written = {
        name: "" if dialect.capacity == "empty" else _written(amount, dialect)
        for name, amount in amounts.items()
    }
    detail = {**_names(queue), **written, "free_slots": ""}
    return _answer(QUEUE, {"detail": [detail]})


def _node_list(
    cluster: HostedCluster, dialect: FleetDialect, params: Mapping[str, str]
) -> dict[str, Any]:
    """Of an HPC cluster, login nodes only."""
    nodes = [
        node
        for node in cluster.plant.nodes
        if (_kind(cluster) != _HPC or node.role == "login")
        and params.get("status") in {None, "", node.status}
    ]
    records = [_node(node, dialect) for node in _cut(nodes, params)]
    return _listing(NODES, "hpc_app_nodes_set", records, len(nodes))


_ABOUT_ONE: Mapping[
    str, Callable[[HostedCluster, FleetDialect, Mapping[str, str]], dict[str, Any]]
] = {
    EHPC_QUEUES: _ehpc_queues,
    HPC_QUEUES: _hpc_queues,
    QUEUE: _describe,
    NODES: _node_list,
}


def _cluster(cluster: HostedCluster, dialect: FleetDialect, now_at: float) -> dict[str, Any]:
    plant = cluster.plant
    counters = cluster.counters.told(dialect.counters, now_at)
    return {
        "cluster_id": cluster.cluster_id,
        "cluster_name": plant.name or cluster.cluster_id,
        "cluster_type": _kind(cluster),
        "cluster_status": plant.status,
        **{f"{name}_job_count": _written(count, dialect) for name, count in counters.items()},
        "cpu_hours": _written(plant.core_hours, dialect),
        "mem_hours": _written(1.76, dialect),
        "total_node_count": _written(len(plant.nodes), dialect),
        "scheduler_type": "slurm",
        "paid_type": "PayForUsed",
        "create_time": _CREATED,
    }


def _node(node: Node, dialect: FleetDialect) -> dict[str, Any]:
    fields = queue_fields(node.queue) if node.queue else {}
    return {
        "name": node.name,
        "role": node.role,
        "status": node.status,
        "transition_status": "",
        "health_status": "healthy",
        "cpu": _written(NODE_CORES, dialect),
        "memory": _written(NODE_CORES * _MB_PER_CORE, dialect),
        "gpu": _written(0, dialect),
        "queue_info": {name: fields[name] for name in ("name", "hpcqueue_id")} if fields else None,
        "env": f'{{"admin_password": "{CONTENT_MARK}"}}',
        "private_ip": CONTENT_MARK,
    }


def _kind(cluster: HostedCluster) -> str:
    return cluster.cluster_id.partition("-")[0]


def _names(queue: Queue) -> dict[str, str]:
    fields = queue_fields(queue.name)
    return {
        name: fields[name] for name in ("hpcqueue_id", "name", "scheduler_queue_name", "categories")
    }


def _spec(queue: Queue, dialect: FleetDialect) -> dict[str, Any]:
    spec = {"cpu_num": queue.cores, "mem_size": queue.memory_gb, "gpu_num": queue.gpus}
    if dialect.capacity == "empty":
        return dict.fromkeys(spec, "")
    return {name: _written(amount, dialect) for name, amount in spec.items()}


def _written(number: float, dialect: FleetDialect) -> Any:
    return str(number) if dialect.numbers == "string" else number


def _listing(path: str, name: str, records: Sequence[Any], total: int) -> dict[str, Any]:
    return _answer(path, {"total_count": total, name: list(records)})


def _answer(path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"action": FLEET_CALLS[path].action, "ret_code": 0, **fields}


def _cut(items: Sequence[Any], params: Mapping[str, str]) -> Sequence[Any]:
    limit = min(whole_number(params, "limit", DEFAULT_LIMIT), _MOST_LIMIT)
    offset = whole_number(params, "offset", 0)
    return items[offset : offset + limit]
