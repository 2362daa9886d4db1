"""The simulated cloud over real sockets: keep-alive, dates, TLS, the admin routes."""

import asyncio
import contextlib
import email.utils
import gc
import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import trustme

from exporter.simulator import Cloud
from exporter.simulator.engine import Engine, World
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from exporter.simulator.worldclock import WorldClock
from tests.simulator.cloud_client import CloudClient, target
from tests.waiting import PATIENCE_SECONDS

CLUSTER = "ehpc-1"


def a_simulation() -> Simulation:
    cloud = Cloud()
    hosted = cloud.add_cluster(CLUSTER)
    engine = Engine(hosted.jobs, 1_700_000_000)
    engine.add_queue("默认队列", 8)
    for number in range(5):
        engine.submit(
            1_700_000_000,
            queue="默认队列",
            user=f"u{number % 2}",
            cores=4,
            run_seconds=600,
            outcome="finished",
        )
    now_at = time.time()
    clock = WorldClock(real_at=now_at, world_at=1_700_000_000, speed=0.0)
    return Simulation(cloud, world=World([(CLUSTER, engine)]), clock=clock)


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(a_simulation()) as server:
        yield server


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[CloudClient]:
    with CloudClient(server.address) as client:
        yield client


def test_a_connection_is_kept(server: SimulatorServer, client: CloudClient) -> None:
    for _ in range(20):
        assert client.list_jobs(CLUSTER)["total_count"] == 5
    assert server.connections == 1


def test_names_beyond_ascii_travel(client: CloudClient) -> None:
    answer = client.list_jobs(CLUSTER, queue_name="默认队列", run_user="u1")
    assert answer["total_count"] == 2
    assert answer["hpc_job_set"][0]["queue_name"] == "默认队列"


def test_the_date_is_the_servers_own() -> None:
    with (
        SimulatorServer(a_simulation(), clock_skew_seconds=7200) as server,
        CloudClient(server.address) as client,
    ):
        assert client.list_jobs(CLUSTER)["ret_code"] == 1300
        late = time.time() + 7200
        _, headers, body = client.send("GET", target(late, {"cluster_id": CLUSTER}))
        assert json.loads(body)["ret_code"] == 0
        dated = email.utils.parsedate_to_datetime(headers["Date"]).timestamp()
        assert abs(dated - late) < 60


def test_tls() -> None:
    authority = trustme.CA()
    mine, theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(mine)
    authority.configure_trust(theirs)
    with SimulatorServer(a_simulation(), ssl_context=mine) as server:
        assert server.address.startswith("https://127.0.0.1:")
        with CloudClient(server.address, context=theirs) as client:
            assert client.list_jobs(CLUSTER)["ret_code"] == 0
        with (
            CloudClient(server.address, context=ssl.create_default_context()) as stranger,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            stranger.list_jobs(CLUSTER)


def test_latency_does_not_queue_up_between_clients() -> None:
    with SimulatorServer(a_simulation(), latency_seconds=1.0) as server:

        def ask(_: int) -> int:
            with CloudClient(server.address) as client:
                total: int = client.list_jobs(CLUSTER)["total_count"]
                return total

        with ThreadPoolExecutor(10) as pool:
            assert list(pool.map(ask, range(10))) == [5] * 10
        answered_at = [entry.at for entry in server.simulation.cloud.journal]
        assert max(answered_at) - min(answered_at) < 9  # what it takes one after the other


def exchange(server: SimulatorServer, sent: bytes) -> bytes:
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE_SECONDS) as peer:
        peer.sendall(sent)
        received = b""
        while more := peer.recv(65536):
            received += more
    return received


def test_requests_that_come_together_or_in_pieces(server: SimulatorServer) -> None:
    asked = target(time.time(), {"cluster_id": CLUSTER})
    one = f"GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = f"GET {asked} HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
    assert exchange(server, one + one + last).count(b"HTTP/1.1 200 OK") == 3
    old = exchange(server, f"GET {asked} HTTP/1.0\r\n\r\n".encode())
    assert b"Connection: close" in old
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE_SECONDS) as peer:
        for position in range(0, len(one), 40):
            peer.sendall(one[position : position + 40])
        assert peer.recv(20).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /" + b"x" * 70_000,
    ],
)
def test_what_is_no_request(server: SimulatorServer, sent: bytes) -> None:
    assert exchange(server, sent).startswith(b"HTTP/1.1 400")


