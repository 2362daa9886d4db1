"""One call for a fleet: a cluster is asked when its counters move, where they can be relied on."""

import time
from pathlib import Path

import pytest

from exporter.simulator import fill, parse_fleet
from tests.e2e.running import Exporter, World, config_of
from tests.waiting import until

CLUSTERS = ("ehpc-one", "ehpc-two", "ehpc-three")
TRUST = {"documented": "follow", "texts": "follow", "counters-still": "unknown"}


def trusted(exporter: Exporter, value: str) -> set[str]:
    rows = exporter.scrape().samples("ehpc_server_trait", trait="counters", value=value)
    return {row.labels["cluster_name"] for row in rows}


@pytest.mark.parametrize("fleet", TRUST)
def test_what_stands_still_is_asked_only_where_counters_cannot_be_relied_on(
    tmp_path: Path, fleet: str
) -> None:
    with World() as world:
        world.cloud.fleet = parse_fleet(fleet)
        for seed, each in enumerate(CLUSTERS):
            fill(world.add(each).jobs, 150, active=30, now_at=time.time() - 60, seed=seed)
        config = config_of(
            world.endpoint, CLUSTERS, interval="2s", audit_interval="1h", change_detector="auto"
        )
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({each: world.truth(each) for each in CLUSTERS})
            submit(world)
            exporter.until_true({each: world.truth(each) for each in CLUSTERS})

            def proven() -> bool:
                submit(world)
                return trusted(exporter, TRUST[fleet]) == set(CLUSTERS)

            until(proven, f"the counters to be {TRUST[fleet]}")
            until(lambda: paths(world)[-8:].count("/api/cluster/list") >= 2, "the list to be asked")
            if TRUST[fleet] == "follow":
                quiet = ["/api/cluster/list"] * 4
                until(lambda: paths(world)[-4:] == quiet, "nothing but the list to be asked")
                fresh_at = min(exporter.scrape().by("ehpc_snapshot_timestamp_seconds").values())
                until(
                    lambda: (
                        min(exporter.scrape().by("ehpc_snapshot_timestamp_seconds").values())
                        > fresh_at
                    ),
                    "counts to stay fresh with the list alone",
                )
            submit(world)
            exporter.until_true({each: world.truth(each) for each in CLUSTERS})
            assert not exporter.log_lines("error of this program")


def submit(world: World) -> None:
    with world.lock:
        for each in CLUSTERS:
            world.jobs(each).submit(time.time(), queue="normal", user="u", cores=4)


def paths(world: World) -> list[str]:
    return [entry.path for entry in world.calls()]
