"""What an operator with wishes of his own can say to the chart."""

import re
from pathlib import Path

import pytest
import yaml

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

VALUES_OF_OTHERS = """\
podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null, supplementalGroups: [7]}
securityContext: {capabilities: {add: [CHOWN]}}
livenessProbe: {periodSeconds: 60, tcpSocket: {port: metrics}}
readinessProbe: {failureThreshold: 9}
startupProbe: {failureThreshold: 60}
persistence: {existingClaim: kept}
secret: {env: [EHPC_ACCESS_KEY_ID]}
ingress:
  enabled: true
  className: nginx
  hosts: [ehpc.example.org]
  tls: [{secretName: ehpc-tls, hosts: [ehpc.example.org]}]
web: {routePrefix: /ehpc}
extraManifests:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {a: "{{ left alone }}"}}
  - |
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "{{ .Release.Name }}-text"}
"""


@pytest.fixture
def others(render: Render, tmp_path: Path) -> list[Document]:
    """What an operator with wishes of his own gets."""
    path = tmp_path / "others.yaml"
    path.write_text(VALUES_OF_OTHERS)
    return render("one-account-values.yaml", f"--values={path}")


def test_what_the_pod_may_do_is_settable(others: list[Document]) -> None:
    for document in others:
        if document["apiVersion"] != OPERATOR:
            kubernetes_takes(document)
    pod = only(others, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
        "supplementalGroups": [7],
    }
    capabilities = pod["containers"][0]["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"], "add": ["CHOWN"]}


def test_probes_are_settable(others: list[Document]) -> None:
    exporter = container(others)
    assert exporter["livenessProbe"]["tcpSocket"] == {"port": "metrics"}
    assert "httpGet" not in exporter["livenessProbe"]
    assert exporter["livenessProbe"]["periodSeconds"] == 60
    assert exporter["readinessProbe"]["failureThreshold"] == 9
    assert exporter["readinessProbe"]["httpGet"]["path"] == "/ehpc/-/ready"
    assert exporter["startupProbe"]["httpGet"]["path"] == "/ehpc/-/healthy"


def test_a_claim_that_is_there_is_used(others: list[Document]) -> None:
    spec = only(others, "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in spec
    (state,) = (each for each in spec["template"]["spec"]["volumes"] if each["name"] == "state")
    assert state["persistentVolumeClaim"] == {"claimName": "kept"}


def test_a_way_in_from_outside(others: list[Document]) -> None:
    spec = only(others, "Ingress")["spec"]
    assert (spec["ingressClassName"], spec["tls"][0]["secretName"]) == ("nginx", "ehpc-tls")
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    service = only(others, "Service")
    assert (rule["host"], path["path"]) == ("ehpc.example.org", "/ehpc")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]


def test_more_objects_can_belong_to_it(others: list[Document]) -> None:
    assert only(others, "ConfigMap", "more")["data"] == {"a": "{{ left alone }}"}
    assert only(others, "ConfigMap", "ehpc-text")


def test_a_key_in_a_variable_restarts_the_pods_when_it_changes(
    others: list[Document], render: Render
) -> None:
    annotations = only(others, "StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    assert re.fullmatch(r"[0-9a-f]{64}", annotations["checksum/secret"])
    files = only(render("one-account-values.yaml"), "StatefulSet")["spec"]["template"]["metadata"]
    assert "checksum/secret" not in files["annotations"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_no_key_is_in_a_config_map(example: str, render: Render) -> None:
    for document in render(example):
        if document["kind"] == "ConfigMap":
            assert not re.search(r"secret_access_key: (?!\$\{)", str(document["data"]))


@pytest.mark.parametrize(("example", "scheme"), [("one-account", "http"), ("fleet", "https")])
def test_helm_can_test_it(example: str, scheme: str, render: Render) -> None:
    documents = render(f"{example}-values.yaml")
    pod = only(documents, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    service = only(documents, "Service")
    (address,) = pod["spec"]["containers"][0]["args"]
    assert address == f"{scheme}://{service['metadata']['name']}:10046/-/ready"
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (ingress,) = only(documents, "NetworkPolicy")["spec"]["ingress"]
    assert "from" not in ingress or any(
        each.get("podSelector", {}).get("matchLabels", {}).items()
        <= pod["metadata"]["labels"].items()
        for each in ingress["from"]
        if "podSelector" in each
    )


def test_the_readme_of_the_chart_tells_every_value() -> None:
    rows = re.findall(r"^\| (`[^|]*) \|", (CHART / "README.md").read_text(), re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert {name.split(".")[0] for name in told} == set(values)
    for name in told:
        found = values
        for part in name.split("."):
            assert part in found, name
            found = found[part]


def test_probes_can_be_left_out(render: Render) -> None:
    whole = container(render("one-account-values.yaml"))
    flag = "--set=livenessProbe=null,readinessProbe=null"
    without = container(render("one-account-values.yaml", flag))
    assert whole.keys() - without.keys() == {"livenessProbe", "readinessProbe"}
