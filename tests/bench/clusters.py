"""Many clusters in one process: CPU time of a sync, delays of a scrape, memory, and how soon it ends."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median, quantiles

from exporter.ledger.directory import StateDirectory
from exporter.model import ClusterIdentity
from exporter.snapshot import ClusterState
from tests.bench.figures import MEGABYTES, MILLISECONDS, SECONDS, Figure, Findings, Part
from tests.bench.followed import Followed
from tests.bench.memory import SCRAPE_HEADERS, adopt, config_of, scrape_of
from tests.bench.naive import memory_megabytes
from tests.bench.series import Spent
from tests.bench.stock import Churn
from tests.bench.workshop import CHANGES_A_MINUTE, ROOT, Bench, cloud_process
from tests.waiting import PATIENCE_SECONDS, Turns, pause_after_look

FEW, MANY = 10, 300
JOBS, ACTIVE = 5_000, 500
SYNCS_A_SCRAPE = 75
"""As 300 clusters have at the default interval, if scraped every 15 s."""
CLUSTERS_A_SECOND = 5
"""That ``serve`` syncs: 300 at the default interval. More of them would fill a core while others are still opened."""
SECONDS_BETWEEN_SCRAPES = 0.25
CPU_GOAL, MEMORY_GOAL, STOP_GOAL, MEDIAN_GOAL, P99_GOAL = 1.2, 1.0, 3.0, 3.0, 5.0


def measure(bench: Bench) -> Findings:
    """See the module."""
    few, many = (1, 2) if bench.quick else (FEW, MANY)
    findings = Findings(
        [*_cpu(bench, few, many), *_scrapes(bench, many), *_process(bench, few, many)]
    )
    findings.remarks.append(
        f"Beside {few} clusters, or a body of the same size that is always the same; clusters of"
        f" {JOBS:,} jobs, {ACTIVE:,} of them active, all of one list. CPU time is that of"
        f" {SYNCS_A_SCRAPE} syncs with {CHANGES_A_MINUTE:.0f} changes each, and of a scrape, in one"
        " process, without what the simulated cloud costs. Scraped, gzip, by one scraper every"
        f" {SECONDS_BETWEEN_SCRAPES} s while one cluster after the other is published, five a second."
        " Memory and the end are those of ``serve``, with its ledgers on disk, after all have synced"
        " twice, and a scrape. The goal of the first is in times of the few clusters', that of the"
        " median in times of the fixed body's."
    )
    return findings


# -- CPU time --------------------------------------------------------------------------------------


def _cpu(bench: Bench, few: int, many: int) -> Iterator[Figure]:
    syncs = 5 if bench.quick else SYNCS_A_SCRAPE
    spent = {}
    for clusters in (few, many):
        bench.tell(f"syncs of {clusters} clusters")
        spent[clusters] = _milliseconds(bench, clusters, syncs)
    yield Figure(
        f"CPU time a sync, {many} clusters",
        spent[many],
        spent[few],
        unit=MILLISECONDS,
        judged=spent[many] / spent[few],
        at_most=CPU_GOAL,
    )


def _milliseconds(bench: Bench, clusters: int, syncs: int) -> float:
    jobs = bench.stock.jobs(JOBS, ACTIVE)
    path = bench.stock.ledger(jobs, JOBS, ACTIVE)
    followed = Followed(jobs, path, world=Churn(jobs, per_minute=CHANGES_A_MINUTE))
    followed.run(3 * 60)
    assert followed.shown is not None
    shown = ClusterState(_identity(0), tried=True, snapshot=followed.shown, strategy="delta")
    others = [replace(shown, identity=_identity(number)) for number in range(1, clusters)]
    spent = Spent(followed, others, scrape_every=syncs)
    followed.run(syncs * followed.settings.interval_seconds)
    return 1000 * mean(spent.seconds)


def _identity(number: int) -> ClusterIdentity:
    return ClusterIdentity(f"cluster-{number:03d}", f"ehpc-{number:08d}", "jinan1a", "default")


# -- scrapes ---------------------------------------------------------------------------------------


def _scrapes(bench: Bench, clusters: int) -> Iterator[Figure]:
    scrapes = 2 if bench.quick else 60
    seconds = {}
    for kind in ("fleet", "fixed-fleet"):
        bench.tell(f"scrapes of {clusters} clusters, {kind}")
        command = [sys.executable, "-m", "tests.bench.scrape_target", kind, str(clusters)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                seconds[kind] = _delays(int(process.stdout.readline()), scrapes)
            finally:
                process.terminate()
    ours, fixed = median(seconds["fleet"]), median(seconds["fixed-fleet"])
    yield Figure(
        f"median delay of a scrape, {clusters} clusters",
        1000 * ours,
        1000 * fixed,
        unit=MILLISECONDS,
        judged=ours / fixed,
        at_most=MEDIAN_GOAL,
    )
    tail = quantiles(seconds["fleet"], n=100, method="inclusive")[98] / ours
    yield Figure("its p99 in times of its median", tail, unit="", at_most=P99_GOAL)


def _delays(port: int, scrapes: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    found = []
    for _ in range(scrapes + 2):
        time.sleep(SECONDS_BETWEEN_SCRAPES)
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers=SCRAPE_HEADERS)
        answer = connection.getresponse()
        answer.read()
        found.append(time.perf_counter() - began)
    connection.close()
    return found[2:]


# -- the process -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Seen:
    megabytes: float
    stop_seconds: float


def _process(bench: Bench, few: int, many: int) -> Iterator[Figure]:
    with cloud_process(JOBS, ACTIVE, CHANGES_A_MINUTE, clusters=many) as address:
        jobs = bench.stock.jobs(JOBS, ACTIVE)
        ledger = bench.stock.ledger(jobs, JOBS, ACTIVE)
        seen = {}
        for clusters in (few, many):
            bench.tell(f"serve with {clusters} clusters")
            seen[clusters] = _serve(bench.directory, ledger, address, clusters)
    yield Figure(
        f"memory of each further cluster, of {many}",
        (seen[many].megabytes - seen[few].megabytes) / (many - few),
        unit=MEGABYTES,
        at_most=MEMORY_GOAL,
    )
    yield Figure(
        f"all of it, {many} clusters", seen[many].megabytes, seen[few].megabytes, MEGABYTES
    )
    yield Figure(
        f"SIGTERM to the end, {many} clusters",
        seen[many].stop_seconds,
        seen[few].stop_seconds,
        unit=SECONDS,
        at_most=STOP_GOAL,
    )


def _serve(directory: Path, ledger: Path, address: str, clusters: int) -> _Seen:
    state = directory / f"state-of-{clusters}"
    state.mkdir()
    identities = [_identity(number) for number in range(clusters)]
    for identity in identities:
        path = StateDirectory(state).ledger_path(identity, address)
        shutil.copy(ledger, path)
        adopt(path, f"{address} {identity.zone} {identity.cluster_id}")
    config = directory / f"config-of-{clusters}.json"
    interval = max(1, clusters // CLUSTERS_A_SECOND)
    config.write_text(json.dumps(config_of(address, state, identities, f"{interval}s")))
    with _daemon(config) as (process, log):
        _await_two_syncs(process, log, clusters)
        scrape_of(process, log)
        if "set aside" in log.read_text():
            raise RuntimeError("the daemon did not go on with the ledgers it was given")
        megabytes = memory_megabytes(process.pid)
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
        return _Seen(megabytes, time.perf_counter() - began)


@contextmanager
def _daemon(config: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    command = [sys.executable, "-m", "exporter", "serve", f"--config.file={config}"]
    command += ["--web.listen-address=127.0.0.1:0"]
    log = config.with_suffix(".log")
    with log.open("wb") as errors, subprocess.Popen(command, cwd=ROOT, stderr=errors) as process:
        try:
            yield process, log
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _await_two_syncs(process: subprocess.Popen[bytes], log: Path, clusters: int) -> None:
    """Of each; for as long as there are more and more."""
    turns = Turns(0.0)
    while True:
        began = time.monotonic()
        query = "?name[]=ehpc_syncs_total"  # the whole at each look would be most of the work
        syncs = _syncs(scrape_of(process, log, query))
        if len(syncs) == clusters and min(syncs) >= 2:
            return
        turns.since_then(sum(syncs))
        pause_after_look(began)


def _syncs(scrape: str) -> list[float]:
    """How many each cluster has had."""
    lines = [line for line in scrape.splitlines() if line.startswith("ehpc_syncs_total{")]
    return [float(line.rpartition(" ")[2]) for line in lines]


PART = Part("clusters", "Many clusters in one process", "few clusters, or fixed body", measure)
