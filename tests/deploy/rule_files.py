"""What the rule files say, for the tests of them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.catalog import CATALOG

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
OPERATIONS = ROOT / "docs/operations.md"
OPERATIONS_ZH = ROOT / "docs/operations.zh-CN.md"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))

SELDOM_COLLECTING = {**os.environ, "GOGC": "800"}
"""The environment for promtool, which ends before garbage matters: collecting it took a third of its
time."""

_SUFFIXES = ("_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Rule:
    """One rule and where it stands."""

    file: str
    group: str
    raw: dict[str, Any]

    @property
    def expression(self) -> str:
        return str(self.raw["expr"])

    @property
    def name(self) -> str:
        return str(self.raw.get("alert") or self.raw["record"])


@cache
def rules() -> tuple[Rule, ...]:
    return tuple(_read_rules())


def _read_rules() -> Iterator[Rule]:
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for raw in group["rules"]:
                yield Rule(path.name, group["name"], raw)


def alerts() -> dict[str, Rule]:
    return {rule.name: rule for rule in rules() if "alert" in rule.raw}


def records() -> dict[str, Rule]:
    return {rule.name: rule for rule in rules() if "record" in rule.raw}


def names_in(expression: str) -> set[str]:
    """The names of our metrics and recorded series in a query; those in its strings apart."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    return {
        name
        for name in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)
        if name.startswith("ehpc") or ":ehpc" in name
    }


def names_in_template(text: str) -> set[str]:
    """The same in the queries within an annotation."""
    names = set()
    for query in re.findall(r'query \(printf "((?:[^"\\]|\\.)*)"', text):
        names |= names_in(query.replace("%s", "").replace('\\"', '"'))
    return names


def unknown(names: set[str]) -> set[str]:
    """Those that are neither exposed nor recorded."""
    exposed = set()
    for metric in CATALOG:
        if metric.type == "histogram":
            exposed |= {metric.name + suffix for suffix in _SUFFIXES}
        elif metric.type == "summary":
            exposed |= {metric.name + suffix for suffix in _SUFFIXES[1:]}
        else:
            exposed.add(metric.name)
    return names - exposed - set(records())


def anchor(heading: str) -> str:
    """What a heading of Markdown becomes in an address, as GitHub and GitLab make it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors(page: str) -> list[str]:
    return [anchor(heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)]
