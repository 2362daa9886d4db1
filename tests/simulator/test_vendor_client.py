"""The vendor's own client against the simulated cloud: what it sends is accepted, and answered right.

It is the one reader of the protocol that was written by neither of us.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from qingcloud_hpc.sdk_api.HpcApiConnection import HpcApiConnection

from exporter.simulator import Account, Cloud, JobList, ListedJob, parse_dialect, parse_fleet
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation

CLUSTER = "ehpc-qmmvigwe"
AT = 1_700_000_000
QUEUES = ("默认 队列", "cpu/gpu")

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def cloud() -> Cloud:
    cloud = Cloud()
    jobs = cloud.add_cluster(CLUSTER, dialect=parse_dialect("console-strict")).jobs
    uuids = [
        jobs.submit(AT + number, queue=QUEUES[number % 2], user=f"u{number % 3}")
        for number in range(60)
    ]
    for uuid in uuids[::4]:
        jobs.start(uuid, AT + 1000)
    return cloud


@pytest.fixture
def ask(cloud: Cloud) -> Iterator[Ask]:
    """Calls of the client by name; it prints what it signs, which pytest keeps to itself."""
    account = Account()
    with SimulatorServer(Simulation(cloud)) as server:
        where = urlsplit(server.address)
        connection = HpcApiConnection(
            account.access_key_id,
            account.secret_access_key,
            host=where.hostname,
            port=where.port,
            zone="jinan1a",
            protocol=where.scheme,
        )
        with contextlib.closing(connection.api.client):
            yield connection.send_request


@pytest.fixture
def jobs(cloud: Cloud) -> JobList:
    return cloud.clusters[CLUSTER].jobs


def expected(jobs: JobList, wanted: Callable[[ListedJob], bool]) -> list[str]:
    """Newest first, as a console shows them."""
    return [job.uuid for job in jobs.jobs() if wanted(job)][::-1]


def uuids(answer: dict[str, Any]) -> list[str]:
    assert answer["ret_code"] == 0, answer
    return [record["hpcjob_uuid"] for record in answer["hpc_job_set"]]


def test_its_filter_and_its_sort(cloud: Cloud, ask: Ask, jobs: JobList) -> None:
    running = ask(
        "HpcJobListJobs",
        cluster_id=CLUSTER,
        job_status="running",
        sort_key="submitted_time",
        reverse=1,
        limit=100,
    )
    assert uuids(running) == expected(jobs, lambda job: job.status == "running")
    assert running["total_count"] == 15
    (entry,) = cloud.journal
    assert (entry.outcome, entry.cluster_id) == ("ok", CLUSTER)
    assert entry.params["job_status"] == "running"


def test_its_pages(ask: Ask, jobs: JobList) -> None:
    # It sends no offset of 0.
    pages = [ask("HpcJobListJobs", cluster_id=CLUSTER, limit=25, offset=at) for at in (0, 25, 50)]
    assert [uuid for page in pages for uuid in uuids(page)] == expected(jobs, lambda _: True)
    assert {page["total_count"] for page in pages} == {60}


def test_everything_that_it_may_send_is_known_to_a_strict_server(ask: Ask) -> None:
    answer = ask(
        "HpcJobListJobs",
        cluster_id=CLUSTER,
        cluster_type="ehpc",
        start_time="2023-11-14 22:00:00",
        end_time="2023-11-15 22:00:00",
        hpcjob_uuid="hpcjob-0",
        hpcqueue_id="hpcq-0",
        iamuser_name="iam",
        owner="usr-1",
        search_word="u1",
        submit_type=1,
        verbose=1,
        run_user="u1",
        limit=100,
    )
    assert answer["total_count"] == 20


@pytest.mark.parametrize(("signed_slash", "code"), [("either", 0), ("plain", 0), ("encoded", 1200)])
def test_names_of_queues(
    cloud: Cloud, ask: Ask, jobs: JobList, signed_slash: str, code: int
) -> None:
    cloud.clusters[CLUSTER].speak(parse_dialect(f"console-strict,signed_slash={signed_slash}"))
    blank, slash = (
        ask("HpcJobListJobs", cluster_id=CLUSTER, queue_name=queue, limit=100) for queue in QUEUES
    )
    assert uuids(blank) == expected(jobs, lambda job: job.queue == QUEUES[0])
    assert slash["ret_code"] == code
    if not code:
        assert uuids(slash) == expected(jobs, lambda job: job.queue == QUEUES[1])


def test_a_problem_document_reaches_it(ask: Ask) -> None:
    answer = ask("HpcJobListJobs", cluster_id=CLUSTER, sort_key="modified_time")
    assert (answer["status"], "ret_code" in answer) == (400, False)


def test_it_lists_the_clusters(ask: Ask) -> None:
    answer = ask("HpcClusterListCluster")
    assert [cluster["cluster_id"] for cluster in answer["cluster_set"]] == [CLUSTER]


def test_it_lists_the_clusters_of_a_kind(cloud: Cloud, ask: Ask) -> None:
    cloud.fleet = parse_fleet("strict")
    cloud.add_cluster("hpc-n2yopbte").plant.status = "stopped"
    answer = ask(
        "HpcClusterListCluster", cluster_type="hpc", status="stopped", limit=100, verbose=1
    )
    (cluster,) = answer["cluster_set"]
    assert (cluster["cluster_id"], cluster["cluster_status"]) == ("hpc-n2yopbte", "stopped")
    counted = ask("HpcClusterListCluster", owner=Account().user_id)["cluster_set"][0]
    assert (counted["pending_job_count"], counted["running_job_count"]) == (45, 15)


def test_it_reads_the_queues_and_what_is_free_in_one(cloud: Cloud, ask: Ask) -> None:
    cloud.fleet = parse_fleet("strict")
    plant = cloud.clusters[CLUSTER].plant
    for queue in QUEUES:
        plant.add_queue(queue, cores=64, gpus=8)
    listed = ask("HpcQueueGetEhpcQueueList", cluster_id=CLUSTER, limit=100, is_active=1)
    assert listed["ret_code"] == 0
    assert [queue["name"] for queue in listed["hpc_queue_set"]] == list(QUEUES)
    assert listed["hpc_queue_set"][0]["spec_detail"]["cpu_num"] == 64
    queue_id = listed["hpc_queue_set"][0]["hpcqueue_id"]
    (detail,) = ask("HpcQueueDescribeQueue", cluster_id=CLUSTER, id=queue_id)["detail"]
    assert (detail["name"], detail["total_slots"], detail["avail_slots"]) == (QUEUES[0], 64, 49)


def test_it_reads_the_queues_of_an_hpc_cluster(cloud: Cloud, ask: Ask) -> None:
    cloud.fleet = parse_fleet("strict")
    cloud.add_cluster("hpc-n2yopbte").plant.add_queue("vis", cores=64)
    answer = ask("HpcQueueGetCurrentQueue", cluster_id="hpc-n2yopbte", belong=-1, limit=100)
    assert [queue["name"] for queue in answer["queues_set"]] == ["vis"]


def test_it_lists_the_nodes(cloud: Cloud, ask: Ask) -> None:
    cloud.fleet = parse_fleet("strict")
    cloud.clusters[CLUSTER].plant.add_queue("vis", cores=64)
    answer = ask("HpcClusterGetClusterNodes", cluster_id=CLUSTER, status="active", limit=100)
    roles = [node["role"] for node in answer["hpc_app_nodes_set"]]
    assert roles == ["login", "controller", "compute", "compute"]
