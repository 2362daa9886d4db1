"""Queues, nodes and clusters, by the real process: asked, shown, dropped, and left alone."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import HostedCluster, parse_fleet
from exporter.simulator.records import CONTENT_MARK
from tests.e2e.running import Exporter, Metrics, World, config_of
from tests.waiting import until

EHPC, HPC = "ehpc-qmmvigwe", "hpc-n2yopbte"
CLUSTERS = {"cfd": EHPC, "hpc": HPC}
GPU = "gpu a100"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        for cluster_id in CLUSTERS.values():
            build(world.add(cluster_id))
        yield world


def build(hosted: HostedCluster) -> None:
    hosted.plant.add_queue(GPU, cores=64, gpus=8, memory_gb=512)
    hosted.plant.add_queue("默认队列", cores=32)
    at = time.time() - 100
    for number in range(5):
        uuid = hosted.jobs.submit(at, queue=GPU, user="u", cores=16)
        if number < 3:
            hosted.jobs.start(uuid, at + 1)


def config(world: World, interval: str, **more: Any) -> dict[str, Any]:
    return config_of(world.endpoint, CLUSTERS, capacity_interval=interval, **more)


def until_told(exporter: Exporter) -> Metrics:
    def told() -> Metrics | None:
        metrics = exporter.scrape()
        return metrics if len(metrics.samples("ehpc_capacity_timestamp_seconds")) == 2 else None

    return until(told, "capacity of both clusters")


def fleet_calls(world: World) -> list[str]:
    with world.lock:
        return [entry.path for entry in world.cloud.journal if entry.path != "/api/job/list"]


@pytest.mark.parametrize("fleet", ["documented", "by-the-table,owner=optional", "texts"])
def test_what_clusters_can_run_joins_what_is_asked_of_them(
    world: World, tmp_path: Path, fleet: str
) -> None:
    world.cloud.fleet = parse_fleet(fleet)
    with Exporter(tmp_path, config(world, "1h")) as exporter:
        metrics = until_told(exporter)
        for name in CLUSTERS:
            who = {"cluster_name": name, "queue": GPU}
            assert metrics.value("ehpc_queue_cores", **who) == 64
            assert metrics.value("ehpc_queue_cores_available", **who) == 16
            assert metrics.value("ehpc_queue_gpus", **who) == 8
            assert metrics.value("ehpc_queue_memory_bytes", **who) == 512 * 2**30
            assert metrics.sum("ehpc_jobs_cores", status="running", **who) == 48
            assert metrics.value("ehpc_cluster_status", cluster_name=name, status="active") == 1
            listed = metrics.by("ehpc_cluster_listed_jobs", "status", cluster_name=name)
            assert (listed["pending",], listed["running",]) == (2, 3)
        nodes = metrics.by("ehpc_nodes", "role", "status", cluster_name="cfd")
        assert nodes["compute", "active"] == 3
        assert (
            metrics.value("ehpc_queue_nodes", cluster_name="cfd", queue=GPU, status="active") == 2
        )
        assert CONTENT_MARK not in metrics.text + exporter.log()
        status, page = exporter.get("/")
        assert status == 200
        assert "48 of 96 free" in page
        assert not exporter.log_lines("capacity")


def test_who_may_not_ask_is_told_once_and_asks_no_more(world: World, tmp_path: Path) -> None:
    world.cloud.fleet = parse_fleet("forbidden")
    queues = {"queues": {GPU: {"cores": 512}}}
    asked = config(world, "1s")
    asked["clusters"] = [each | queues for each in asked["clusters"]]
    with Exporter(tmp_path, asked) as exporter:
        until(
            lambda: len(exporter.log_lines("asked no more")) == 5,
            "all that may not be asked to be told",
        )
        lines = exporter.log_lines("asked no more")
        assert all("reason=denied" in line for line in lines)
        metrics = exporter.until_up(*CLUSTERS)
        assert set(metrics.by("ehpc_queue_cores", "queue").values()) == {1024}
        assert not metrics.samples("ehpc_nodes")
        calls = len(fleet_calls(world))
        for _ in exporter.scrapes(CLUSTERS, turns=8):
            pass
        assert len(fleet_calls(world)) == calls == 5


def test_it_is_switched_off_and_on_while_jobs_are_followed_undisturbed(
    world: World, tmp_path: Path
) -> None:
    with Exporter(tmp_path, config(world, "off"), "--log.level=debug") as exporter:
        exporter.until_up(*CLUSTERS)
        assert fleet_calls(world) == []
        reload(exporter, config(world, "1s"), 1)
        until_told(exporter)
        reload(exporter, config(world, "off"), 2)
        until(lambda: not exporter.scrape().samples("ehpc_queue_cores"), "capacity to go")

        def nothing_asked() -> bool:
            calls = len(fleet_calls(world))
            for _ in exporter.scrapes(CLUSTERS, turns=8):
                pass
            return len(fleet_calls(world)) == calls

        until(nothing_asked, "the end of a call that was under way")
        begun = exporter.log_lines("polling begins")
        assert len(begun) == len(CLUSTERS), "nobody has begun anew"


def reload(exporter: Exporter, config: dict[str, Any], times: int) -> None:
    exporter.rewrite_config(config)
    exporter.process.send_signal(signal.SIGHUP)
    until(
        lambda: len(exporter.log_lines("the configuration was reloaded")) == times,
        "the configuration to be reloaded",
    )
