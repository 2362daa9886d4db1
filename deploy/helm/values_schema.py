"""Writes the chart's ``values.schema.json``: what the chart itself takes, and under ``config`` what the
program takes, from ``config.schema.json``. Run it when either has changed::

    python deploy/helm/values_schema.py
"""

import copy
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "config.schema.json"
TARGET = HERE / "ehpc-exporter/values.schema.json"

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
SCALAR: Schema = {"type": ["number", "string"]}
LANGUAGE: Schema = {"enum": ["en", "zh"]}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
NAME: Schema = {"type": "string", "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"}
"""Of objects, a Service among them; empty for the default."""
ENVIRONMENT_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"


def closed(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these properties and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def own_values() -> dict[str, Schema]:
    """What the chart takes besides the program's configuration."""
    return {
        "secret": closed(
            existing=TEXT,
            data={
                "type": "object",
                "propertyNames": {"pattern": "^[-._A-Za-z0-9]+$"},
                "additionalProperties": {"type": "string", "minLength": 1},
            },
            env={"type": "array", "items": {"type": "string", "pattern": ENVIRONMENT_NAME}},
        ),
        "shards": {"type": "integer", "minimum": 1, "maximum": 1000},
        "demo": closed(enabled=SWITCH),
        "image": closed(
            ("repository",),
            repository={"type": "string", "minLength": 1},
            tag=TEXT,
            digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
        ),
        "imagePullSecrets": OBJECTS,
        "nameOverride": NAME,
        "fullnameOverride": NAME,
        "logLevel": {"enum": ["debug", "info", "warn", "error"]},
        "logFormat": {"enum": ["logfmt", "json"]},
        "extraArgs": TEXTS,
        "extraEnv": OBJECTS,
        "extraVolumes": OBJECTS,
        "extraVolumeMounts": OBJECTS,
        "web": closed(
            existingSecret=TEXT,
            tls=SWITCH,
            routePrefix={"type": "string", "pattern": "^(/[A-Za-z0-9_.~-]+)*$"},
        ),
        "service": closed(
            port={"type": "integer", "minimum": 1, "maximum": 65535}, annotations=LABELS
        ),
        "ingress": closed(
            enabled=SWITCH, className=TEXT, annotations=LABELS, hosts=TEXTS, tls=OBJECTS
        ),
        "serviceAccount": closed(create=SWITCH, name=TEXT, annotations=LABELS),
        "persistence": closed(
            enabled=SWITCH,
            size={"type": "string", "pattern": "^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$"},
            storageClass=TEXT,
            accessModes=TEXTS | {"minItems": 1},
            annotations=LABELS,
            existingClaim=TEXT,
        ),
        "serviceMonitor": closed(
            enabled=SWITCH,
            labels=LABELS,
            interval=DURATION,
            scrapeTimeout=DURATION,
            endpoint=OBJECT,
        ),
        "prometheusRule": closed(
            enabled=SWITCH,
            labels=LABELS,
            runbookUrl=TEXT,
            thresholds={"type": "object", "additionalProperties": SCALAR},
            overrides={
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"cluster": TEXT, "queue": TEXT, "account": TEXT},
                    "minProperties": 2,
                    "additionalProperties": SCALAR,
                },
            },
            language=LANGUAGE,
        ),
        "dashboards": closed(enabled=SWITCH, language=LANGUAGE, labels=LABELS, annotations=LABELS),
        "networkPolicy": closed(enabled=SWITCH, **{"from": OBJECTS}, extraEgress=OBJECTS),
        "podDisruptionBudget": closed(
            enabled=SWITCH, maxUnavailable={"type": ["integer", "string"]}
        ),
        "podSecurityContext": OBJECT,
        "securityContext": OBJECT,
        "livenessProbe": OBJECT,
        "readinessProbe": OBJECT,
        "startupProbe": OBJECT,
        "extraManifests": {"type": "array", "items": {"type": ["object", "string"]}},
        "resources": OBJECT,
        "podAnnotations": LABELS,
        "podLabels": LABELS,
        "priorityClassName": TEXT,
        "nodeSelector": LABELS,
        "tolerations": OBJECTS,
        "affinity": OBJECT,
        "topologySpreadConstraints": OBJECTS,
        # Helm's own, for charts that have this one as a part
        "global": OBJECT,
    }


def program_values(program: Schema) -> tuple[Schema, dict[str, Schema]]:
    """The schema of ``config``, and the definitions that it refers to."""
    definitions: dict[str, Schema] = copy.deepcopy(program["$defs"])
    whole = definitions.pop(program["$ref"].rpartition("/")[2])
    del whole["properties"]["state"]  # the chart says where the state is
    definitions.pop("State")
    for definition in definitions.values():
        for each in definition["properties"].values():
            if "pattern" in each:  # Helm's regular expressions cannot look ahead
                each["pattern"] = each["pattern"].replace("(?=[0-9])", "")
    return whole, definitions


def values_schema() -> str:
    """The file's text."""
    config, definitions = program_values(json.loads(PROGRAM.read_text()))
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart ehpc-exporter",
        **closed(("config", "shards", "image"), config=config, **own_values()),
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(values_schema())
