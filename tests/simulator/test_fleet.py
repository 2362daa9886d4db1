"""What the simulated cloud tells of clusters, queues and nodes, in every way that it may do so."""

import argparse
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from exporter.simulator import (
    FLEET_DIALECTS,
    Cloud,
    FleetDialect,
    host_fleet,
    parse_fleet,
    spell_fleet,
)
from exporter.simulator.command import add_arguments, build_simulation
from exporter.simulator.fleet_dialect import CALLS
from exporter.simulator.records import CONTENT_MARK
from exporter.simulator.server import SimulatorServer
from exporter.simulator.signing import signature
from exporter.simulator.simulation import Simulation
from tests.simulator.cloud_client import ACCOUNT, CloudClient, signed_params

NOW_AT = 1_700_000_000.0
EHPC, HPC = "ehpc-qmmvigwe", "hpc-n2yopbte"


@pytest.fixture
def cloud() -> Cloud:
    cloud = Cloud()
    for cluster_id in (EHPC, HPC):
        cluster = cloud.add_cluster(cluster_id)
        cluster.plant.add_queue("gpu", cores=80, gpus=8, memory_gb=500)
        cluster.plant.add_queue("默认队列", cores=32)
        for number in range(4):
            uuid = cluster.jobs.submit(NOW_AT - 100, queue="gpu", user="u", cores=10)
            if number < 3:
                cluster.jobs.start(uuid, NOW_AT - 90)
    cloud.add_cluster("ehpc-elsewhere", zone="jn1a")
    return cloud


def ask(
    cloud: Cloud, call: str, method: str = "GET", at: float = NOW_AT, /, **params: str
) -> dict[str, Any]:
    path = f"/api/{call}"
    sent = signed_params(at, params)
    query = "&".join(f"{quote(name)}={quote(value, safe='')}" for name, value in sent.items())
    signed = signature(method, path, sent, ACCOUNT.secret_access_key, slash="encoded")
    twice = quote(quote(signed, safe=""), safe="")
    answer = cloud.handle(method, path, f"{query}&signature={twice}", at)
    read: dict[str, Any] = json.loads(answer.body)
    assert answer.status == read.get("status", 200), answer
    return read


def queues(cloud: Cloud, method: str = "GET", **params: str) -> dict[str, Any]:
    return ask(cloud, "queue/ehpc/getQueueList", method, cluster_id=EHPC, **params)


def current_queues(cloud: Cloud, **params: str) -> dict[str, Any]:
    return ask(cloud, "queue/getCurrentQueue", cluster_id=HPC, **params)


def refused(answer: dict[str, Any]) -> int:
    return int(answer.get("ret_code", answer.get("status", 0)))


def test_the_clusters_of_a_zone(cloud: Cloud) -> None:
    answer = ask(cloud, "cluster/list")
    assert (answer["action"], answer["total_count"]) == ("HpcClusterListClusterResponse", 2)
    first, second = answer["cluster_set"]
    told = {name: first[name] for name in ("cluster_id", "cluster_type", "cluster_status")}
    assert told == {"cluster_id": EHPC, "cluster_type": "ehpc", "cluster_status": "active"}
    assert (first["pending_job_count"], first["running_job_count"]) == (1, 3)
    assert second["cluster_type"] == "hpc"
    (only,) = ask(cloud, "cluster/list", cluster_type="hpc", verbose="1")["cluster_set"]
    assert only["app_cluster"]["cluster_id"] == HPC


def test_the_queues_of_an_e_hpc_cluster(cloud: Cloud) -> None:
    cloud.clusters[EHPC].plant.queues["gpu"].nodes[0].status = "stopped"
    answer = queues(cloud)
    assert answer["total_count"] == 2
    gpu, plain = answer["hpc_queue_set"]
    assert gpu["spec_detail"] == {"cpu_num": 80, "mem_size": 500, "gpu_num": 8}
    assert [node["status"] for node in gpu["node_info"]] == ["stopped", "active", "active"]
    assert plain["name"] == "默认队列"
    assert refused(ask(cloud, "queue/ehpc/getQueueList", cluster_id=HPC)) == 2100


def test_the_queues_of_an_hpc_cluster(cloud: Cloud) -> None:
    gpu, _ = current_queues(cloud, belong="-1")["queues_set"]
    assert gpu["spec_detail"] == {"cpu_num": 80, "mem_size": 500, "gpu_num": 8, "node_num": 3}
    assert refused(ask(cloud, "queue/getCurrentQueue", cluster_id=EHPC)) == 2100


@pytest.mark.parametrize("cluster_id", [EHPC, HPC])
def test_what_is_free_in_a_queue(cloud: Cloud, cluster_id: str) -> None:
    jobs = cloud.clusters[cluster_id].jobs
    jobs.suspend(next(job.uuid for job in jobs.jobs()), NOW_AT)  # and keeps its cores
    queue_id = current_queues(cloud)["queues_set"][0]["hpcqueue_id"]
    answer = ask(cloud, "queue/describeQueue", cluster_id=cluster_id, id=queue_id)
    (detail,) = answer["detail"]
    numbers = {name: detail[name] for name in ("total_slots", "avail_slots", "npend", "nrun")}
    assert numbers == {"total_slots": 80, "avail_slots": 50, "npend": 1, "nrun": 2}
    assert (detail["total_mems"], detail["avail_mems"], detail["avail_gpus"]) == (500, 312, 5)
    assert refused(ask(cloud, "queue/describeQueue", cluster_id=cluster_id, id="none")) == 2100