def test_stopping_ends_the_thread_and_all_connections() -> None:
    server = SimulatorServer(a_simulation())
    server.start()
    server.simulation.cloud.faults.add("stall")
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE_SECONDS) as peer:
        asked = target(time.time(), {"cluster_id": CLUSTER})
        peer.sendall(f"GET {asked} HTTP/1.1\r\n\r\n".encode())
        while not server.simulation.cloud.calls:
            time.sleep(0.01)
        assert "simulator" in {thread.name for thread in threading.enumerate()}
        server.stop()
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    assert "simulator" not in {thread.name for thread in threading.enumerate()}
    server.stop()


def test_an_address_in_use_is_said() -> None:
    with SimulatorServer(a_simulation()) as server:
        port = urlsplit(server.address).port
        assert port
        second = SimulatorServer(a_simulation(), port=port)
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()


# Admin routes


def test_the_truth_is_counted_plainly(client: CloudClient) -> None:
    truth = client.admin("GET", f"/-/truth?cluster_id={CLUSTER}")
    assert truth["jobs"] == 5
    assert truth["by_status"] == {"pending": 3, "running": 2}
    assert truth["by_queue"] == {"默认队列": 5}
    assert truth["by_user"] == {"u0": 3, "u1": 2}
    assert truth["oldest_pending"] == {"默认队列": 1_700_000_000}
    assert sum(row["jobs"] for row in truth["counts"]) == 5
    assert sum(row["cores"] for row in truth["counts"]) == 20
    assert client.admin("GET", "/-/truth") == {CLUSTER: truth}


def test_time_can_jump_run_and_stand(client: CloudClient) -> None:
    assert client.admin("GET", "/-/time") == {"world_at": 1_700_000_000, "speed": 0.0}
    client.admin("POST", "/-/time", {"advance_seconds": 600})
    truth = client.admin("GET", f"/-/truth?cluster_id={CLUSTER}")
    assert truth["by_status"] == {"finished": 2, "pending": 1, "running": 2}
    client.admin("POST", "/-/time", {"speed": 100_000})
    while client.admin("GET", "/-/truth")[CLUSTER]["by_status"] != {"finished": 5}:
        time.sleep(0.01)
    assert client.admin("POST", "/-/time", {"pause": True})["speed"] == 0
    assert client.admin("GET", "/-/time") == client.admin("GET", "/-/time")


def test_a_backlog_is_made_and_taken_away(client: CloudClient) -> None:
    asked = {"cluster_id": CLUSTER, "queue": "默认队列", "jobs": 40, "user": "crowd"}
    assert client.admin("POST", "/-/backlog", asked) == {"waiting": 43}
    assert client.list_jobs(CLUSTER, run_user="crowd", jobs_status="pending")["total_count"] == 40
    where = f"cluster_id={CLUSTER}&queue=%E9%BB%98%E8%AE%A4%E9%98%9F%E5%88%97"
    assert client.admin("DELETE", f"/-/backlog?{where}") == {"cancelled": 43}
    assert client.list_jobs(CLUSTER, jobs_status="pending")["total_count"] == 0
    new_queue = {"cluster_id": CLUSTER, "queue": "new", "jobs": 3, "run_seconds": 5}
    assert client.admin("POST", "/-/backlog", new_queue) == {"waiting": 2}


def test_dialects_can_be_changed(client: CloudClient) -> None:
    assert client.admin("GET", "/-/dialect") == {CLUSTER: "documented"}
    client.admin("POST", "/-/dialect", {"name": "total-missing"})
    assert "total_count" not in client.list_jobs(CLUSTER)
    client.admin("POST", "/-/dialect", {"name": "still-end", "cluster_id": CLUSTER})
    client.admin("POST", "/-/time", {"advance_seconds": 600})
    ended = client.list_jobs(CLUSTER, jobs_status="finished")["hpc_job_set"]
    assert {job["modified_time"] for job in ended} == {"2023-11-14T22:13:20"}


def test_a_dialect_can_be_put_together(client: CloudClient) -> None:
    written = "filter=job_status,sort=submitted_time,zone=+08:00"
    assert client.admin("POST", "/-/dialect", {"name": written}) == {CLUSTER: written}
    assert client.list_jobs(CLUSTER, jobs_status="exited")["total_count"] > 0
    assert client.list_jobs(CLUSTER, job_status="exited")["total_count"] == 0
    client.admin("POST", "/-/dialect", {"name": "lagging-5,cache=20"})
    assert client.admin("GET", "/-/dialect") == {CLUSTER: "lag=5,cache=20"}


