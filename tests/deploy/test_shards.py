"""Exporters that divide one configuration: the real processes against one simulated cloud."""

import signal
from bisect import bisect_left
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from exporter.config import shard_of
from exporter.simulator import JournalEntry
from tests.e2e.running import Exporter, World, config_of, run_command, write_config
from tests.waiting import until

CLUSTERS = [f"ehpc-{number}" for number in range(1, 7)]
SHARDS = 2
REQUESTS, PERIOD_SECONDS, SHARE = 40, 5, 0.5


def a_config(endpoint: str, state: str, clusters: Iterable[str] = CLUSTERS) -> dict[str, Any]:
    period = f"{PERIOD_SECONDS}s"
    quota = {"requests": REQUESTS, "period": period, "share": SHARE}
    # Calls count for a period and a timeout.
    return config_of(endpoint, clusters, quota=quota, state=state, timeout=period)


def most_within(seconds: float, calls: Iterable[JournalEntry]) -> int:
    """The most of these calls that were signed within so many seconds of each other, or in the
    second after them: a call says the whole second. How long it was on the way is left out."""
    signed = sorted(datetime.fromisoformat(entry.params["timestamp"]) for entry in calls)
    window = timedelta(seconds=seconds)
    return max(place + 1 - bisect_left(signed, at - window) for place, at in enumerate(signed))


def test_two_shards_poll_all_and_keep_the_share(tmp_path: Path) -> None:
    with World() as world, ExitStack() as running:
        for cluster_id in CLUSTERS:
            world.add(cluster_id)
            with world.lock:
                world.jobs(cluster_id).submit(1_700_000_000, queue="q", user="u", cores=4)
        exporters = [
            running.enter_context(
                Exporter(
                    tmp_path / str(index),
                    a_config(world.endpoint, "${SHARD_STATE}"),
                    f"--shard={index}/{SHARDS}",
                    environ={"SHARD_STATE": str(tmp_path / f"state-{index}")},
                )
            )
            for index in range(SHARDS)
        ]
        for index, exporter in enumerate(exporters):
            own = [each for each in CLUSTERS if shard_of(each, SHARDS) == index]
            assert own, "choose other ids: this shard has nothing to do"
            exporter.until_true({each: world.truth(each) for each in own})
            shown = exporter.scrape()
            assert {name for (name,) in shown.by("ehpc_up", "cluster_name")} == set(own)
            allowed = shown.value("ehpc_api_quota_requests", account="default")
            assert allowed == REQUESTS * SHARE / SHARDS
        began = len(world.calls())
        until(lambda: len(world.calls()) > began + 1.5 * REQUESTS * SHARE, "more calls")
        # Else it would be no wonder that the share is kept.
        until(
            lambda: most_within(PERIOD_SECONDS, world.calls()) > REQUESTS * SHARE / SHARDS,
            "more calls in a period than one shard may make",
        )
        assert {entry.cluster_id for entry in world.calls()} == set(CLUSTERS)
        assert most_within(PERIOD_SECONDS - 2, world.calls()) <= REQUESTS * SHARE


def test_a_reload_keeps_the_shard(tmp_path: Path) -> None:
    index = 1
    with World() as world:
        for cluster_id in CLUSTERS:
            world.add(cluster_id)
        own = [each for each in CLUSTERS if shard_of(each, SHARDS) == index]
        config = a_config(world.endpoint, ":memory:", own[:1])
        with Exporter(tmp_path, config, f"--shard={index}/{SHARDS}") as exporter:
            exporter.until_up(own[0])
            exporter.rewrite_config(a_config(world.endpoint, ":memory:"))
            exporter.process.send_signal(signal.SIGHUP)
            shown = exporter.until_up(*own)
            assert {name for (name,) in shown.by("ehpc_up", "cluster_name")} == set(own)
            assert exporter.log_lines("polling one shard", f"shard={index}/{SHARDS}")


def test_a_shard_without_a_cluster_is_ready(tmp_path: Path) -> None:
    index = 1 - shard_of(CLUSTERS[0], 2)
    config = a_config("http://127.0.0.1:9", ":memory:", CLUSTERS[:1])
    with Exporter(tmp_path, config, f"--shard={index}/2") as exporter:
        exporter.until_ready()
        assert exporter.get("/-/healthy")[0] == 200
        assert exporter.scrape().samples("ehpc_up") == []


def test_other_commands_know_the_shard(tmp_path: Path) -> None:
    with World() as world:
        for cluster_id in CLUSTERS:
            world.add(cluster_id)
        path = write_config(tmp_path, a_config(world.endpoint, ":memory:"))
        checked = run_command("check-config", f"--config.file={path}", "--shard=0/2")
        assert checked.returncode == 0, checked.stderr
        assert "divided among 2 shards" in checked.stdout
        looked = run_command(
            "collect", f"--config.file={path}", "--shard=0/2", "--format=prometheus"
        )
        assert looked.returncode == 0, looked.stderr
        own = {each for each in CLUSTERS if shard_of(each, 2) == 0}
        assert {entry.cluster_id for entry in world.calls()} == own
        wrong = run_command("serve", f"--config.file={path}", "--shard=2/2")
        assert wrong.returncode == 2
        assert "of 2 shards the last one is 1/2" in wrong.stderr
