"""The calls beside job/list, over real connections, to a cloud that makes them in its own way."""

from contextlib import ExitStack

import pytest

from exporter.model import Amount, ClusterIdentity
from exporter.simulator import Account, Cloud, parse_fleet
from tests.e2e.meeting import CLUSTER, Meeting

HPC = "hpc-n2yopbte"


def identity(cluster_id: str) -> ClusterIdentity:
    return ClusterIdentity(cluster_id, cluster_id, "jinan1a", "default")


def build(cloud: Cloud) -> None:
    for cluster_id in (CLUSTER, HPC):
        plant = (cloud.clusters.get(cluster_id) or cloud.add_cluster(cluster_id)).plant
        for number in range(120):
            plant.add_queue(f"队列 {number}", cores=64)


@pytest.mark.parametrize("fleet", ["documented", "by-the-table", "strict", "texts"])
def test_clusters_queues_and_nodes(fleet: str) -> None:
    with ExitStack() as stack:
        meeting = Meeting(stack)
        build(meeting.cloud)
        meeting.cloud.fleet = parse_fleet(fleet)
        client = meeting.client
        client.user_id = Account().user_id
        clusters = client.list_clusters("jinan1a")
        assert [(each.cluster_id, each.kind) for each in clusters] == [
            (CLUSTER, "ehpc"),
            (HPC, "hpc"),
        ]
        for cluster in clusters:
            room = client.room(identity(cluster.cluster_id))
            queues = room.queues(cluster.kind)
            assert [queue.names[0] for queue in queues] == [f"队列 {n}" for n in range(120)]
            assert {queue.cores for queue in queues} == {Amount(64.0)}
            queue = room.queue(queues[7].queue_id)
            assert queue is not None
            assert (queue.names[0], queue.cores) == ("队列 7", Amount(64.0, 64.0))
        nodes = client.room(identity(CLUSTER)).nodes()
        assert len(nodes) == 2 + 240
        assert {node.queue for node in nodes if node.role == "compute"} == {
            queue.name for queue in meeting.cloud.clusters[CLUSTER].plant.queues.values()
        }
