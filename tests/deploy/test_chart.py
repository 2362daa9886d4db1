"""The Helm chart: what it makes of its values, held to Kubernetes' own schemas and to our program."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli.arguments import parse_arguments
from exporter.config import Config, parse_config, shard_of
from exporter.simulator.workload import demo_profiles
from tests.deploy.chart import (
    CHART,
    EXAMPLES,
    OPERATOR,
    Document,
    Render,
    container,
    kubernetes_takes,
    only,
)
from tests.e2e.running import ROOT
from tests.waiting import PATIENCE_SECONDS

FIRST = "prometheusRule.overrides[0]"


def config_of(documents: list[Document], **environ: str) -> Config:
    text = only(documents, "ConfigMap", "ehpc-ehpc-exporter")["data"]["config.yaml"]
    text = re.sub(r"(access_key_id|secret_access_key)_file: \S+", r"\1: S", text)
    text = re.sub(r"ca_file: \S+\n", "\n", text)
    return parse_config(text, environ, Path("/"))


# What is written


@pytest.mark.parametrize("example", [None, *EXAMPLES])
def test_helm_has_nothing_to_say(
    example: str | None, run_helm: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    values = [f"--values={CHART / 'ci' / example}"] if example else []
    done = run_helm("lint", "--strict", "--quiet", str(CHART), *values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("example", EXAMPLES)
def test_kubernetes_takes_it(example: str, render: Render) -> None:
    checked = 0
    for document in render(example):
        if document["apiVersion"] != OPERATOR:
            kubernetes_takes(document)
            checked += 1
    assert checked > 5


def test_the_documented_values(render: Render, tmp_path: Path) -> None:
    (values,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE | re.DOTALL
    )
    path = tmp_path / "my-values.yaml"
    path.write_text(values)
    documents = render(str(path))
    assert {"ServiceMonitor", "PrometheusRule"} < {each["kind"] for each in documents}
    names = [each.name for each in config_of(documents, EHPC_ACCESS_KEY_ID="x").clusters]
    assert names == ["cfd"]


def test_the_validation_finds_something(render: Render) -> None:
    wrong = json.loads(json.dumps(only(render(EXAMPLES[0]), "StatefulSet")))
    wrong["spec"]["template"]["spec"]["containers"][0]["securitycontext"] = {}
    from kubernetes_validate import ValidationError  # noqa: PLC0415 - as kubernetes_takes has it

    with pytest.raises(ValidationError):
        kubernetes_takes(wrong)


def test_the_schema_of_the_values_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-c",
         "import runpy, sys; sys.stdout.write(runpy.run_path(sys.argv[1])['values_schema']())",
         str(ROOT / "deploy/helm/values_schema.py")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = (CHART / "values.schema.json").read_text()
    assert done.stdout == wanted, "run python deploy/helm/values_schema.py"


def test_every_value_has_a_schema() -> None:
    def missing(values: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> Iterator[str]:
        for key, value in values.items():
            if key not in schema.get("properties", {}):
                yield f"{path}{key}"
            elif isinstance(value, dict) and "properties" in schema["properties"][key]:
                yield from missing(value, schema["properties"][key], f"{path}{key}.")

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert list(missing(values, schema, "")) == []


@pytest.mark.parametrize(
    ("example", "flags", "said"),
    [
        ("demo", ["demo.enabled=false"], "config.clusters is empty: name the clusters to watch"),
        ("one-account", ["secret.data=null"], "a key is needed: set secret.existing"),
        ("fleet", ["secret.data.EHPC_ACCESS_KEY_ID=x"], "secret.existing and secret.data are both set"),
        ("one-account", ["web.tls=true"], "web.tls needs a certificate: set web.existingSecret"),
        ("one-account", ["serviceMonitor.interval=1m", "serviceMonitor.scrapeTimeout=1m1s"],
         "serviceMonitor.scrapeTimeout (1m1s) is longer than serviceMonitor.interval (1m)"),
        ("one-account", ["serviceMonitor.endpoint.interval=5s"],
         "serviceMonitor.scrapeTimeout (10s) is longer than serviceMonitor.interval (5s)"),
        ("one-account", ["replicas=2"], "additional properties 'replicas' not allowed"),
        ("one-account", ["config.clusters[0].zon=x"], "additional properties 'zon' not allowed"),
        ("one-account", ["config.state.path=/x"], "additional properties 'state' not allowed"),
        ("one-account", ["config.collection.interval=5x"], "does not match pattern"),
        ("one-account", ["shards=0"], "/shards': minimum: got 0, want 1"),
        ("one-account", ["config.accounts[0].secret_access_key=hush"],
         "config.accounts[0].secret_access_key would be readable in a ConfigMap"),
        ("one-account", ["shards=2", "persistence.existingClaim=x"], "each shard needs its own"),
        ("one-account", ["persistence.enabled=false", "persistence.existingClaim=x"],
         "persistence.existingClaim is not used while persistence.enabled is false"),
        ("one-account", ["ingress.enabled=true"], "ingress.hosts is empty"),
        ("one-account", ["prometheusRule.thresholds.wait=1"],
         'prometheusRule.thresholds: there is no "wait"; known are'),
        ("one-account", [f"{FIRST}.cluster=cfd", f"{FIRST}.wait=1"],
         'prometheusRule.overrides[0]: there is no threshold "wait"; known are'),
        ("one-account", [f"{FIRST}.queue=debug", f"{FIRST}.wait_seconds=1"],
         "prometheusRule.overrides[0]: name the cluster of the queue, too"),
        ("one-account", [f"{FIRST}.cluster=cfd", f"{FIRST}.queue=q", f"{FIRST}.corrected_jobs=1"],
         "prometheusRule.overrides[0]: corrected_jobs is for a whole cluster"),
        ("one-account", [f"{FIRST}.cluster=cfd", f"{FIRST}.quota_used_ratio=1"],
         "prometheusRule.overrides[0]: quota_used_ratio is for an account"),
        ("one-account", [f"{FIRST}.account=default", f"{FIRST}.wait_seconds=1"],
         "prometheusRule.overrides[0]: wait_seconds is for a cluster, or a queue of one"),
        ("one-account", [f"{FIRST}.wait_seconds=1", f"{FIRST}.failed_share=1"],
         "prometheusRule.overrides[0]: for which cluster?"),
        ("one-account", ["prometheusRule.language=de"], "value must be one of 'en', 'zh'"),
        ("one-account", ["secret.env={EHPC_TOKEN}"], "secret.env: secret.data has no EHPC_TOKEN"),
        ("one-account", ["fullnameOverride=Ehpc_Exporter"], "/fullnameOverride"),
        (
            "one-account",
            [f"prometheusRule.overrides[{place}].{each}" for place in (0, 1) for each in ("cluster=a", "wait_seconds=9")],
            "prometheusRule.overrides[1]: wait_seconds is there twice for the same place",
        ),
    ],
)  # fmt: skip
def test_bad_values_are_refused(
    example: str,
    flags: list[str],
    said: str,
    run_helm: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run_helm(
        "template", "ehpc", str(CHART), f"--values={CHART / 'ci'}/{example}-values.yaml",
        *(f"--set={flag}" for flag in flags),
    )  # fmt: skip
    assert done.returncode != 0
    assert said in done.stderr


# What runs


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_program_understands_its_command_line_and_configuration(
    example: str, render: Render
) -> None:
    documents = render(example)
    spec = only(documents, "StatefulSet")["spec"]
    arguments = [each.replace("$(EHPC_SHARD_INDEX)", "0") for each in container(documents)["args"]]
    read = parse_arguments(arguments)
    assert read.shard.count == spec["replicas"]
    assert str(read.config_file) in {
        mount["mountPath"] for mount in container(documents)["volumeMounts"]
    }
    given = {variable["name"]: "x" for variable in container(documents)["env"]}
    config = config_of(documents, **given)
    state = {mount["name"]: mount["mountPath"] for mount in container(documents)["volumeMounts"]}
    assert str(config.state.path) == state["state"]


def test_the_demonstration_watches_the_clusters_of_the_simulator(render: Render) -> None:
    documents = render("demo-values.yaml")
    config = config_of(documents)
    known = {(profile.cluster_id, profile.zone) for profile in demo_profiles(4)}
    assert {(each.cluster_id, each.zone) for each in config.clusters} == known
    deployment = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    (source,) = deployment["envFrom"]
    secret = only(documents, "Secret", source["secretRef"]["name"])
    assert set(secret["data"]) == {"EHPC_ACCESS_KEY_ID", "EHPC_SECRET_ACCESS_KEY"}
    simulate = parse_arguments(deployment["args"])
    assert simulate.access_key_id == "$(EHPC_ACCESS_KEY_ID)"
    assert simulate.secret_access_key == "$(EHPC_SECRET_ACCESS_KEY)"
    assert secret_files(documents) == {f"/run/secrets/ehpc/{key}" for key in secret["data"]}
    service = only(documents, "Service", "ehpc-ehpc-exporter-simulator")
    port = service["spec"]["ports"][0]["port"]
    assert config.accounts[0].endpoint == f"http://{service['metadata']['name']}:{port}"
    assert simulate.listen_address == f"0.0.0.0:{port}"


def secret_files(documents: list[Document]) -> set[str]:
    """The files with keys that the configuration names."""
    text = only(documents, "ConfigMap", "ehpc-ehpc-exporter")["data"]["config.yaml"]
    return set(re.findall(r"key(?:_id)?_file: (\S+)", text))


def test_the_sharing_of_the_fleet(render: Render) -> None:
    documents = render("fleet-values.yaml")
    config = config_of(documents, PUBLIC_KEY_ID="x", PRIVATE_KEY_ID="y")
    assert config.accounts[1].quota_requests == 1_000_000
    (index,) = (each for each in container(documents)["env"] if each["name"] == "EHPC_SHARD_INDEX")
    path = index["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert len({shard_of(each.cluster_id, 3) for each in config.clusters}) > 1
    (claim,) = only(documents, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"


@pytest.mark.parametrize("example", EXAMPLES)
def test_nothing_may_do_more_than_it_must(example: str, render: Render) -> None:
    for document in render(example):
        if document["kind"] not in {"StatefulSet", "Deployment"}:
            continue
        pod = document["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10046
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["limits"]["memory"]


def test_the_user_is_the_images() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert "USER 10046:0\n" in dockerfile
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["podSecurityContext"]["runAsUser"] == 10046


def test_it_may_reach_the_endpoints_and_names_only(render: Render) -> None:
    policy = only(render("fleet-values.yaml"), "NetworkPolicy")["spec"]
    ports = [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert sorted(set(ports)) == [53, 443, 3128, 7777]
    policy = only(render("one-account-values.yaml"), "NetworkPolicy")["spec"]
    (ingress,) = policy["ingress"]
    assert ingress["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    assert len(ingress["from"]) == 2


def test_a_protected_exporter_is_asked_from_within(render: Render) -> None:
    (plain, protected) = (
        container(render(f"{name}-values.yaml")) for name in ("one-account", "fleet")
    )
    assert plain["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "metrics"}
    assert plain["readinessProbe"]["httpGet"]["path"] == "/-/ready"
    command = protected["readinessProbe"]["exec"]["command"]
    assert command[-1] == "https://127.0.0.1:10046/-/ready"
    assert command[1] in re.findall(r"/opt\S+\.py", (ROOT / "deploy/Dockerfile").read_text())


def test_below_a_path_it_is_asked_and_scraped_there(render: Render) -> None:
    documents = render(
        "fleet-values.yaml", "--set=web.routePrefix=/ehpc,web.existingSecret=,web.tls=false"
    )
    container = only(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    flags = [flag for flag in container["args"] if not flag.startswith("--shard")]
    assert parse_arguments(flags).route_prefix == "/ehpc"
    assert container["livenessProbe"]["httpGet"]["path"] == "/ehpc/-/healthy"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ehpc/-/ready"
    (endpoint,) = only(documents, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["path"] == "/ehpc/metrics"


def test_a_restarted_pod_is_the_same_instance_unless_told_otherwise(render: Render) -> None:
    (endpoint,) = only(render("demo-values.yaml"), "ServiceMonitor")["spec"]["endpoints"]
    (rule,) = endpoint["relabelings"]
    assert rule["targetLabel"] == "instance"
    assert "__meta_kubernetes_pod_name" in rule["sourceLabels"]
    other = '--set-json=serviceMonitor.endpoint={"relabelings": [{"targetLabel": "x"}]}'
    (endpoint,) = only(render("demo-values.yaml", other), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "x"}]


def test_the_services_selectors_meet_the_pods(render: Render) -> None:
    documents = render("one-account-values.yaml")
    labels = only(documents, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    service = only(documents, "Service")
    monitor = only(documents, "ServiceMonitor")
    assert service["spec"]["selector"].items() <= labels.items()
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    for kind in ("NetworkPolicy", "PodDisruptionBudget"):
        spec = only(documents, kind)["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        assert selector["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


# Rules and dashboards


def rules_of_the_project(alerts: str = "rules") -> list[Document]:
    paths = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
    assert paths
    paths = [ROOT / f"deploy/prometheus/{alerts}/ehpc-alerts.yml", *paths[1:]]
    groups = [group for path in paths for group in yaml.safe_load(path.read_text())["groups"]]
    return [group for group in groups if group["rules"]]


def test_the_rules_are_the_projects(
    render: Render, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    spec = only(render("one-account-values.yaml"), "PrometheusRule")["spec"]
    assert spec["groups"] == rules_of_the_project()
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(spec))
    done = subprocess.run(
        [require_tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path)],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_probes_of_a_protected_exporter_log_in(render: Render) -> None:
    (pod,) = (
        each["spec"]["template"]["spec"]
        for each in render("fleet-values.yaml")
        if each["kind"] == "StatefulSet"
    )
    (container,) = pod["containers"]
    environ = {each["name"]: each.get("value") for each in container["env"]}
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert environ["EHPC_HEALTH_LOGIN_FILE"] == f"{mounts['web']}/login"
    for kind, path in (("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        program, file, address = container[kind]["exec"]["command"]
        assert (program, file) == ("python3", "/opt/ehpc-exporter/healthcheck.py")
        assert address == f"https://127.0.0.1:10046{path}"


def test_thresholds_and_runbooks_can_be_others(render: Render) -> None:
    *groups, overrides = only(render("fleet-values.yaml"), "PrometheusRule")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    original = [rule for group in rules_of_the_project("rules-zh") for rule in group["rules"]]
    changed = {
        rule["record"]: rule["expr"]
        for rule, before in zip(rules, original, strict=True)
        if rule["expr"] != before["expr"]
    }
    assert changed == {
        "ehpc:backlog_hours:threshold": "vector(24)",
        "ehpc:wait_seconds:threshold": "vector(48 * 3600)",
    }
    links = {rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}
    page = "https://wiki.example.org/hpc/operations.zh-CN.md#"
    assert all(link.startswith(page) for link in links)
    assert [rule.get("annotations", {}).get("summary") for rule in rules] == [
        rule.get("annotations", {}).get("summary") for rule in original
    ]
    assert overrides["name"] == "ehpc-overrides"
    told = [
        (rule["record"].split(":")[1], rule["expr"], rule["labels"]) for rule in overrides["rules"]
    ]
    debug = {"cluster_name": "ehpc-qmmvigwe", "queue": "debug"}
    whole = {"cluster_name": "hpc-n2yopbte"}
    assert told == [
        ("wait_seconds", "vector(900)", debug),
        ("wait_usual_factor", "vector(0)", debug),
        ("backlog_hours", "vector(Inf)", whole),
        ("data_age_seconds", "vector(3600)", whole),
        ("quota_used_ratio", "vector(0.95)", {"account": "private"}),
    ]


@pytest.mark.parametrize(("language", "directory"), [("en", "dashboards"), ("zh", "dashboards-zh")])
def test_the_dashboards_are_the_projects(language: str, directory: str, render: Render) -> None:
    found = {
        name: text
        for document in render("one-account-values.yaml", f"--set=dashboards.language={language}")
        if document["kind"] == "ConfigMap"
        for name, text in document["data"].items()
        if name.endswith(".json")
    }
    paths = (ROOT / "deploy/grafana" / directory).glob("*.json")
    assert found == {path.name: path.read_text() for path in paths}
    assert found
