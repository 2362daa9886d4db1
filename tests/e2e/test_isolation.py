"""A cluster that hangs delays no other, nor a scrape; a cloud out of reach delays no start."""

import contextlib
import socket
import time
from pathlib import Path

from exporter.catalog import JOB_GAUGES
from tests.e2e.churn import populate
from tests.e2e.running import Exporter, World, config_of
from tests.ports import kept_port
from tests.waiting import until

STALENESS_SECONDS = 5


def test_one_hanging_cluster_of_four_delays_nobody(tmp_path: Path) -> None:
    clusters = ["one", "two", "three", "hanging"]
    with World() as world:
        for number, name in enumerate(clusters):
            populate(world.add(name).jobs, 230, active=40, seed=number)
        config = config_of(world.endpoint, clusters, timeout="1h")
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({name: world.truth(name) for name in clusters})
            kept = world.truth("hanging")
            world.fault("stall", cluster_id="hanging")
            until(lambda: [x for x in world.calls("hanging") if x.fault], "a call that hangs")
            # What waited for that call would wait for an hour.
            before = exporter.scrape().turns(*clusters)
            for metrics in exporter.scrapes(clusters, turns=15):
                with world.lock:
                    for name in clusters:
                        world.jobs(name).submit(time.time(), queue="q", user="u")
                assert exporter.get("/-/healthy")[0] == 200
                assert exporter.get("/")[0] == 200
                assert [metrics.up(name) for name in clusters[:3]] == [1, 1, 1]
                assert metrics.jobs()["hanging"] == kept
            metrics = exporter.until_true({name: world.truth(name) for name in clusters[:3]})
            went_on = [
                now > then for now, then in zip(metrics.turns(*clusters), before, strict=True)
            ]
            assert went_on == [True, True, True, False]
            # The call still hangs while the process is told to stop.
            exporter.stop()


def test_starting_with_no_cloud_in_reach(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(kept_port())
        config = config_of(f"http://127.0.0.1:{port}", ["early", "late"])
        # Until this has been seen, no call ends.
        mute = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        exporter = stack.enter_context(Exporter(tmp_path, config))
        assert exporter.get("/-/healthy")[0] == 200
        status, text = exporter.get("/-/ready")
        assert status == 503
        assert "early" in text
        mute.close()
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
        config["clusters"][0]["staleness"] = f"{STALENESS_SECONDS}s"
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({"c": world.truth("c")})
            world.fault("ret-1400")
            metrics = exporter.until_right(lambda shown: shown.up("c") != 0, ["c"])
            taken_at = metrics.value("ehpc_snapshot_timestamp_seconds", cluster_name="c")
            assert taken_at
            if time.time() - taken_at < STALENESS_SECONDS:
                assert metrics.jobs() == {"c": world.truth("c")}
            until(lambda: not exporter.scrape().samples("ehpc_jobs"), "the counts to be withdrawn")
            metrics = exporter.scrape()
            for metric in JOB_GAUGES:
                assert not metrics.samples(metric.name), metric.name
            assert metrics.up("c") == 0
            assert metrics.value("ehpc_snapshot_timestamp_seconds", cluster_name="c")
            assert metrics.value("ehpc_last_sync_success_timestamp_seconds", cluster_name="c")
            assert metrics.sum("ehpc_sync_failures_total", reason="denied") >= 1
            world.no_faults()
            exporter.until_true({"c": world.truth("c")})
