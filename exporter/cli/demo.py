"""``demo``: a simulated cloud in this process, and the daemon connected to it."""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exporter.clock import SystemClock
from exporter.config import ServeOptions
from exporter.redaction import Redactor
from exporter.simulator.command import add_arguments, build_simulation
from exporter.simulator.server import SimulatorServer
from exporter.simulator.story import FLOOD_QUEUE, PERIOD_SECONDS
from exporter.simulator.workload import GROUPS
from exporter.texts import Words

QUOTA_REQUESTS = 20_000
"""More than the real cloud's, so that a demonstration can look every few seconds."""

INTERVAL = "5s"

GROUPS_FILE = "groups.csv"
"""Beside the configuration."""

_KEY_ID, _SECRET = "DEMOACCESSKEYID", "demo-secret-access-key"


@dataclass(frozen=True, slots=True)
class SimulatedCluster:
    """A cluster that the simulated cloud has."""

    cluster_id: str
    zone: str


def demo(options: ServeOptions, redactor: Redactor, say: Words, *, pace: float) -> int:
    """Run until told to stop; gives the daemon's exit code."""
    from exporter import daemon

    flags = argparse.ArgumentParser()
    add_arguments(flags)
    wanted = flags.parse_args(
        [
            f"--pace={pace}",
            f"--access-key-id={_KEY_ID}",
            f"--secret-access-key={_SECRET}",
            f"--quota-requests={QUOTA_REQUESTS}",
            "--story",
        ]
    )
    sys.stdout.write(say("demo.making") + "\n")
    sys.stdout.flush()
    clock = SystemClock()
    simulation = build_simulation(wanted, clock.now_at(), made_at=clock.now_at)
    hosted = simulation.cloud.clusters.values()
    clusters = [SimulatedCluster(each.cluster_id, each.zone) for each in hosted]
    with SimulatorServer(simulation) as server, tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.yaml")
        Path(directory, GROUPS_FILE).write_text(GROUPS, encoding="utf-8")
        path.write_text(config_text(server.address, clusters))
        sys.stdout.write(guide(options, server.address, clusters, say))
        sys.stdout.flush()
        return daemon.serve(path, options, redactor)


def config_text(endpoint: str, clusters: list[SimulatedCluster]) -> str:
    """A configuration for the simulated cloud, to be read beside ``GROUPS_FILE``. JSON is YAML."""
    account = {
        "endpoint": endpoint,
        "access_key_id": _KEY_ID,
        "secret_access_key": _SECRET,
        "quota": {"requests": QUOTA_REQUESTS},
    }
    return json.dumps(
        {
            "accounts": [account],
            "clusters": [
                {"name": f"demo-{number}", "cluster_id": each.cluster_id, "zone": each.zone}
                for number, each in enumerate(clusters, 1)
            ],
            "collection": {
                "interval": INTERVAL,
                "audit_interval": "1m",
                "capacity_interval": "1m",
            },
            "state": {"path": ":memory:"},
            "labels": {"user": {"groups_file": GROUPS_FILE}},
        },
        indent=2,
    )


def guide(
    options: ServeOptions, endpoint: str, clusters: list[SimulatedCluster], say: Words
) -> str:
    """What there is to see."""
    address = options.listen_addresses[0]
    host = "127.0.0.1" + address if address.startswith(":") else address
    base = f"http://{host}{options.route_prefix}"
    return say(
        "demo.guide",
        clusters=len(clusters),
        endpoint=endpoint,
        interval=INTERVAL,
        minutes=PERIOD_SECONDS // 60,
        queue=FLOOD_QUEUE,
        base=base,
        metrics=f"{base}{options.telemetry_path}",
    )
