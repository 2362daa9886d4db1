"""Scrapes a second, beside prometheus-client's own server and beside a fixed body."""

import shutil

from tests.bench import scrapes
from tests.bench.figures import Figure, Findings, Part
from tests.bench.workshop import Bench

TIMES_CLIENT, PART_OF_FIXED, P99_OF_P50 = 100.0, 0.5, 5.0


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    if shutil.which("wrk") is None:
        findings.remarks.append("Left out: it needs wrk (Debian's package wrk).")
        return findings
    series, seconds, rounds = (500, 1, 1) if bench.quick else (10_000, 3, scrapes.ROUNDS)
    for encoding in ("gzip",) if bench.quick else ("gzip", "identity"):
        seen: dict[str, list[scrapes.Round]] = {target: [] for target in scrapes.TARGETS}
        for number in range(rounds):
            for target, of_target in seen.items():
                bench.tell(f"{target}, {encoding}, round {number + 1}")
                of_target.append(scrapes.measure(target, encoding, series, seconds))
        findings.figures += _figures(encoding, series, seen)
    findings.remarks.append(
        f"{scrapes.SCRAPERS} scrapers at once; the best of {rounds} rounds of {seconds} s, in turns. Ours"
        " publishes new numbers every second. The other is prometheus-client's own server with the same"
        " families; for the fixed body, our web server with an answer that never changes."
    )
    return findings


def _figures(encoding: str, series: int, seen: dict[str, list[scrapes.Round]]) -> list[Figure]:
    best = {
        target: max(rounds, key=lambda one: one.scrapes_a_second) for target, rounds in seen.items()
    }
    word = "plain" if encoding == "identity" else encoding
    ours, client, fixed = (best[x].scrapes_a_second for x in ("ours", "client", "fixed"))
    tail = best["ours"].p99_ms / best["ours"].p50_ms
    return [
        Figure(
            f"{series:,} series, {word}",
            ours,
            client,
            unit="scrapes/s",
            judged=ours / client,
            at_least=TIMES_CLIENT,
        ),
        Figure(
            f"{word}, beside a fixed body",
            ours,
            fixed,
            unit="scrapes/s",
            judged=ours / fixed,
            at_least=PART_OF_FIXED,
        ),
        Figure(f"{word}, p99 in multiples of p50", tail, unit="", at_most=P99_OF_P50),
    ]


PART = Part("scraping", "Scrapes a second", "prometheus-client", measure)
