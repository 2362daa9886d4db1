"""One call for a fleet: a cluster is asked when its counters move, where they can be relied on."""

import time
from pathlib import Path

import pytest

from exporter.simulator import fill, parse_fleet
from tests.e2e.running import Exporter, World, config_of
from tests.waiting import until

LIST = "/api/cluster/list"
CLUSTERS = ("ehpc-one", "ehpc-two", "ehpc-three")
FOLLOW = {"documented": True, "counters-still": False}


def following(exporter: Exporter) -> set[str]:
    rows = exporter.scrape().samples("ehpc_server_trait", trait="counters", value="follow")
    return {row.labels["cluster_name"] for row in rows}


@pytest.mark.parametrize("fleet", FOLLOW)
def test_what_stands_still_is_asked_only_where_counters_cannot_be_relied_on(
    tmp_path: Path, fleet: str
) -> None:
    with World() as world:
        world.cloud.fleet = parse_fleet(fleet)
        for seed, each in enumerate(CLUSTERS):
            fill(world.add(each).jobs, 150, active=30, now_at=time.time() - 60, seed=seed)
        config = config_of(world.endpoint, CLUSTERS, audit_interval="1h", change_detector="auto")
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({each: world.truth(each) for each in CLUSTERS})
            for _ in range(3):
                submit(world)
                exporter.until_true({each: world.truth(each) for each in CLUSTERS})
                if FOLLOW[fleet]:
                    known = paths(world).count(LIST)
                    until(lambda: paths(world).count(LIST) >= known + 2, "it to be listed")  # noqa: B023
            if FOLLOW[fleet]:
                until(lambda: following(exporter) == set(CLUSTERS), "counters to be relied on")
                until(lambda: paths(world)[-4:] == [LIST] * 4, "nothing but the list to be asked")
                submit(world)
                exporter.until_true({each: world.truth(each) for each in CLUSTERS})
            assert FOLLOW[fleet] or not following(exporter)
            assert LIST in paths(world)
            assert not exporter.log_lines("error of this program")


def submit(world: World) -> None:
    with world.lock:
        for each in CLUSTERS:
            world.jobs(each).submit(time.time(), queue="normal", user="u", cores=4)


def paths(world: World) -> list[str]:
    return [entry.path for entry in world.calls()]
