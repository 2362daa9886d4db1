"""Scrapes a second and their delays, beside prometheus-client's own server.

``python -m tests.bench.scrapes [SERIES] [SECONDS]`` needs wrk (Debian's package wrk). Each target
is a process of its own; the rounds take turns, so that a busy machine is busy for all of them, and
the best round of each counts.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

SCRAPERS = 8
ROUNDS = 3
TARGETS = {
    "ours": "ehpc-exporter, publishing every second",
    "quiet": "ehpc-exporter, nothing published",
    "fixed": "the same server, a fixed body",
    "client": "prometheus-client's server",
}


@dataclass(frozen=True, slots=True)
class Round:
    """What wrk saw."""

    scrapes_a_second: float
    p50_ms: float
    p99_ms: float


def measure(target: str, encoding: str, series: int, seconds: int) -> Round:
    """One round against a fresh process. Raises RuntimeError if an answer was not 200."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed")
    command = [sys.executable, "-m", "tests.bench.scrape_target", target, str(series)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/metrics"
            load = [wrk, "-t1", f"-c{SCRAPERS}", f"-d{seconds}s", "--timeout", "20s", "--latency"]
            load += ["-H", f"Accept-Encoding: {encoding}"]
            load += ["-H", "X-Prometheus-Scrape-Timeout-Seconds: 10", url]
            report = subprocess.run(load, capture_output=True, text=True, check=True).stdout
        finally:
            process.terminate()
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(report)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", report)[0])
    return Round(rate, _percentile(report, 50), _percentile(report, 99))


def compare(series: int, seconds: int) -> str:
    """A table, in Markdown."""
    lines = [
        f"{series:,} series, {SCRAPERS} scrapers at once, best of {ROUNDS} rounds of {seconds} s:",
        "",
        "| answer | server | scrapes/s | times prometheus-client | p50 | p99 | p99/p50 |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for encoding in ("gzip", "identity"):
        rounds: dict[str, list[Round]] = {target: [] for target in TARGETS}
        for _ in range(ROUNDS):
            for target, seen in rounds.items():
                seen.append(measure(target, encoding, series, seconds))
        best = {t: max(seen, key=lambda r: r.scrapes_a_second) for t, seen in rounds.items()}
        for target, its in best.items():
            times = its.scrapes_a_second / best["client"].scrapes_a_second
            lines.append(
                f"| {'plain' if encoding == 'identity' else encoding} | {TARGETS[target]} |"
                f" {its.scrapes_a_second:,.0f} | {times:,.0f} | {its.p50_ms:.1f} ms |"
                f" {its.p99_ms:.1f} ms | {its.p99_ms / its.p50_ms:.1f} |"
            )
    return "\n".join(lines)


def _percentile(report: str, percent: int) -> float:
    number, unit = re.findall(rf"\s{percent}%\s+([\d.]+)(us|ms|s)\b", report)[0]
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def main() -> None:
    series, seconds = (int(text) for text in (*sys.argv[1:], *("10000", "4")[len(sys.argv) - 1 :]))
    print(compare(series, seconds))


if __name__ == "__main__":
    main()
