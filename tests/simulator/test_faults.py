"""Every fault as the peer of the socket meets it, and the rules that say when."""

import http.client
import json
import math
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from exporter.simulator import Cloud
from exporter.simulator.fault_kinds import ERROR_CODES, fault_names, is_fault
from exporter.simulator.faults import FaultPlan
from exporter.simulator.list_faults import LIST_FAULTS
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from tests.simulator.cloud_client import CloudClient, target
from tests.waiting import PATIENCE_SECONDS

CLUSTER = "ehpc-1"
SILENCE_SECONDS = 0.6
"""After how long without a byte a client believes that none will come, if none should."""


@pytest.fixture(scope="module")
def served() -> Iterator[SimulatorServer]:
    cloud = Cloud()
    for cluster_id in (CLUSTER, "ehpc-2"):
        jobs = cloud.add_cluster(cluster_id).jobs
        for number in range(30):
            jobs.submit(1_700_000_000 + number, queue="默认队列", user="u", cores=4)
    with SimulatorServer(Simulation(cloud)) as server:
        yield server


@pytest.fixture
def server(served: SimulatorServer) -> Iterator[SimulatorServer]:
    served.simulation.cloud.faults.rules.clear()
    yield served
    served.simulation.cloud.faults.rules.clear()
    with CloudClient(served.address) as client:
        assert client.list_jobs(CLUSTER)["total_count"] == 30


def call(server: SimulatorServer, fault: str) -> tuple[int, bytes, http.client.HTTPMessage]:
    server.simulation.cloud.faults.add(fault)
    with CloudClient(server.address) as client:
        status, headers, body = client.send("GET", target(time.time(), {"cluster_id": CLUSTER}))
    assert isinstance(headers, http.client.HTTPMessage)
    return status, body, headers


def page(server: SimulatorServer, fault: str) -> Any:
    status, body, _ = call(server, fault)
    assert status == 200
    return json.loads(body)


def raw_exchange(
    server: SimulatorServer, *, most: int = 200_000, silent_after: bytes | None = None
) -> tuple[bytes, str]:
    """The bytes that came, and why no more did: ``end``, ``reset``, ``silence``, ``enough``.

    Silence is what comes when no more should: ``silent_after`` is what is heard before it.
    """
    where = urlsplit(server.address)
    with socket.create_connection((where.hostname, where.port), timeout=PATIENCE_SECONDS) as peer:
        asked = target(time.time(), {"cluster_id": CLUSTER})
        peer.sendall(f"GET {asked} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = b""
        while len(received) < most:
            if silent_after is not None and silent_after in received:
                peer.settimeout(SILENCE_SECONDS)
            try:
                more = peer.recv(65536)
            except ConnectionResetError:
                return received, "reset"
            except TimeoutError:
                return received, "silence"
            if not more:
                return received, "end"
            received += more
    return received, "enough"


@pytest.mark.parametrize("code", [*ERROR_CODES, 9999])
def test_refusals(server: SimulatorServer, code: int) -> None:
    answer = page(server, f"ret-{code}")
    assert answer["ret_code"] == code
    assert answer["message"]
    assert "hpc_job_set" not in answer


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503, 599])
def test_http_errors(server: SimulatorServer, status: int) -> None:
    got, body, headers = call(server, f"http-{status}")
    assert got == status
    assert headers["Content-Type"] == "text/html"
    assert b"<html>" in body


@pytest.mark.parametrize(
    "fault",
    [
        *("truncated-json", "not-utf8", "html", "empty-body"),
        *("not-utf8-in-name", "tab-in-path", "backslash-in-path", "newline-in-path"),
    ],
)
def test_bodies_that_are_no_json(server: SimulatorServer, fault: str) -> None:
    status, body, headers = call(server, fault)
    assert status == 200
    assert int(headers["Content-Length"]) == len(body)
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


@pytest.mark.parametrize("fault", ["not-utf8-in-name", "tab-in-path", "newline-in-path"])
def test_one_record_that_only_a_lenient_reader_reads(server: SimulatorServer, fault: str) -> None:
    _, body, _ = call(server, fault)
    lenient = json.loads(body.decode("utf-8", "replace"), strict=False)
    assert len(lenient["hpc_job_set"]) == 10
    assert json.loads(json.dumps(lenient)) == lenient


