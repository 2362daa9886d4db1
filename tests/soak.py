"""A long run with faults: ``python -m tests.soak SECONDS``.

The simulated cloud lives a hundred times faster than real and misbehaves all the time; the real
process follows it at one-second intervals and is scraped every second. Told in the end: memory,
threads and open files at a tenth of the time and at the end, what failed, and whether the counts
are right once the cloud rests.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress

FAULTS = (
    "http-502", "html", "truncated-json", "ret-5000", "ret-5100", "close", "reset",
    "reset-midway", "empty-page", "no-status", "garbage", "redirect", "length-too-long",
)  # fmt: skip
PROBABILITY = 0.004
SPEED = 100
ZONE = "jinan1a"
"""Of the first two clusters of the simulated cloud."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds at one moment."""

    at_seconds: float
    resident_kb: int
    threads: int
    files: int


def sample(pid: int, started: float) -> Sample:
    """Read it off /proc."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(
        time.monotonic() - started,
        int(status["VmRSS"].split()[0]),
        int(status["Threads"]),
        files,
    )


def ask(url: str, method: str = "GET", body: object = None) -> Any:
    """One HTTP exchange; JSON in and out."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def scrape(port: int) -> str:
    """The text of /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def counted(text: str) -> Counter[tuple[str, str, str, str]]:
    """Jobs by cluster, status, queue and user, those that are there."""
    jobs: Counter[tuple[str, str, str, str]] = Counter()
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            if each.name == "ehpc_jobs" and each.value:
                labels = each.labels
                key = (labels["cluster_name"], labels["status"], labels["queue"], labels["user"])
                jobs[key] = int(each.value)
    return jobs


def truth(cloud: str) -> Counter[tuple[str, str, str, str]]:
    """The same, of the cloud itself."""
    return Counter(
        {
            (cluster_id, row["status"], row["queue"], row["user"]): row["jobs"]
            for cluster_id, told in ask(f"{cloud}/-/truth").items()
            for row in told["counts"]
        }
    )


def configuration(cloud: str, clusters: list[str], state: Path) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "accounts": [
                {
                    "endpoint": cloud,
                    "access_key_id": "QYACCESSKEYIDEXAMPLE",
                    "secret_access_key": "SECRETACCESSKEY",
                    "timeout": "2s",
                    "quota": {"requests": 200_000},
                }
            ],
            "clusters": [{"cluster_id": each, "zone": ZONE} for each in clusters],
            "collection": {"interval": "1s", "audit_interval": "30s"},
            "state": {"path": str(state)},
        }
    )


def main(seconds: float, cloud_port: int = 18971, port: int = 18972) -> int:
    """Run; 0 if the counts are right in the end and nothing has grown."""
    cloud = f"http://127.0.0.1:{cloud_port}"
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        directory = Path(place)

        def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
            log = stack.enter_context((directory / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "exporter", *arguments], stderr=log, stdout=log
            )
            stack.callback(process.kill)
            return process

        start(
            "simulate", "simulate", f"--listen-address=127.0.0.1:{cloud_port}", f"--speed={SPEED}",
            "--quota-requests=1000000", "--seed=7", "--clusters=2",
        )  # fmt: skip
        clusters = wait_for(lambda: list(ask(f"{cloud}/-/truth")))
        rules = [{"name": name, "probability": PROBABILITY} for name in FAULTS]
        ask(f"{cloud}/-/faults", "POST", rules)
        config = directory / "config.yaml"
        config.write_text(configuration(cloud, clusters, directory / "state"))
        daemon = start(
            "serve", "serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"
        )
        wait_for(lambda: scrape(port))
        samples = soak(daemon, port, seconds)
        ask(f"{cloud}/-/faults", "DELETE")
        ask(f"{cloud}/-/time", "POST", {"pause": True})
        time.sleep(75)
        return tell(samples, scrape(port), truth(cloud), (directory / "serve.log").read_text())


def wait_for(ready: Any, within_seconds: float = 60) -> Any:
    """Wait until it gives something without an error."""
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            if found := ready():
                return found
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("it does not start")
        time.sleep(0.3)


def soak(daemon: subprocess.Popen[bytes], port: int, seconds: float) -> list[Sample]:
    """Scrape every second for so long."""
    samples = []
    started = time.monotonic()
    with Progress() as progress:
        task = progress.add_task("soaking", total=seconds)
        while (passed := time.monotonic() - started) < seconds:
            scrape(port)
            samples.append(sample(daemon.pid, started))
            progress.update(task, completed=passed)
            time.sleep(1)
    return samples


def tell(
    samples: list[Sample],
    text: str,
    true: Counter[tuple[str, str, str, str]],
    log: str,
) -> int:
    """Print the figures; 0 if all is well."""
    early, late = samples[len(samples) // 10], samples[-1]
    for name, each in (("after a tenth of the time", early), ("in the end", late)):
        print(f"{name}: {each.resident_kb / 1024:.1f} MiB, {each.threads} threads,"
              f" {each.files} open files")  # fmt: skip
    print(f"peaks: {max(s.resident_kb for s in samples) / 1024:.1f} MiB,"
          f" {max(s.threads for s in samples)} threads, {max(s.files for s in samples)} files")  # fmt: skip
    for family in text_string_to_metric_families(text):
        if family.name in {"ehpc_syncs", "ehpc_sync_failures", "ehpc_sync_corrections",
                           "ehpc_api_requests"}:  # fmt: skip
            for counter in family.samples:
                if counter.value:
                    print(counter.name, counter.labels, counter.value)
    print(f"{log.count(chr(10))} lines in the log, {log.count('Traceback')} tracebacks")
    print("\n".join([line for line in log.splitlines() if "Traceback" in line][:1]))
    seen = counted(text)
    right = seen == true
    print(f"{sum(true.values())} jobs in the lists, counts right: {right}")
    if not right:
        print("too many", (seen - true).most_common(5), "too few", (true - seen).most_common(5))
    steady = late.threads <= early.threads + 2 and late.files <= early.files + 5
    return 0 if right and steady and "Traceback" not in log else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
