"""Lists that are wrong for a while, in process and over the wire; and which faults a caller in
process meets."""

import json
from typing import Any

import pytest

from exporter.simulator import Cloud, parse_dialect
from tests.simulator.cloud_client import raw_query, signed_params
from tests.simulator.one_list import AT, a_cloud, ask

JOBS = 330


@pytest.fixture
def cloud() -> Cloud:
    return a_cloud(jobs=JOBS)


def ask_over_the_wire(cloud: Cloud, **params: str) -> dict[str, Any]:
    query = raw_query(signed_params(AT, {"cluster_id": "c", "limit": "100", **params}))
    answer: dict[str, Any] = json.loads(cloud.handle("GET", "/api/job/list", query, AT).body)
    return answer


def walk(cloud: Cloud, **params: str) -> list[str]:
    """Every row of the list, page by page."""
    rows: list[str] = []
    while page := ask(cloud, offset=str(len(rows)), **params)["hpc_job_set"]:
        rows += [record["hpcjob_uuid"] for record in page]
    return rows


ORDERS: list[dict[str, str]] = [
    {},
    {"sort_key": "modified_time", "reverse": "1"},
    {"jobs_status": "running", "sort_key": "submitted_time", "reverse": "0"},
]


def test_an_empty_list(cloud: Cloud) -> None:
    cloud.faults.add("empty-list", next_calls=2)
    for answer in (ask(cloud), ask_over_the_wire(cloud)):
        assert (answer["ret_code"], answer["total_count"], answer["hpc_job_set"]) == (0, 0, [])
    assert [entry.fault for entry in cloud.journal] == ["empty-list"] * 2
    assert ask(cloud)["total_count"] == ask_over_the_wire(cloud)["total_count"] == JOBS


def test_a_list_of_one_page_that_comes_back(cloud: Cloud) -> None:
    newest = set(walk(cloud)[:100])
    cloud.faults.add("one-page", cluster_id="c")
    for order in ORDERS:
        rows = walk(cloud, **order)
        assert set(rows) == newest if "jobs_status" not in order else set(rows) < newest
        assert ask(cloud, **order)["total_count"] == len(rows)
    assert ask_over_the_wire(cloud, offset="100")["hpc_job_set"] == []
    cloud.clusters["c"].speak(parse_dialect("page_cap=8"))
    assert len(walk(cloud)) == 8
    cloud.faults.rules.clear()
    assert len(walk(cloud)) == JOBS


@pytest.mark.parametrize("total", ["filtered", "whole"])
def test_half_the_shards_are_always_the_same_half(cloud: Cloud, total: str) -> None:
    cloud.clusters["c"].speak(parse_dialect(f"total_count={total}"))
    right = [walk(cloud, **order) for order in ORDERS]
    cloud.faults.add("half-the-shards")
    halves = [walk(cloud, **order) for order in ORDERS]
    assert JOBS * 0.4 < len(halves[0]) < JOBS * 0.6
    assert set(halves[0]) == set(halves[1]) > set(halves[2])
    for whole, half, order in zip(right, halves, ORDERS, strict=True):
        assert half == [uuid for uuid in whole if uuid in set(halves[0])]
        told = len(halves[0]) if total == "whole" else len(half)
        assert ask(cloud, **order)["total_count"] == told


def test_rows_twice(cloud: Cloud) -> None:
    right = walk(cloud)
    cloud.faults.add("rows-twice")
    assert walk(cloud) == right + right[:30]
    assert ask(cloud)["total_count"] == JOBS + 30


def test_every_dialect_speaks_of_the_wrong_list(cloud: Cloud) -> None:
    cloud.clusters["c"].speak(parse_dialect("filter_after_cut=yes,depth=150,lag=20"))
    cloud.faults.add("half-the-shards")
    first, second = (ask(cloud, jobs_status="running", offset=at) for at in ("0", "100"))
    running = ask(cloud, jobs_status="running")["total_count"]
    assert JOBS / 3 * 0.35 < running < JOBS / 3 * 0.65
    assert 0 < len(first["hpc_job_set"]) + len(second["hpc_job_set"]) <= running


def test_a_cache_keeps_the_wrong_page(cloud: Cloud) -> None:
    cloud.clusters["c"].speak(parse_dialect("cache=20"))
    cloud.faults.add("empty-list", next_calls=1)
    assert ask(cloud)["total_count"] == ask(cloud, AT + 5019)["total_count"] == 0
    assert ask(cloud, limit="99")["total_count"] == JOBS
    assert ask(cloud, AT + 5020)["total_count"] == JOBS


def test_in_process_faults_of_objects_are_played_and_others_wait(cloud: Cloud) -> None:
    cloud.faults.add("stall", next_calls=1)
    cloud.faults.add("null-status", next_calls=1)
    cloud.faults.add("ret-5100", next_calls=1)
    cloud.faults.add("surrogate-in-name", next_calls=1)
    assert [record["job_status"] for record in ask(cloud)["hpc_job_set"]].count(None) == 1
    assert ask(cloud)["ret_code"] == 5100
    assert "\udce4" in ask(cloud)["hpc_job_set"][0]["job_name"]
    assert ask(cloud)["total_count"] == JOBS
    assert [entry.fault for entry in cloud.journal] == [
        "null-status", "ret-5100", "surrogate-in-name", "",
    ]  # fmt: skip
    assert [rule.struck for rule in cloud.faults.rules] == [0, 1, 1, 1]
