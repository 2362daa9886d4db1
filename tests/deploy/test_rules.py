"""The rules and the routes, checked by the programs that will run them."""

import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.generator import (
    BY_ACCOUNT,
    BY_CLUSTER,
    BY_QUEUE,
    LANGUAGES,
)
from exporter.web.manual import Manual
from tests.deploy.rule_files import (
    ALERTMANAGER,
    OPERATIONS,
    OPERATIONS_ZH,
    PROMETHEUS,
    ROOT,
    RULE_FILES,
    SELDOM_COLLECTING,
    Rule,
    alerts,
    anchors,
    names_in,
    names_in_template,
    records,
    rules,
    unknown,
)
from tests.waiting import PATIENCE_SECONDS

Tool = Callable[[str], str]

ALERTS = alerts()
RULE_TESTS = sorted((PROMETHEUS / "tests").glob("*.test.yml"))
RECEIVERS = {
    ("critical", "jobs"): "hpc-oncall",
    ("critical", "cluster"): "monitoring-oncall",
    ("critical", "account"): "monitoring-oncall",
    ("critical", "exporter"): "monitoring-oncall",
    ("warning", "jobs"): "hpc-team",
    ("warning", "cluster"): "monitoring-team",
    ("warning", "account"): "monitoring-team",
    ("warning", "exporter"): "monitoring-team",
    ("info", "jobs"): "hpc-digest",
}


def run(*command: object) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=SELDOM_COLLECTING,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_to_say(require_tool: Tool) -> None:
    said = run(require_tool("promtool"), "check", "rules", "--lint=all", *RULE_FILES)
    rest = re.sub(r"Checking \S+\n  SUCCESS: \d+ rules found\n", "", said)
    assert not rest.strip()


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-remote-write.yml"])
def test_scrape_configuration(name: str, require_tool: Tool) -> None:
    said = run(require_tool("promtool"), "check", "config", PROMETHEUS / name)
    assert f"{len(RULE_FILES)} rule files found" in said
    assert "WARNING" not in said


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_they_should(path: Path, require_tool: Tool) -> None:
    run(require_tool("promtool"), "test", "rules", path)


@cache
def expected_lives() -> list[list[dict[str, Any]]]:
    """What each rule test expects of alerts."""
    contents = [yaml.safe_load(path.read_text()) for path in RULE_TESTS]
    return [test.get("alert_rule_test", []) for content in contents for test in content["tests"]]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_seen_quiet_firing_and_quiet_again(alert: str) -> None:
    lives = []
    for expectations in expected_lives():
        mine = [each for each in expectations if each["alertname"] == alert]
        mine.sort(key=lambda expected: minutes(expected["eval_time"]))
        lives.append("".join("!" if each["exp_alerts"] else "." for each in mine))
    assert any(re.search(r"\.!+\.", life) for life in lives), lives


def minutes(duration: str) -> int:
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", duration)
    assert match, duration
    return int(match[1] or 0) * 60 + int(match[2] or 0)


@pytest.mark.parametrize("rule", ALERTS.values(), ids=lambda rule: rule.name)
def test_alerts_are_complete(rule: Rule) -> None:
    labels, annotations = rule.raw["labels"], rule.raw["annotations"]
    assert set(rule.raw) - {"keep_firing_for"} == {
        "alert", "expr", "for", "labels", "annotations",
    }  # fmt: skip
    assert (labels["severity"], labels["scope"]) in RECEIVERS
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert len(annotations["summary"]) < 200
    assert annotations["runbook_url"].endswith(f"/operations.md#{rule.name.lower()}")


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.name)
def test_rules_name_what_there_is(rule: Rule) -> None:
    names = names_in(rule.expression)
    for text in rule.raw.get("annotations", {}).values():
        names |= names_in_template(text)
    assert not unknown(names)


def test_a_name_that_is_nowhere_is_found() -> None:
    assert unknown(names_in('rate(ehpc_jobs[5m]) / ehpc_typo{a="ehpc_text"}')) == {"ehpc_typo"}
    assert unknown(names_in("a:ehpc_typo:sum + ehpc_job_wait_seconds_bucket")) == {
        "a:ehpc_typo:sum"
    }
    assert names_in_template('{{ range query (printf "ehpc_up%s" $pick) }}') == {"ehpc_up"}


