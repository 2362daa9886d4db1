"""A real Prometheus scrapes the real process; promtool finds nothing to say about its text."""

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.churn import USERS, Churn, populate
from tests.e2e.real_prometheus import query, scraping
from tests.e2e.running import Exporter, World, config_of
from tests.waiting import until

CLUSTERS = ("cfd", "fea")


def test_prometheus_agrees_with_the_list(
    prometheus_tool: Callable[[str], str], tmp_path: Path
) -> None:
    with World() as world:
        for name in CLUSTERS:
            populate(world.add(name).jobs, 330, active=60)
        with Exporter(tmp_path / "exporter", config_of(world.endpoint, CLUSTERS)) as exporter:
            exporter.until_true({name: world.truth(name) for name in CLUSTERS})
            with world.lock:
                Churn(world.jobs("cfd")).stir(50)
            target = (
                f"- {{job_name: ehpc, static_configs: [{{targets: ['{exporter.address}']}}]}}\n"
            )
            with scraping(prometheus_tool("prometheus"), tmp_path, target) as address:
                until(lambda: query(address, "up{job='ehpc'} == 1"), "a scrape that succeeds")
                for name in CLUSTERS:
                    agrees(address, name, world)
            text = exporter.get("/metrics")[1]
            check = subprocess.run(
                [prometheus_tool("promtool"), "check", "metrics"],
                input=text, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def agrees(address: str, name: str, world: World) -> None:
    """The sums by status, and by user, come to be those of the list."""
    by_status: Counter[str] = Counter()
    by_user: Counter[str] = Counter()
    for key, count in world.truth(name).items():
        by_status[key.status] += count
        by_user[key.user] += count
    assert set(by_user) == set(USERS)
    jobs = f"ehpc_jobs{{cluster_name='{name}'}}"
    until(lambda: sums(address, "status", jobs) == by_status, f"the right sums by status of {name}")
    assert sums(address, "user", jobs) == by_user


def sums(address: str, label: str, selected: str) -> Counter[str]:
    rows: list[dict[str, Any]] = query(address, f"sum by ({label}) ({selected})")
    return +Counter({row["metric"].get(label, ""): int(row["value"][1]) for row in rows})