def test_the_nodes(cloud: Cloud) -> None:
    everything = ask(cloud, "cluster/listNodes", cluster_id=EHPC)
    assert everything["total_count"] == 2 + 3 + 1
    roles = [node["role"] for node in everything["hpc_app_nodes_set"]]
    assert roles == ["login", "controller", *["compute"] * 4]
    assert all(CONTENT_MARK in node["env"] for node in everything["hpc_app_nodes_set"])
    assert everything["hpc_app_nodes_set"][2]["queue_info"]["name"] == "gpu"
    (login,) = ask(cloud, "cluster/listNodes", cluster_id=HPC)["hpc_app_nodes_set"]
    assert login["role"] == "login"


def test_a_fleet_in_pages_from_which_clusters_come_and_go() -> None:
    cloud = Cloud()
    fleet = host_fleet(cloud, 300, now_at=NOW_AT)
    pages = [ask(cloud, "cluster/list", limit="500", offset=str(at)) for at in (0, 100, 200, 300)]
    assert [len(page["cluster_set"]) for page in pages] == [100, 100, 100, 0]
    assert {page["total_count"] for page in pages} == {300}
    assert len(ask(cloud, "cluster/list")["cluster_set"]) == 10
    cloud.remove_cluster(fleet[0].cluster_id)
    cloud.add_cluster("ehpc-new")
    fleet[1].plant.status = "stopped"
    assert ask(cloud, "cluster/list")["total_count"] == 300
    (stopped,) = ask(cloud, "cluster/list", status="stopped")["cluster_set"]
    assert stopped["cluster_id"] == fleet[1].cluster_id
    assert stopped["pending_job_count"] + stopped["running_job_count"] == 10


def counted(cloud: Cloud, at: float) -> dict[str, int]:
    cluster = ask(cloud, "cluster/list", "GET", at)["cluster_set"][0]
    return {name.removesuffix("_job_count"): n for name, n in cluster.items() if "_job_" in name}


def test_counters_that_are_not_what_one_hopes(cloud: Cloud) -> None:
    jobs = cloud.clusters[EHPC].jobs
    now = {"pending": 1, "running": 3, "finished": 0, "stopped": 0, "deleted": 0}
    assert counted(cloud, NOW_AT) == now
    cloud.fleet = parse_fleet("counters-still")
    assert counted(cloud, NOW_AT) == now
    cloud.fleet = parse_fleet("counters-lag")
    cloud.look(NOW_AT)
    uuids = [job.uuid for job in jobs.jobs()]
    jobs.suspend(uuids[0], NOW_AT + 1)
    jobs.end(uuids[1], NOW_AT + 1, "exited")
    cloud.look(NOW_AT + 1)
    assert counted(cloud, NOW_AT + 60) == now
    changed = {"pending": 1, "running": 1, "finished": 0, "stopped": 1, "deleted": 0}
    assert counted(cloud, NOW_AT + 61) == changed
    cloud.fleet = parse_fleet("counters-still")
    assert counted(cloud, NOW_AT + 62) == now
    cloud.fleet = parse_fleet("counters-otherwise")
    otherwise = changed | {"running": 2, "finished": 1, "stopped": 0}
    assert counted(cloud, NOW_AT + 63) == otherwise
    cloud.fleet = FleetDialect()
    assert counted(cloud, NOW_AT + 64) == changed


@pytest.mark.parametrize(
    ("wanted", "taken", "refused_with"),
    [("GET", "GET", 0), ("GET", "POST", 405), ("POST", "GET", 405), ("POST", "POST", 0),
     ("either", "GET", 0), ("either", "POST", 0)],
)  # fmt: skip
def test_the_method_for_queues(cloud: Cloud, wanted: str, taken: str, refused_with: int) -> None:
    cloud.fleet = parse_fleet(f"queue_method={wanted}")
    answer = queues(cloud, taken)
    # The framework's own word for a method would be 405; its document says what it answers: 400.
    assert refused(answer) == (400 if refused_with else 0)
    cloud.fleet = parse_fleet(f"queue_method={wanted},unknown=1101")
    assert refused(queues(cloud, taken)) == (1101 if refused_with else 0)


def test_what_the_table_of_the_documentation_asks_for(cloud: Cloud) -> None:
    cloud.fleet = parse_fleet("by-the-table")
    assert refused(ask(cloud, "cluster/list")) == 1101
    nested = ask(cloud, "cluster/list", owner=ACCOUNT.user_id)["cluster_set"]
    assert [list(each) for each in nested] == [["app_cluster"]] * 2
    assert ask(cloud, "cluster/list", owner="usr-other")["cluster_set"] == []
    assert refused(current_queues(cloud)) == 1101
    assert len(current_queues(cloud, zone_id="jinan1a")["queue_set"]) == 2
    assert len(queues(cloud, "POST")["hpc_queue_set"]) == 2