def test_a_lone_surrogate_travels_as_an_escape(server: SimulatorServer) -> None:
    _, body, _ = call(server, "surrogate-in-name")
    assert b"\\udce4" in body
    assert body.isascii()


def test_json_that_is_no_job_list(server: SimulatorServer) -> None:
    found = {}
    for fault in ("json-null", "json-list", "json-number", "json-string"):
        server.simulation.cloud.faults.rules.clear()
        found[fault] = page(server, fault)
    assert list(found.values()) == [None, [], 7, "ok"]


ABSURD = {
    "nested-records": lambda page: isinstance(page["hpc_job_set"][0], list),
    "code-missing": lambda page: "ret_code" not in page,
    "code-text": lambda page: page["ret_code"] == "none",
    "set-is-object": lambda page: isinstance(page["hpc_job_set"], dict),
    "set-is-text": lambda page: isinstance(page["hpc_job_set"], str),
    "set-missing": lambda page: "hpc_job_set" not in page,
    "set-of-nulls": lambda page: page["hpc_job_set"] == [None] * 10,
    "total-negative": lambda page: page["total_count"] == -1,
    "total-huge": lambda page: page["total_count"] == 10**40,
    "total-text": lambda page: page["total_count"] == "many",
    "total-zero": lambda page: page["total_count"] == 0 and len(page["hpc_job_set"]) == 10,
    "empty-page": lambda page: page["total_count"] == 30 and page["hpc_job_set"] == [],
    "null-record": lambda page: page["hpc_job_set"][0] is None,
    "no-identity": lambda page: "hpcjob_uuid" not in page["hpc_job_set"][0],
    "empty-identity": lambda page: page["hpc_job_set"][0]["hpcjob_uuid"] == "",
    "identity-number": lambda page: page["hpc_job_set"][0]["hpcjob_uuid"] == 12,
    "no-status": lambda page: "job_status" not in page["hpc_job_set"][0],
    "null-status": lambda page: page["hpc_job_set"][0]["job_status"] is None,
    "status-number": lambda page: page["hpc_job_set"][0]["job_status"] == 3,
    "huge-cores": lambda page: page["hpc_job_set"][0]["core_limit"] > 10**300,
    "negative-cores": lambda page: page["hpc_job_set"][0]["core_limit"] < 0,
    "text-cores": lambda page: page["hpc_job_set"][0]["core_limit"] == "a few",
    "absurd-times": lambda page: page["hpc_job_set"][0]["modified_time"] == 17,
    "huge-text": lambda page: len(page["hpc_job_set"][0]["job_name"]) == 2_000_000,
    "surrogate-in-name": lambda page: page["hpc_job_set"][0]["job_name"] == "J\udce4ger",
    "nan-memory": lambda page: math.isnan(page["hpc_job_set"][0]["mem_limit"]),
    "duplicate-records": lambda page: page["hpc_job_set"][0] == page["hpc_job_set"][10],
    "too-many-records": lambda page: len(page["hpc_job_set"]) == 500,
}


LASTING: dict[str, Callable[[Any], bool]] = {
    "lasting-no-identity": lambda record: "hpcjob_uuid" not in record,
    "lasting-nameless": lambda record: "hpcjob_uuid" not in record and "job_id" not in record,
    "lasting-null-status": lambda record: record["job_status"] is None,
}


@pytest.mark.parametrize("fault", ABSURD)
def test_absurd_pages(server: SimulatorServer, fault: str) -> None:
    answer = page(server, fault)
    assert ABSURD[fault](answer)
    if fault not in {"nested-records", "set-of-nulls"} and isinstance(
        answer.get("hpc_job_set"), list
    ):
        assert all("job_status" in record for record in answer["hpc_job_set"][1:])


def lasting(server: SimulatorServer, fault: str, is_damaged: Callable[[Any], bool]) -> set[int]:
    """The job ids of the damaged records, which are the same in two orders of the list."""
    server.simulation.cloud.faults.add(fault)
    found = []
    with CloudClient(server.address) as client:
        for reverse in ("0", "1"):
            order = {"sort_key": "job_id", "reverse": reverse, "limit": "100"}
            records = client.list_jobs(CLUSTER, **order)["hpc_job_set"]
            assert len(records) == 30
            found.append({each.get("job_id") for each in records if is_damaged(each)})
    assert found[0] == found[1]
    return found[0]


