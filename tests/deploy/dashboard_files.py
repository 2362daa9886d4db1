"""What the dashboards ask of Prometheus, in Grafana's place."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.grafana.generator import DIRECTORY

FILES = sorted(DIRECTORY.glob("*.json"))
BOARDS: Mapping[str, dict[str, Any]] = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in FILES
}

MOMENTS = {"__rate_interval": "10s", "__range": "30s", "__interval": "1s"}
"""What Grafana would put in, for a Prometheus that is half a minute old and scrapes each second."""


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    expr: str
    instant: bool
    labels: tuple[str, ...]
    """Those that each series must have: of the legend, or of the table's columns."""

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expr}"


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All but the headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def variables(board: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By name."""
    return {each["name"]: each for each in board["templating"]["list"]}


def queries() -> Iterator[Query]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Query(
                    name,
                    panel["title"],
                    target["expr"],
                    bool(target.get("instant")),
                    labels_shown(panel, target),
                )


def labels_shown(panel: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[str, ...]:
    if panel["type"] == "table":
        columns = columns_of(panel)
        return tuple(name for name in columns if not name.startswith("Value"))
    return tuple(re.findall(r"\{\{\s*(\w+)\s*\}\}", target.get("legendFormat", "")))


def columns_of(panel: Mapping[str, Any]) -> dict[str, str]:
    """The titles of a table's columns by the names of the fields."""
    arranging = [each for each in panel["transformations"] if each["id"] == "organize"]
    return dict(arranging[0]["options"]["renameByName"])


def filled_in(expr: str, chosen: Mapping[str, str] | None = None) -> str:
    """The query as Grafana sends it: with all values chosen, or with some."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in MOMENTS:
            return MOMENTS[name]
        wanted = (chosen or {}).get(name)
        return ".*" if wanted is None else escaped(wanted)

    return re.sub(r"\$(\w+)", value, expr)


def escaped(value: str) -> str:
    """As Grafana escapes the value of a variable of which several can be chosen."""
    for_regex = re.sub(r"[\\^$*+?.()|\[\]{}]", r"\\\g<0>", value)
    return for_regex.replace("\\", "\\\\").replace('"', '\\"')


def selectors(expr: str) -> set[str]:
    """The series that a query begins with."""
    return set(re.findall(r"[a-zA-Z_:][\w:]*\{[^}]*\}", expr))