def test_numbers_as_texts_and_no_capacity(cloud: Cloud) -> None:
    cloud.fleet = parse_fleet("texts")
    assert queues(cloud)["hpc_queue_set"][0]["spec_detail"]["cpu_num"] == "80"
    assert ask(cloud, "cluster/list")["cluster_set"][0]["pending_job_count"] == "1"
    cloud.fleet = parse_fleet("no-capacity")
    assert queues(cloud)["hpc_queue_set"][0]["spec_detail"]["cpu_num"] == ""


@pytest.mark.parametrize("word", CALLS)
def test_what_may_not_be_asked(cloud: Cloud, word: str) -> None:
    cloud.fleet = parse_fleet(f"forbidden={word}")
    codes = {
        "clusters": refused(ask(cloud, "cluster/list")),
        "queues": refused(queues(cloud)),
        "queue": refused(ask(cloud, "queue/describeQueue", cluster_id=EHPC, id="none")),
        "nodes": refused(ask(cloud, "cluster/listNodes", cluster_id=EHPC)),
    }
    assert codes == dict.fromkeys(CALLS, 0) | {"queue": 2100} | {word: 1400}


def test_a_strict_cloud_and_a_parameter_that_nobody_knows(cloud: Cloud) -> None:
    assert refused(queues(cloud, colour="red")) == 0
    cloud.fleet = parse_fleet("strict")
    assert refused(queues(cloud, colour="red")) == 400
    assert refused(queues(cloud, is_active="1")) == 0


def test_whose_cluster_and_which_zone(cloud: Cloud) -> None:
    assert refused(ask(cloud, "cluster/listNodes", cluster_id="ehpc-elsewhere")) == 2100
    assert refused(ask(cloud, "cluster/listNodes")) == 1100
    assert refused(queues(cloud, limit="many")) == 1100


def test_faults_of_lists_pass_by(cloud: Cloud) -> None:
    rule = cloud.faults.add("empty-list", next_calls=1)
    cloud.faults.add("ret-5000", next_calls=1)
    assert refused(queues(cloud)) == 5000
    assert rule.struck == 0


@pytest.mark.parametrize("name", FLEET_DIALECTS)
def test_names_are_spelled_as_they_are_read(name: str) -> None:
    assert spell_fleet(parse_fleet(name)) == name


@pytest.mark.parametrize(
    "text", ["counters=lagging,owner=required", "forbidden=nodes+queue", "texts,unknown=5000"]
)
def test_switches_are_spelled_as_they_are_read(text: str) -> None:
    assert parse_fleet(spell_fleet(parse_fleet(text))) == parse_fleet(text) != FleetDialect()


@pytest.mark.parametrize(
    "text", ["klingon", "hue=red", "owner=perhaps", "forbidden=jobs", "owner", "documented,x"]
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"fleet|none of"):
        parse_fleet(text)


def test_none_may_be_forbidden_again() -> None:
    assert parse_fleet("forbidden,forbidden=none") == FleetDialect()


def test_the_command_hosts_a_fleet_as_it_is_told() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(
        ["--clusters=1", "--quiet-clusters=30", "--fleet=texts,owner=required"]
    )
    cloud = build_simulation(options, NOW_AT).cloud
    assert len(cloud.clusters) == 31
    assert spell_fleet(cloud.fleet) == "owner=required,numbers=string"
    assert set(cloud.clusters[EHPC].plant.queues) >= {"默认队列", "gpu-a100"}
    assert cloud.clusters["ehpc-fleet029"].plant.queues
    with pytest.raises(SystemExit):
        parser.parse_args(["--fleet=klingon"])


@pytest.fixture
def client(cloud: Cloud) -> Iterator[CloudClient]:
    with SimulatorServer(Simulation(cloud)) as server, CloudClient(server.address) as client:
        yield client


def test_the_admin_routes(cloud: Cloud, client: CloudClient) -> None:
    assert client.admin("GET", "/-/fleet") == {"name": "documented"}
    assert client.admin("POST", "/-/fleet", {"name": "owner=required"}) == {
        "name": "owner=required"
    }
    assert cloud.fleet.owner == "required"
    client.admin("POST", "/-/cluster", {"cluster_id": EHPC, "status": "stopped"})
    client.admin("POST", "/-/cluster", {"cluster_id": "ehpc-new", "zone": "jn1a"})
    client.admin("DELETE", f"/-/cluster?cluster_id={HPC}")
    assert {each.cluster_id: each.plant.status for each in cloud.clusters.values()} == {
        EHPC: "stopped", "ehpc-elsewhere": "active", "ehpc-new": "active",
    }  # fmt: skip
    status, _, _ = client.send("DELETE", "/-/cluster?cluster_id=none")
    assert status == 400