def test_every_threshold_is_used_and_counted() -> None:
    thresholds = {name for name in records() if name.endswith(":threshold")}
    used = set()
    for rule in ALERTS.values():
        used |= {name for name in names_in(rule.expression) if name.endswith(":threshold")}
    for_all = {name for name in thresholds if name.startswith("ehpc:")}
    in_force = {f"{level}:ehpc_{name}:threshold" for level, name in levels()}
    assert thresholds - for_all == in_force
    assert {f"ehpc:{name}:threshold" for _, name in levels()} == for_all
    assert used == in_force
    assert ALERTS["EhpcThresholdsMissing"].expression.endswith(f"< {len(for_all)}")


def levels() -> Iterator[tuple[str, str]]:
    names = {"cluster_queue": BY_QUEUE, "cluster": BY_CLUSTER, "account": BY_ACCOUNT}
    yield from ((level, name) for level, each in names.items() for name in each)


def test_thresholds_are_in_one_file() -> None:
    """Beside them, an alert may compare with nothing but 0 and 1; whole files are their own."""
    assert {r.file for r in records().values() if re.fullmatch("ehpc:.*:threshold", r.name)} == {
        "ehpc-thresholds.yml"
    }
    found = {
        rule.name: re.findall(r"(?:[<>]=?|==)\s*(\d[\d.]*)", rule.expression)
        for rule in ALERTS.values()
    }
    odd = {name: set(numbers) - {"0", "1"} for name, numbers in found.items()}
    assert {name: numbers for name, numbers in odd.items() if numbers} == {
        "EhpcPollerStuck": {"600"},  # belongs to the window of half an hour beside it
        "EhpcThresholdsMissing": {"17"},
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_runbooks_lead_to_the_exporters_own_pages(language: str, tmp_path: Path) -> None:
    """As they are for whoever sits at the exporter's machine, and, after the documented command, for
    everybody else."""
    rules, file = LANGUAGES[language]
    shown = Manual("1").leaf(file.removesuffix(".md"))
    assert shown is not None
    name = "ehpc-alerts.yml"
    (tmp_path / name).write_text((PROMETHEUS / rules / name).read_text())
    text = (ROOT / "docs" / file).read_text()
    (command,) = re.findall(r"^    (sed -i .* ehpc-alerts\.yml)$", text, re.MULTILINE)
    for address in ("http://localhost:10046", "https://ehpc-exporter.example.org"):
        text = (tmp_path / name).read_text()
        links = re.findall(r"^ +runbook_url: (.*)$", text, re.MULTILINE)
        assert len(links) == len(ALERTS)
        for link in links:
            page, _, anchor = link.partition("#")
            assert page == f"{address}/docs/{file}"
            assert f' id="{anchor}"'.encode() in shown.body
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (OPERATIONS, ("**It means**", "**Check**", "**Do**")),
        (OPERATIONS_ZH, ("**含义**", "**检查**", "**处理**")),
    ],
    ids=["en", "zh"],
)
def test_every_alert_has_a_runbook(path: Path, parts: tuple[str, ...]) -> None:
    page = path.read_text()
    headings = anchors(page)
    for name in ALERTS:
        assert headings.count(name.lower()) == 1, name
    sections = dict(
        re.findall(r"^### (Ehpc\w+)\n(.*?)(?=^#{2,3} |\Z)", page, re.DOTALL | re.MULTILINE)
    )
    assert set(sections) == set(ALERTS)
    for name, section in sections.items():
        for part in parts:
            assert part in section, f"{name}: {part}"


# Alertmanager


def test_alertmanager_configuration(require_tool: Tool) -> None:
    said = run(require_tool("amtool"), "check-config", ALERTMANAGER)
    assert "SUCCESS" in said


@pytest.mark.parametrize(("kind", "receiver"), RECEIVERS.items(), ids=str)
def test_routes(kind: tuple[str, str], receiver: str, require_tool: Tool) -> None:
    severity, scope = kind
    run(
        require_tool("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}",
        f"--verify.receivers={receiver}", f"severity={severity}", f"scope={scope}",
    )  # fmt: skip


def test_inhibitions_name_alerts_that_there_are() -> None:
    named = set(re.findall(r"Ehpc\w+", ALERTMANAGER.read_text()))
    assert named <= set(ALERTS)
