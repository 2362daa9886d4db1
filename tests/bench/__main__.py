"""``python -m tests.bench [PART ...] [--quick] [--json FILE] [--markdown]``."""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path

from rich.console import Console

from exporter.daemon.service import collect_garbage_rarely
from tests.bench import report
from tests.bench.figures import Part
from tests.bench.parts import PARTS
from tests.bench.workshop import Bench

WIDTH = 130
"""Of what is written to a file."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small, to see whether it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything found to it")
    parser.add_argument(
        "--markdown", action="store_true", help="write the tables and plots of docs/performance.md"
    )
    options = parser.parse_args()
    unknown = [name for name in options.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    logging.disable(logging.ERROR)  # the exporter's own log says what goes on, a hundred times
    collect_garbage_rarely()  # as serve does
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    results: list[report.Result] = []
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), quick=options.quick)
        for name in options.parts or PARTS:
            results.append(_run(PARTS[name], bench, console))
            console.print(report.table(results[-1]))
    report.summary(console, results)
    about = report.machine(quick=options.quick)
    if options.json:
        document = {"about": about, "parts": {r.part.name: r.as_json() for r in results}}
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if options.markdown:
        report.write_document(results, about)


def _run(part: Part, bench: Bench, console: Console) -> report.Result:
    with console.status(part.title) as status:
        bench.tell = lambda text: status.update(f"{part.title}: {text}")
        began_at = time.monotonic()
        findings = part.measure(bench)
        return report.Result(part, findings, time.monotonic() - began_at)


if __name__ == "__main__":
    main()
