"""What keeps what silent, asked of a real Alertmanager with the routes that people deploy."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.deploy.rule_files import ALERTMANAGER, alerts
from tests.e2e.real_prometheus import fetch
from tests.servers import kept_address, program
from tests.waiting import PATIENCE_SECONDS, until

Tool = Callable[[str], str]
Labels = dict[str, str]

ALERTS = alerts()
QUEUE_ALERTS = [name for name, rule in ALERTS.items() if rule.raw["labels"]["scope"] == "jobs"]


def alert(name: str, **labels: str) -> Labels:
    """An alert as Prometheus would send it."""
    return {"alertname": name, "job": "ehpc", **ALERTS[name].raw["labels"], **labels}


def of_queue(name: str, cluster: str = "cfd", queue: str = "q") -> Labels:
    user = {"user": "wang"} if name == "EhpcUserHoldsBacklog" else {}
    return alert(name, cluster_name=cluster, queue=queue, **user)


def not_synced(cluster: str) -> Labels:
    return alert("EhpcClusterNotSynced", cluster_name=cluster, account="default")


@contextlib.contextmanager
def alertmanager(directory: Path, require_tool: Tool) -> Iterator[str]:
    with kept_address() as address, program(
        directory / "log", address,
        require_tool("prometheus-alertmanager"), f"--config.file={ALERTMANAGER}",
        f"--storage.path={directory}", f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ) as url:  # fmt: skip
        yield url


SETTLING_SECONDS = 1.0
"""The inhibitor learns of an alert a moment after the one who lists them."""


def heard(url: str, firing: Iterable[Labels], expected: list[str]) -> list[str]:
    """The names of those that nothing keeps silent, once they are the expected ones for a while."""
    sent = list(firing)
    body = json.dumps([{"labels": labels} for labels in sent]).encode()
    request = urllib.request.Request(
        f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()

    def all_known() -> list[dict[str, object]] | None:
        known = json.loads(fetch(f"{url}/api/v2/alerts"))
        return known if len(known) == len(sent) else None

    def audible() -> list[str]:
        known = until(all_known, "Alertmanager to know the alerts")
        loud = [x["labels"] for x in known if not x["status"]["inhibitedBy"]]  # type: ignore[index]
        return sorted(labels["alertname"] for labels in loud)  # type: ignore[index]

    until(lambda: audible() == expected, f"nothing but {expected} to be heard")
    time.sleep(SETTLING_SECONDS)
    return audible()


CASES = {
    "an exporter is down": (
        [
            alert("EhpcExporterDown", instance="a"),
            alert("EhpcClusterUnwatched", cluster_name="cfd"),
            *(of_queue(name) for name in QUEUE_ALERTS),
            alert("EhpcLedgerCorrected", cluster_name="cfd"),
        ],
        ["EhpcExporterDown"],
    ),
    "another exporter of the same job goes on": (
        [
            alert("EhpcExporterDown", instance="a"),
            of_queue("EhpcQueueNotDraining", cluster="of another"),
            alert("EhpcAccountLockedOut", account="of another"),
        ],
        ["EhpcAccountLockedOut", "EhpcExporterDown", "EhpcQueueNotDraining"],
    ),
    "a cluster that nobody reports": (
        [alert("EhpcClusterUnwatched", cluster_name="cfd"), of_queue("EhpcBacklogStays")],
        ["EhpcClusterUnwatched"],
    ),
    "an account is locked out": (
        [
            alert("EhpcAccountLockedOut", account="default"),
            not_synced("cfd"),
            alert("EhpcDataStale", cluster_name="cfd"),
            of_queue("EhpcBacklogStays"),
            alert("EhpcClusterNotSynced", cluster_name="cae", account="of another"),
        ],
        ["EhpcAccountLockedOut", "EhpcClusterNotSynced"],
    ),
    "a cluster cannot be read": (
        [
            not_synced("cfd"),
            alert("EhpcDataStale", cluster_name="cfd"),
            of_queue("EhpcJobsFail"),
            of_queue("EhpcJobsFail", cluster="cae"),
        ],
        ["EhpcClusterNotSynced", "EhpcJobsFail"],
    ),
    "a poller is stuck": (
        [
            alert("EhpcPollerStuck", cluster_name="cfd"),
            alert("EhpcDataStale", cluster_name="cfd"),
            of_queue("EhpcJobsFail"),
        ],
        ["EhpcPollerStuck"],
    ),
    "a queue starts nothing": (
        [of_queue(name) for name in QUEUE_ALERTS] + [of_queue("EhpcBacklogStays", queue="other")],
        ["EhpcBacklogStays", "EhpcJobsFail", "EhpcQueueNotDraining"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_cause_keeps_its_consequences_silent(
    case: str, tmp_path: Path, require_tool: Tool
) -> None:
    firing, expected = CASES[case]
    with alertmanager(tmp_path, require_tool) as url:
        assert heard(url, firing, expected) == expected