def test_a_replica_lags_by_the_servers_clock(server: SimulatorServer, client: CloudClient) -> None:
    client.admin("POST", "/-/dialect", {"name": "lag=3600"})
    client.list_jobs(CLUSTER)
    backlog = {"cluster_id": CLUSTER, "queue": "默认队列", "jobs": 7, "user": "crowd"}
    client.admin("POST", "/-/backlog", backlog)
    crowds = [client.list_jobs(CLUSTER, run_user="crowd")["total_count"] for _ in range(4)]
    assert sorted(set(crowds)) == [0, 7]
    server.clock_skew_seconds += 3601
    crowds = [
        server.simulation.cloud.list_jobs(CLUSTER, {"run_user": "crowd"}, server.server_at())[
            "total_count"
        ]
        for _ in range(2)
    ]
    assert crowds == [7, 7]


def test_faults_come_and_go(client: CloudClient) -> None:
    client.admin("POST", "/-/faults", {"name": "ret-5000", "next": 2})
    client.admin("POST", "/-/faults", [{"name": "ret-5100", "cluster": "other"}])
    codes = [client.list_jobs(CLUSTER)["ret_code"] for _ in range(3)]
    assert codes == [5000, 5000, 0]
    first, second = client.admin("GET", "/-/faults")
    assert (first["fault"]["name"], first["struck"], second["struck"]) == ("ret-5000", 2, 0)
    assert client.admin("DELETE", "/-/faults") == []
    assert client.admin("GET", "/-/faults") == []


def test_the_journal_is_told_and_forgotten(client: CloudClient) -> None:
    client.list_jobs(CLUSTER, limit="1")
    client.list_jobs("ehpc-absent", limit="2")
    journal = client.admin("GET", "/-/journal")
    assert journal["calls"] == 2
    assert [entry["outcome"] for entry in journal["entries"]] == ["ok", "2100"]
    (only,) = client.admin("GET", f"/-/journal?cluster_id={CLUSTER}")["entries"]
    assert only["params"]["limit"] == "1"
    (last,) = client.admin("GET", "/-/journal?limit=1")["entries"]
    assert last["params"]["limit"] == "2"
    client.admin("POST", "/-/journal/reset")
    after = client.admin("GET", "/-/journal")
    assert (after["calls"], after["entries"]) == (2, [])


@pytest.mark.parametrize(
    ("method", "route", "body", "status"),
    [
        ("GET", "/-/nothing", None, 404),
        ("PUT", "/-/faults", None, 404),
        ("POST", "/-/faults", {"name": "nonsense"}, 400),
        ("POST", "/-/faults", {"name": "close", "hue": 1}, 400),
        ("POST", "/-/faults", 7, 400),
        ("POST", "/-/dialect", {"name": "klingon"}, 400),
        ("POST", "/-/dialect", {"name": "filter=colour"}, 400),
        ("GET", "/-/truth?cluster_id=absent", None, 400),
        ("POST", "/-/backlog", {"cluster_id": CLUSTER}, 400),
        ("DELETE", "/-/backlog", None, 400),
        ("POST", "/-/time", {"speed": "fast"}, 400),
    ],
)
def test_admin_requests_that_make_no_sense(
    client: CloudClient, method: str, route: str, body: object, status: int
) -> None:
    got, _, text = client.send(method, route, body)
    assert got == status
    assert json.loads(text)["error"]
    assert client.list_jobs(CLUSTER)["ret_code"] == 0


@pytest.mark.parametrize("turns", range(5))
def test_who_comes_while_it_stops_is_cut(turns: int) -> None:
    """A client that connects so many turns of the loop before the server stops."""
    server = SimulatorServer(a_simulation())
    server.start()
    assert server._loop is not None
    assert server._thread is not None
    address = urlsplit(server.address)

    def stop_after(turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(stop_after, turns - 1)
        elif server._stopping is not None:
            server._stopping.set()

    def come() -> None:  # the kernel connects; the loop sees it in its next turn
        late.connect((address.hostname, address.port))
        stop_after(turns)

    gc.collect()  # what others have left is not told of here
    with socket.socket() as late, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        server._loop.call_soon_threadsafe(come)
        server._thread.join(PATIENCE_SECONDS)
        gc.collect()  # what was left open is told of
        assert [str(each.message) for each in told] == []
