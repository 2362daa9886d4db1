"""The results: a table for the terminal, JSON, and the generated parts of docs/performance.md."""

import platform
import sqlite3
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from exporter import __version__
from tests.bench.figures import CALLS, Figure, Findings, Part
from tests.bench.plot import Axis, draw
from tests.bench.workshop import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
PLOTS = {
    "calls": ("Calls a refresh", Axis("jobs in the list", logarithmic=True), "calls"),
    "trace": ("Two recorded weeks, 188,041 jobs", Axis("days"), "calls an hour"),
}
LIBRARIES = ("msgspec", "prometheus-client", "requests", "starlette", "uvicorn")
HEADINGS = ("Figure", "", "ehpc-exporter", "times", "goal", "reached")


@dataclass(frozen=True, slots=True)
class Result:
    """What a part found, and how long that took."""

    part: Part
    findings: Findings
    took_seconds: float

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"took_seconds": round(self.took_seconds, 1), **self.findings.as_json()}


def machine(*, quick: bool) -> dict[str, str]:
    """Where, when and with what it was measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": _processor(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "ehpc-exporter": f"{__version__} ({_commit()})",
        **{name: version(name) for name in LIBRARIES},
        **({"note": "a quick run: its figures mean little"} if quick else {}),
    }


def _processor() -> str:
    model = platform.processor() or platform.machine()
    memory = ""
    for path, name in (("/proc/cpuinfo", "model name"), ("/proc/meminfo", "MemTotal")):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        found = next((line.partition(":")[2].strip() for line in lines if name in line), "")
        if name == "MemTotal" and found:
            memory = f", {int(found.split()[0]) / 2**20:.0f} GB"
        elif found:
            cores = sum(name in line for line in lines)
            model = f"{found}, {cores} cores"
    return f"{platform.node()}: {model}{memory}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "no repository"


def cells(figure: Figure) -> tuple[str, str, str, str, str, str]:
    """One line of a table."""
    reached = {None: "", True: "yes", False: "NO"}[figure.reached]
    ratio = "" if figure.ratio is None else _number(figure.ratio)
    goal = _goal(figure)
    unit = (
        figure.unit.removesuffix("s") if figure.ours == 1 and figure.unit == CALLS else figure.unit
    )
    ours = f"{_number(figure.ours)} {unit}".strip()
    naive = "" if figure.naive is None else _number(figure.naive)
    return (figure.name, naive, ours, ratio, goal, reached)


def _goal(figure: Figure) -> str:
    times = "" if figure.judged is None else " times"
    if figure.at_most is not None:
        return f"≤ {_number(figure.at_most)}{times}"
    return "" if figure.at_least is None else f"≥ {_number(figure.at_least)}{times}"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 20 else f"{value:.2f}"


def table(result: Result) -> Table:
    """For the terminal."""
    part = result.part
    found = Table(
        title=f"{part.title}  [dim]({part.name}, {result.took_seconds:.0f} s)[/]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for place, heading in enumerate(_headings(part)):
        found.add_column(heading, justify="left" if place == 0 else "right")
    for figure in result.findings.figures:
        style = "bold red" if figure.reached is False else ""
        found.add_row(*cells(figure), style=style)
    found.caption = "\n".join(result.findings.remarks)
    found.caption_justify = "left"
    return found


def summary(console: Console, results: Sequence[Result]) -> None:
    """What was reached, in one line, and what was missed."""
    judged = [figure for figure in _figures(results) if figure.reached is not None]
    missed = [
        f"{result.part.name}: {figure.name}"
        for result in results
        for figure in result.findings.figures
        if figure.reached is False
    ]
    console.print(f"{len(judged) - len(missed)} of {len(judged)} goals reached.")
    for name in missed:
        console.print(f"  [bold red]missed[/] {name}")


def _figures(results: Iterable[Result]) -> list[Figure]:
    return [figure for result in results for figure in result.findings.figures]


def _headings(part: Part) -> tuple[str, ...]:
    return tuple(part.other if place == 1 else text for place, text in enumerate(HEADINGS))


def write_document(results: Sequence[Result], about: dict[str, str]) -> None:
    """Put the tables between their markers in docs/performance.md, and draw the plots."""
    text = DOCUMENT.read_text()
    text = between(text, "machine", "\n".join(f"- {name}: {text}" for name, text in about.items()))
    for result in results:
        text = between(text, result.part.name, markdown(result))
        _draw_plots(result.findings)
    DOCUMENT.write_text(text)


def between(text: str, name: str, content: str) -> str:
    """The text with a generated part put in its place."""
    begin, end = f"<!-- bench {name} -->\n", f"<!-- end {name} -->"
    if begin not in text or end not in text:
        raise RuntimeError(f"{DOCUMENT.name} has no place for {name}")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{content}\n\n{end}{rest.partition(end)[2]}"


def markdown(result: Result) -> str:
    """The table and its remarks, for the document."""
    headings = _headings(result.part)
    lines = [f"| {' | '.join(headings)} |", f"| --- {'| ---: ' * (len(headings) - 1)}|"]
    lines += [f"| {' | '.join(cells(figure))} |" for figure in result.findings.figures]
    return "\n".join([*lines, *(f"\n{remark}" for remark in result.findings.remarks)])


def _draw_plots(findings: Findings) -> None:
    IMAGES.mkdir(exist_ok=True)
    for name, (title, across, up) in PLOTS.items():
        curves = [curve for curve in findings.curves if curve.plot == name]
        if curves:
            drawn = draw(title, across, Axis(up, logarithmic=True), curves)
            (IMAGES / f"performance-{name}.svg").write_text(drawn)