def test_records_that_are_always_damaged(server: SimulatorServer) -> None:
    for fault, is_damaged in LASTING.items():
        server.simulation.cloud.faults.rules.clear()
        named = None if fault == "lasting-nameless" else 10016
        assert lasting(server, fault, is_damaged) == {named}, fault


def test_nesting_that_exhausts_a_parser(server: SimulatorServer) -> None:
    _, body, _ = call(server, "json-nesting")
    with pytest.raises(RecursionError):
        json.loads(body)


WIRES = {
    # fault: (why it ends, whether a status line came, whether some of the body came)
    "close": ("end", False, False),
    "close-midway": ("end", True, True),
    "reset": ("reset", False, False),
    "reset-midway": ("reset", True, True),
    "stall": ("silence", False, False),
    "stall-midway": ("silence", True, True),
    "length-too-long": ("silence", True, True),
    "garbage": ("end", False, False),
}


@pytest.mark.parametrize("fault", WIRES)
def test_connections_that_break(server: SimulatorServer, fault: str) -> None:
    ending, head, body = WIRES[fault]
    server.simulation.cloud.faults.add(fault)
    heard = None if ending != "silence" else b'"hpc_job_set"' if body else b""
    received, why = raw_exchange(server, silent_after=heard)
    assert why == ending
    assert received.startswith(b"HTTP/1.1 200") == head
    assert (b'"hpc_job_set"' in received) == body
    assert (b"not HTTP" in received) == (fault == "garbage")
    if head:
        stated = int(received.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert len(received.partition(b"\r\n\r\n")[2]) < stated


def test_a_body_longer_than_stated(server: SimulatorServer) -> None:
    status, body, _ = call(server, "length-too-short")
    assert status == 200
    with pytest.raises(ValueError, match=r"."):
        json.loads(body)


@pytest.mark.parametrize(("fault", "head"), [("drip", True), ("drip-head", False)])
def test_drips(server: SimulatorServer, fault: str, head: bool) -> None:
    server.simulation.cloud.faults.add(fault, seconds=0.005)
    received, why = raw_exchange(server, most=400 if head else 8)
    assert why == "enough"
    assert received.startswith(b"HTTP/1.1 200 OK\r\n" if head else b"HTTP/1.1")


@pytest.mark.parametrize("fault", ["flood", "flood-head"])
def test_floods(server: SimulatorServer, fault: str) -> None:
    server.simulation.cloud.faults.add(fault)
    received, why = raw_exchange(server, most=20_000_000)
    assert why == "enough"
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length" not in received[:4000]
    assert (b"\r\n\r\n" in received) == (fault == "flood")


def test_redirects(server: SimulatorServer) -> None:
    for fault, expected in (("redirect", 302), ("redirect-permanently", 308)):
        server.simulation.cloud.faults.rules.clear()
        status, _, headers = call(server, fault)
        assert status == expected
        assert urlsplit(headers["Location"]).netloc not in server.address


def test_a_gzip_bomb(server: SimulatorServer) -> None:
    _, body, headers = call(server, "gzip-bomb")
    assert len(body) < 1_000_000
    assert headers["Content-Encoding"] == "gzip"
    unpacker, inflated = zlib.decompressobj(31), 0
    while more := unpacker.decompress(body, 10_000_000):
        inflated, body = inflated + len(more), unpacker.unconsumed_tail
    assert unpacker.eof
    assert inflated == 256 * 1024 * 1024


def test_slow_answers_come_whole(server: SimulatorServer) -> None:
    server.simulation.cloud.faults.add("slow", seconds=0.2)
    with CloudClient(server.address) as client:
        begun = time.time()
        assert len(client.list_jobs(CLUSTER)["hpc_job_set"]) == 10
        assert time.time() - begun >= 0.2
        assert len(client.list_jobs(CLUSTER)["hpc_job_set"]) == 10


def test_every_fault_is_known_and_tried_here() -> None:
    tried = {
        *ABSURD,
        *WIRES,
        *LASTING,
        *LIST_FAULTS,  # in test_list_faults.py
        *("not-utf8-in-name", "tab-in-path", "backslash-in-path", "newline-in-path"),
        *("html", "empty-body", "truncated-json", "not-utf8", "json-nesting"),
        *("json-null", "json-list", "json-number", "json-string", "length-too-short"),
        *("drip", "drip-head", "flood", "flood-head", "redirect", "redirect-permanently"),
        *("gzip-bomb", "slow"),
    }
    named = [name for name in fault_names() if not name.startswith(("ret-", "http-"))]
    assert set(named) == tried
    assert all(is_fault(name) for name in fault_names())
    for wrong in ("", "nonsense", "ret-", "ret-x", "http-999", "http-", "ret-１"):
        assert not is_fault(wrong)


def test_a_fault_in_one_cluster_leaves_the_others(server: SimulatorServer) -> None:
    server.simulation.cloud.faults.add("stall", cluster_id=CLUSTER)
    _, why = raw_exchange(server, silent_after=b"")
    assert why == "silence"
    with CloudClient(server.address) as client:
        assert client.list_jobs("ehpc-2")["ret_code"] == 0
    entry = server.simulation.cloud.journal[-2]
    assert (entry.cluster_id, entry.outcome, entry.fault) == (CLUSTER, "ok", "stall")


# The rules


def struck(plan: FaultPlan, calls: int = 12, cluster_id: str = "a", at: float = 0.0) -> list[int]:
    return [number for number in range(calls) if plan.choose(cluster_id, at)]


def test_rules_strike_as_they_say() -> None:
    cases = {
        "close": list(range(12)),
        "close:next=2": [0, 1],
        "close:skip=5,next=3": [5, 6, 7],
        "close:every=4": [3, 7, 11],
        "close:skip=1,every=5": [5, 10],
        "close:cluster=b": [],
        "close:cluster=a,next=1": [0],
        "close:probability=0": [],
        "close:for=0": [],
    }
    for spec, expected in cases.items():
        plan = FaultPlan()
        plan.add_spec(spec, 0.0)
        assert struck(plan) == expected, spec


def test_rules_in_force_for_a_time() -> None:
    plan = FaultPlan()
    plan.add_spec("slow:for=10,seconds=3", 100.0)
    fault = plan.choose("a", 109.9)
    assert fault is not None
    assert (fault.name, fault.seconds) == ("slow", 3.0)
    assert plan.choose("a", 110.0) is None


def test_probability_follows_the_seed() -> None:
    plans = [FaultPlan(seed=3), FaultPlan(seed=3), FaultPlan(seed=4)]
    for plan in plans:
        plan.add("close", probability=0.3)
    first, again, other = (struck(plan, 400) for plan in plans)
    assert first == again != other
    assert 60 < len(first) < 180


def test_the_first_rule_that_strikes_decides() -> None:
    plan = FaultPlan()
    plan.add("close", every=2)
    plan.add("reset")
    names = [fault.name for fault in (plan.choose("a", 0.0) for _ in range(4)) if fault]
    assert names == ["reset", "close", "reset", "close"]
    assert [rule.struck for rule in plan.rules] == [2, 2]


@pytest.mark.parametrize(
    "spec",
    [
        "nonsense",
        "close:every=0",
        "close:probability=2",
        "close:skip=-1",
        "close:next=x",
        "close:colour=red",
        "close:seconds=-1",
    ],
)
def test_rules_that_make_no_sense(spec: str) -> None:
    plan = FaultPlan()
    with pytest.raises(ValueError, match=r"."):
        plan.add_spec(spec, 0.0)
    assert not plan.rules


def test_a_client_that_resets_midway_harms_nobody(server: SimulatorServer) -> None:
    where = urlsplit(server.address)
    rng = random.Random(2)
    for _ in range(20):
        with socket.create_connection(
            (where.hostname, where.port), timeout=PATIENCE_SECONDS
        ) as peer:
            asked = f"GET {target(time.time(), {'cluster_id': CLUSTER})} HTTP/1.1\r\n\r\n"
            peer.sendall(asked.encode()[: rng.randrange(len(asked))])
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
