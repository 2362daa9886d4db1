"""The Helm chart, and what it makes of its values."""

from collections.abc import Callable
from typing import Any

from tests.e2e.running import ROOT

CHART = ROOT / "deploy/helm/ehpc-exporter"
EXAMPLES = sorted(path.name for path in (CHART / "ci").glob("*.yaml"))
KUBERNETES = "1.33"
OPERATOR = "monitoring.coreos.com/v1"

Document = dict[str, Any]
Render = Callable[..., list[Document]]


def kubernetes_takes(document: Document) -> None:
    """Hold it to Kubernetes' own schemas; raises ``kubernetes_validate.ValidationError``."""
    # Loading it takes seconds, as it makes the parsers of many grammars: not in every process of a run.
    import kubernetes_validate  # noqa: PLC0415

    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def only(documents: list[Document], kind: str, name: str | None = None) -> Document:
    (found,) = (
        each
        for each in documents
        if each["kind"] == kind and name in {None, each["metadata"]["name"]}
    )
    return found


def container(documents: list[Document]) -> Document:
    (found,) = only(documents, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found
