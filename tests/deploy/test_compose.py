"""The compose stack: what docker-compose thinks of it, and its own commands really run."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load_config
from exporter.simulator.workload import GROUPS
from tests.deploy.rule_files import RULE_FILES
from tests.e2e.running import ROOT, Exporter, run_command, simulating
from tests.waiting import PATIENCE_SECONDS

COMPOSE = ROOT / "deploy/compose"
FILE = COMPOSE / "compose.yaml"
PROFILES = ("demo", "real")


@pytest.fixture(scope="module")
def stack() -> Mapping[str, Any]:
    with FILE.open() as text:
        services = yaml.safe_load(text)["services"]
    assert isinstance(services, dict)
    return services


@pytest.mark.parametrize("profile", PROFILES)
def test_docker_compose_has_nothing_to_say(
    profile: str, require_tool: Callable[[str], str]
) -> None:
    done = subprocess.run(
        [require_tool("docker-compose"), "--file", str(FILE), "--profile", profile, "config", "-q"],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def mounted(stack: Mapping[str, Any], service: str) -> dict[str, str]:
    """What is mounted where, by the place in the container; as written, or as docker-compose spells it."""
    found = {}
    for each in stack[service]["volumes"]:
        source, target = (
            (each["source"], each["target"]) if isinstance(each, dict) else each.split(":")[:2]
        )
        found[target] = os.path.relpath(COMPOSE / source, COMPOSE)
    return found


def test_by_a_variable_it_speaks_chinese(
    stack: Mapping[str, Any], require_tool: Callable[[str], str]
) -> None:
    """The same stack, but that alerts and dashboards have others in their places."""
    done = subprocess.run(
        [require_tool("docker-compose"), "config"],
        env={**os.environ, "COMPOSE_FILE": f"{FILE}:{COMPOSE / 'compose.zh.yaml'}"},
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    chinese = yaml.safe_load(done.stdout)["services"]
    rules, boards = mounted(stack, "prometheus"), mounted(stack, "grafana")
    assert rules["/etc/prometheus/rules"] == "../prometheus/rules"
    alerts = {"/etc/prometheus/rules/ehpc-alerts.yml": "../prometheus/rules-zh/ehpc-alerts.yml"}
    assert mounted(chinese, "prometheus") == rules | alerts
    place = "/var/lib/grafana-dashboards"
    assert boards[place] == "../grafana/dashboards"
    assert mounted(chinese, "grafana") == boards | {place: "../grafana/dashboards-zh"}


def test_the_chinese_files_take_the_places_of_english_ones() -> None:
    assert (ROOT / "deploy/prometheus/rules/ehpc-alerts.yml").exists()
    english, chinese = (
        {path.name for path in (ROOT / "deploy/grafana" / each).iterdir()}
        for each in ("dashboards", "dashboards-zh")
    )
    assert english == chinese


def test_without_a_word_it_is_the_demonstration() -> None:
    assert (COMPOSE / ".env").read_text() == "COMPOSE_PROFILES=demo\n"


def test_its_users_are_in_the_groups_of_the_demo() -> None:
    assert (COMPOSE / "demo-groups.csv").read_text(encoding="utf-8") == GROUPS


def test_what_is_mounted_is_there(stack: Mapping[str, Any]) -> None:
    named = set(yaml.safe_load(FILE.read_text())["volumes"])
    mounted = [volume for service in stack.values() for volume in service.get("volumes", [])]
    sources = {re.sub(r"^\$\{\w+:-(.*?)\}", r"\1", each).split(":")[0] for each in mounted}
    assert sources > named
    paths = sources - named - {"../../config"}  # that one is the user's own
    assert [each for each in sorted(paths) if not (COMPOSE / each).exists()] == []


def test_nothing_is_open_to_the_world(stack: Mapping[str, Any]) -> None:
    ports = [port for service in stack.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert all(service["read_only"] for service in stack.values())
    assert all(service["cap_drop"] == ["ALL"] for service in stack.values())


def test_images_are_pinned(stack: Mapping[str, Any]) -> None:
    others = {service["image"] for service in stack.values() if "build" not in service}
    assert len(others) == 3
    assert all(re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image) for image in others)


def test_prometheus_scrapes_the_exporter_of_either_profile(stack: Mapping[str, Any]) -> None:
    scraped = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["scrape_configs"][0]
    (target,) = scraped["static_configs"][0]["targets"]
    host, port = target.split(":")
    for profile in PROFILES:
        (service,) = (
            each
            for each in stack.values()
            if profile in each.get("profiles", ()) and each.get("ports")
        )
        assert service["networks"]["default"]["aliases"] == [host]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_prometheus_takes_its_configuration(
    require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """As in the container: the configuration and the rules side by side."""
    (tmp_path / "rules").symlink_to(ROOT / "deploy/prometheus/rules")
    (tmp_path / "prometheus.yml").write_text((COMPOSE / "prometheus.yml").read_text())
    done = subprocess.run(
        [require_tool("promtool"), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"\d+ rules found", done.stdout)) == len(RULE_FILES)


def test_grafana_finds_prometheus_and_the_dashboards(stack: Mapping[str, Any]) -> None:
    environment = stack["grafana"]["environment"]
    mounts = dict(each.split(":")[:2] for each in stack["grafana"]["volumes"])
    told = {
        path.parent.name: yaml.safe_load(path.read_text())
        for path in (ROOT / "deploy/grafana/provisioning").glob("*/*.yml")
    }
    assert mounts["../grafana/provisioning"] == "/etc/grafana/provisioning"
    (source,) = told["datasources"]["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    port = stack["prometheus"]["ports"][0].rpartition(":")[2]
    assert environment["PROMETHEUS_URL"] == f"http://prometheus:{port}"
    (provider,) = told["dashboards"]["providers"]
    assert provider["options"]["path"] == "${EHPC_DASHBOARDS}"
    where = environment["EHPC_DASHBOARDS"]
    assert mounts["../grafana/dashboards"] == where
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == where
    assert (ROOT / "deploy/grafana/dashboards" / home.name).exists()


def test_the_demonstration_runs(stack: Mapping[str, Any], tmp_path: Path) -> None:
    command, *flags = stack["simulator"]["command"]
    assert command == "simulate"
    (where,) = (flag for flag in flags if flag.startswith("--listen-address="))
    flags.remove(where)
    port = where.rpartition(":")[2]
    told = (COMPOSE / "demo-config.yaml").read_text()
    assert told.count(f"http://simulator:{port}\n") == 1
    shutil.copy(COMPOSE / "demo-groups.csv", tmp_path)
    with simulating(*flags) as endpoint:
        config = told.replace(f"http://simulator:{port}", endpoint)
        with Exporter(tmp_path, config) as exporter:
            names = [each.name for each in load_config(exporter.config_path, {}).clusters]
            shown = exporter.until_up(*names)
            assert len(names) == 4
            assert shown.sum("ehpc_jobs", status="running") > 0
            assert shown.sum("ehpc_user_info", group="physics") > 0
    checked = run_command("check-config", f"--config.file={COMPOSE / 'demo-config.yaml'}")
    assert "fits" in checked.stdout
    assert checked.returncode == 0
