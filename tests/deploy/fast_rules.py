"""The rule files and routes as a test can sit them out: every hour of theirs lasts twelve seconds.

Nothing else about them is changed: what is tested is made of the files that people deploy.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.rule_files import ALERTMANAGER, PROMETHEUS, RULE_FILES

FASTER = 300
_LEAST_WINDOW_SECONDS = 4
"""A rate over scrapes that are a second apart needs some of them."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def faster(duration: str, least_seconds: int = 1) -> str:
    """A duration of one unit, as ``30m``, divided; in whole seconds."""
    match = re.fullmatch(r"(\d+)([smhd])", duration)
    assert match, duration
    if not int(match[1]):
        return duration
    return f"{max(least_seconds, int(match[1]) * _SECONDS[match[2]] // FASTER)}s"


def faster_query(expression: str) -> str:
    """A query with its windows and offsets divided."""

    def divided(match: re.Match[str]) -> str:
        return match[1] + faster(match[2], _LEAST_WINDOW_SECONDS)

    return re.sub(r"(\[|offset )(\d+[smhd])", divided, expression)


def write_rules(directory: Path) -> list[str]:
    """The rule files, faster; gives their paths."""
    paths = []
    for source in RULE_FILES:
        content = yaml.safe_load(source.read_text())
        for group in content["groups"]:
            group.pop("interval", None)
            for rule in group["rules"]:
                rule["expr"] = faster_query(rule["expr"])
                for key in ("for", "keep_firing_for"):
                    if key in rule:
                        rule[key] = faster(rule[key])
        path = directory / source.name
        path.write_text(yaml.safe_dump(content, allow_unicode=True))
        paths.append(str(path))
    return paths


def write_prometheus(directory: Path, exporter: str, alertmanager: str) -> Path:
    """The scrape configuration for these addresses, faster, with the faster rules."""
    content = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    content["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    content["rule_files"] = write_rules(directory)
    content["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    (ours,) = (job for job in content["scrape_configs"] if job["job_name"] == "ehpc")
    ours["static_configs"][0]["targets"] = [exporter]
    content["scrape_configs"] = [ours]
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def write_alertmanager(directory: Path, webhook: str) -> Path:
    """The routes, faster, to receivers at this address."""
    content = yaml.safe_load(ALERTMANAGER.read_text())
    for route in (content["route"], *content["route"]["routes"]):
        _hasten(route)
    for receiver in content["receivers"]:
        for target in receiver["webhook_configs"]:
            target["url"] = f"{webhook}/{receiver['name']}"
    path = directory / "alertmanager.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def _hasten(route: dict[str, Any]) -> None:
    for key in ("group_wait", "group_interval", "repeat_interval"):
        if key in route:
            route[key] = faster(route[key])
