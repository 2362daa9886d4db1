"""A cluster that hangs delays no other, nor a scrape; a cloud out of reach delays no start."""

import contextlib
import socket
import time
from pathlib import Path

from tests.e2e.churn import populate
from tests.e2e.running import Exporter, World, config_of, until

FEW_INTERVALS_SECONDS = 5.0
"""Of one second each; the machine is busy with other tests."""
SCRAPE_SECONDS = 2.0
"""Far more than a scrape takes, far less than a call that hangs."""


def test_one_hanging_cluster_of_four_delays_nobody(tmp_path: Path) -> None:
    clusters = ["one", "two", "three", "hanging"]
    with World() as world:
        for number, name in enumerate(clusters):
            populate(world.add(name).jobs, 230, active=40, seed=number)
        config = config_of(world.endpoint, clusters, timeout="10s")
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({name: world.truth(name) for name in clusters})
            kept = world.truth("hanging")
            world.fault("stall", cluster_id="hanging")
            until(lambda: [x for x in world.calls("hanging") if x.fault], "a call that hangs")
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline:
                with world.lock:
                    for name in clusters:
                        world.jobs(name).submit(time.time(), queue="q", user="u")
                begun = time.monotonic()
                metrics = exporter.scrape()
                assert exporter.get("/-/healthy")[0] == 200
                assert exporter.get("/")[0] == 200
                assert time.monotonic() - begun < SCRAPE_SECONDS
                for name in clusters[:3]:
                    taken_at = metrics.value("ehpc_snapshot_timestamp_seconds", cluster_name=name)
                    assert taken_at is not None
                    assert time.time() - taken_at < FEW_INTERVALS_SECONDS
                    assert metrics.up(name) == 1
                assert metrics.jobs()["hanging"] == kept
                time.sleep(0.3)
            exporter.until_true({name: world.truth(name) for name in clusters[:3]})
            # The call still hangs while the process is told to stop.
            assert exporter.scrape().value("ehpc_syncs_total", cluster_name="one") is not None
            exporter.stop()


def test_starting_with_no_cloud_in_reach(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    config = config_of(f"http://127.0.0.1:{port}", ["early", "late"])
    with Exporter(tmp_path, config) as exporter:
        assert exporter.get("/-/healthy")[0] == 200
        status, text = exporter.get("/-/ready")
        assert status == 503
        assert "early" in text
        exporter.until_ready()
        metrics = exporter.scrape()
        assert [metrics.up(name) for name in ("early", "late")] == [0, 0]
        assert metrics.jobs() == {}
        assert metrics.value("ehpc_snapshot_timestamp_seconds", cluster_name="early") is None
        with World(port=port) as world:
            for name in ("early", "late"):
                populate(world.add(name).jobs, 130, active=30)
            exporter.until_true({name: world.truth(name) for name in ("early", "late")})
            exporter.until_up("early", "late")


def test_counts_are_withdrawn_once_they_are_stale(tmp_path: Path) -> None:
    """The counters and the timestamps stay; the counts come back with the cloud."""
    with World() as world:
        populate(world.add("c").jobs, 130, active=30)
        config = config_of(world.endpoint, ["c"], staleness="1h")
        config["clusters"][0]["staleness"] = "4s"
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({"c": world.truth("c")})
            world.fault("ret-1400")
            until(lambda: exporter.scrape().up("c") == 0, "the failure")
            assert exporter.scrape().jobs()["c"] == world.truth("c")
            until(lambda: not exporter.scrape().samples("ehpc_jobs"), "the counts to be withdrawn")
            metrics = exporter.scrape()
            assert not metrics.samples("ehpc_jobs_cores")
            assert not metrics.samples("ehpc_oldest_pending_submit_timestamp_seconds")
            assert metrics.up("c") == 0
            assert metrics.value("ehpc_snapshot_timestamp_seconds", cluster_name="c")
            assert metrics.value("ehpc_last_sync_success_timestamp_seconds", cluster_name="c")
            assert metrics.sum("ehpc_sync_failures_total", reason="denied") >= 1
            world.no_faults()
            exporter.until_true({"c": world.truth("c")})
