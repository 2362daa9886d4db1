"""``demo``: a pretend cloud in this process, and the daemon against it."""

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

QUOTA_REQUESTS = 20_000
"""More than the real cloud's, so that a demonstration can look every few seconds."""

INTERVAL = "5s"

_KEY_ID, _SECRET = "DEMOACCESSKEYID", "demo-secret-access-key"


@dataclass(frozen=True, slots=True)
class PretendCluster:
    """A cluster that the pretend cloud has."""

    cluster_id: str
    zone: str


def demo(options: ServeOptions, redactor: Redactor, *, pace: float) -> int:
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
        ]
    )
    sys.stdout.write("Making up some clusters and their last weeks of jobs ...\n")
    sys.stdout.flush()
    simulation = build_simulation(wanted, SystemClock().now_at())
    hosted = simulation.cloud.clusters.values()
    clusters = [PretendCluster(each.cluster_id, each.zone) for each in hosted]
    with SimulatorServer(simulation) as server, tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config.yaml")
        path.write_text(config_text(server.address, clusters))
        sys.stdout.write(guide(options, server.address, clusters))
        sys.stdout.flush()
        return daemon.serve(path, options, redactor)


def config_text(endpoint: str, clusters: list[PretendCluster]) -> str:
    """A configuration for the pretend cloud. JSON is YAML."""
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
        },
        indent=2,
    )


def guide(options: ServeOptions, endpoint: str, clusters: list[PretendCluster]) -> str:
    """What there is to see."""
    address = options.listen_addresses[0]
    host = "127.0.0.1" + address if address.startswith(":") else address
    base = f"http://{host}{options.route_prefix}"
    metrics = f"{base}{options.telemetry_path}"
    return f"""
A pretend cloud with {len(clusters)} clusters, where a lot happens, is at {endpoint}.
The exporter looks at each of them every {INTERVAL}. What to look at, in a few seconds:

  {base}/            every cluster at a glance
  {metrics}     what Prometheus reads
  {base}/docs/       the documentation

  curl -s {metrics} | grep '^ehpc_jobs{{.*"pending"'       who waits, by queue and user
  curl -s {metrics} | grep '^ehpc_oldest_pending'         since when
  curl -s {metrics} | grep '^ehpc_api_requests_total'     how few calls that takes
  curl -s {metrics} | grep '^ehpc_sync_strategy'          and in which way

In Prometheus, once it scrapes this address:

  sum by (cluster_name, queue) (ehpc_jobs{{status="pending"}})
  histogram_quantile(0.95, sum by (le, queue) (rate(ehpc_job_wait_seconds_bucket[5m])))
  sum by (cluster_name) (rate(ehpc_jobs_ended_total{{status="exited"}}[5m]))

Ctrl-C stops all of it; nothing is kept.

"""
