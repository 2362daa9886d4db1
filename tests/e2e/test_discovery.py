"""Clusters that are found by themselves, come, stop and go, while the program runs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporter.simulator import fill
from tests.e2e.running import Exporter, World, config_of, run_command, write_config
from tests.waiting import until


def config(world: World, clusters: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    made = config_of(world.endpoint, clusters or {}, **more)
    made["accounts"][0]["discovery"] = {
        "zones": ["jinan1a"], "exclude": ["ehpc-unwanted"], "interval": "1s",
    }  # fmt: skip
    if not clusters:
        del made["clusters"]
    return made


def populate(world: World, *cluster_ids: str) -> None:
    for number, cluster_id in enumerate(cluster_ids):
        with world.lock:  # it may be queried as soon as it is there
            hosted = world.add(cluster_id)
            fill(hosted.jobs, 150, active=30, now_at=time.time(), seed=number)


def until_watched(exporter: Exporter, *names: str) -> None:
    def watched() -> bool:
        up = exporter.scrape().by("ehpc_up", "cluster_name")
        return up == {(name,): 1.0 for name in names}

    until(watched, f"just {names} to be watched")


def test_an_account_and_a_zone_are_enough(tmp_path: Path) -> None:
    with World() as world:
        populate(world, "ehpc-one", "ehpc-two", "ehpc-unwanted")
        with Exporter(tmp_path, config(world), "--log.level=debug") as exporter:
            exporter.until_ready()
            until_watched(exporter, "ehpc-one", "ehpc-two")
            truths = {name: world.truth(name) for name in ("ehpc-one", "ehpc-two")}
            exporter.until_true(truths)
            (begun,) = exporter.log_lines("polling begins", "cluster=ehpc-one")
            populate(world, "ehpc-three")
            until_watched(exporter, "ehpc-one", "ehpc-two", "ehpc-three")
            with world.lock:
                world.cloud.remove_cluster("ehpc-two")
            until_watched(exporter, "ehpc-one", "ehpc-three")
            # Its jobs are taken away first, then what was counted of its calls; then that is told.
            until(
                lambda: exporter.log_lines("the watched clusters have changed", "gone=ehpc-two"),
                "it to be told",
            )
            assert 'cluster_name="ehpc-two"' not in exporter.scrape().text
            assert exporter.log_lines("polling begins", "cluster=ehpc-one") == [begun]
            status, page = exporter.get("/")
            assert (status, "ehpc-three" in page) == (200, True)


def test_what_is_configured_stays_while_clusters_cannot_be_listed(tmp_path: Path) -> None:
    with World() as world:
        populate(world, "ehpc-one", "ehpc-two")
        with world.lock:
            rule = world.cloud.faults.add("ret-1400", cluster_id="")
        with Exporter(tmp_path, config(world, {"cfd": "ehpc-one"})) as exporter:
            until_watched(exporter, "cfd")
            exporter.until_ready()
            until(lambda: exporter.log_lines("cannot be listed", "reason=denied"), "the reason")
            with world.lock:
                world.cloud.faults.rules.remove(rule)
            until_watched(exporter, "cfd", "ehpc-two")
            exporter.until_ready()
            assert len(exporter.log_lines("cannot be listed")) == 1


def test_the_other_commands_find_them_too(tmp_path: Path) -> None:
    with World() as world:
        populate(world, "ehpc-one", "ehpc-two")
        path = write_config(tmp_path, config(world, state=str(tmp_path / "state")))
        checks: dict[str, Callable[[str], bool]] = {
            "collect": lambda out: "ehpc-one" in out and "ehpc-two" in out,
            "doctor": lambda out: "ehpc-one" in out and "ehpc-two" in out,
            "check-config": lambda out: "discovers clusters in jinan1a" in out,
        }
        for command, right in checks.items():
            done = run_command(command, f"--config.file={path}")
            assert (done.returncode, done.stderr) == (0, ""), command
            assert right(done.stdout), done.stdout
        world.fault("ret-1400", cluster_id="")
        path = write_config(tmp_path, config(world, {"cfd": "ehpc-one"}))
        done = run_command("collect", f"--config.file={path}", "--cluster=cfd")
        assert (done.returncode, "cfd" in done.stdout) == (0, True)
        assert "cannot be listed" in done.stderr
