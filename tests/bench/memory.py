"""Resident memory of the real daemon, following a long list over HTTP."""

import gzip
import json
import re
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from exporter.ledger.connection import write_about
from exporter.ledger.directory import StateDirectory
from exporter.model import ClusterIdentity
from tests.bench.figures import MEGABYTES, Figure, Findings, Part
from tests.bench.followed import CLUSTER_ID, IN_UTC
from tests.bench.naive import KEY_ID, SECRET, memory_megabytes
from tests.bench.workshop import CHANGES_A_MINUTE, ROOT, Bench, cloud_process
from tests.waiting import PATIENCE_SECONDS, until

GOAL = 100.0
SCRAPE_HEADERS = {"Accept-Encoding": "gzip", "X-Prometheus-Scrape-Timeout-Seconds": "10"}
"""Such as Prometheus sends."""
IDENTITY = ClusterIdentity("bench", CLUSTER_ID, "jinan1a", "default")


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    sizes = (2_000,) if bench.quick else (1_000, 1_000_000)
    syncs = 3 if bench.quick else 45
    for size in sizes:
        active = bench.active(size)
        with cloud_process(size, active, CHANGES_A_MINUTE) as address:
            bench.tell(f"the daemon and {size:,} jobs")
            jobs = bench.stock.jobs(size, active)
            path = bench.stock.ledger(jobs, size, active)
            del jobs
            now, highest = _daemon(bench.directory, path, address, size, syncs)
            naive = bench.naive_look(size, address)
        findings.figures += [
            Figure(
                f"{size:,} jobs in the ledger, after {syncs} syncs",
                now,
                naive["VmRSS"],
                unit=MEGABYTES,
                at_most=GOAL,
            ),
            Figure("at its highest", highest, naive["VmHWM"], unit=MEGABYTES, at_most=GOAL),
        ]
    findings.remarks.append(
        "``serve`` with its web server and its ledger on disk, an interval of 1 s and an audit every"
        " 5 s, scraped all the time. The naive exporter counts page by page and keeps no job, so it"
        " has less to remember."
    )
    return findings


def _daemon(
    directory: Path, ledger: Path, address: str, jobs: int, syncs: int
) -> tuple[float, float]:
    """Megabytes after so many syncs, and at their highest."""
    state = directory / f"state-{jobs}"
    state.mkdir()
    adopted = StateDirectory(state).ledger_path(IDENTITY, address)
    ledger.rename(adopted)
    adopt(adopted, f"{address} {IDENTITY.zone} {IDENTITY.cluster_id}")
    config = directory / f"config-{jobs}.json"
    config.write_text(json.dumps(config_of(address, state, [IDENTITY])))
    command = [sys.executable, "-m", "exporter", "serve", f"--config.file={config}"]
    command += ["--web.listen-address=127.0.0.1:0"]
    log = directory / f"log-{jobs}"
    with log.open("wb") as errors, subprocess.Popen(command, cwd=ROOT, stderr=errors) as process:
        try:
            scrape = until(lambda: _synced(scrape_of(process, log), syncs), f"{syncs} syncs")
            if abs(_value(scrape, "ehpc_history_jobs_known") - jobs) > jobs / 10:
                raise RuntimeError("the daemon did not go on with the ledger it was given")
            return memory_megabytes(process.pid), memory_megabytes(process.pid, "VmHWM")
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def adopt(ledger: Path, whose: str) -> None:
    """Let a ledger be the one of the cluster at this address."""
    with closing(sqlite3.connect(ledger)) as connection, connection:
        write_about(connection, "identity", whose)


def config_of(
    address: str, state: Path, identities: Iterable[ClusterIdentity], interval: str = "1s"
) -> dict[str, object]:
    """A configuration of these clusters, whose ledgers may have been made beforehand."""
    account = {
        "endpoint": address,
        "access_key_id": KEY_ID,
        "secret_access_key": SECRET,
        "quota": {"requests": 1_000_000},
    }
    clusters = [
        {
            "name": each.name,
            "cluster_id": each.cluster_id,
            "zone": each.zone,
            "timezone": IN_UTC.zone_name,  # another one would begin the ledger anew
        }
        for each in identities
    ]
    return {
        "accounts": [account],
        "clusters": clusters,
        "collection": {"interval": interval, "audit_interval": "5s"},
        "state": {"path": str(state)},
    }


def scrape_of(process: subprocess.Popen[bytes], log: Path, query: str = "") -> str:
    """A scrape of a daemon; empty until it listens. Raises RuntimeError if it has ended."""
    if process.poll() is not None:
        raise RuntimeError(f"the daemon has ended:\n{log.read_text()}")
    found = re.search(r"msg=listening .*port=(\d+)", log.read_text())
    return _get(f"http://127.0.0.1:{found[1]}/metrics{query}") if found else ""


def _synced(scrape: str, syncs: int) -> str | None:
    ended = _value(scrape, "ehpc_syncs_total") >= syncs
    return scrape if ended and _value(scrape, "ehpc_up") == 1 else None


def _get(url: str) -> str:
    """As Prometheus asks: compressed."""
    request = urllib.request.Request(url, headers=SCRAPE_HEADERS)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return (
            gzip.GzipFile(fileobj=answer).read().decode()
        )  # ``decompress`` is slow for many members


def _value(scrape: str, name: str) -> float:
    found = re.search(rf"^{name}\S* (\S+)$", scrape, re.MULTILINE)
    return float(found[1]) if found else 0.0


PART = Part("memory", "Resident memory", "naive exporter", measure)
