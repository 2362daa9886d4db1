"""A configuration that discovers, and what is listed in a zone."""

import json
from pathlib import Path
from typing import Any

from exporter.config import Config, parse_config
from exporter.model import ListedCluster

ZONE = "jinan1a"


def config(discovery: dict[str, Any] | None = None, *clusters: dict[str, Any]) -> Config:
    account = {
        "endpoint": "https://x.example", "access_key_id": "K", "secret_access_key": "S",
        "discovery": {"zones": [ZONE, "jn1a"], **(discovery or {})},
    }  # fmt: skip
    more = {"clusters": list(clusters)} if clusters else {}
    collection = {"interval": "30s", "staleness": "20m"}
    text = json.dumps({"accounts": [account], "collection": collection, **more})
    return parse_config(text, {}, Path())


def listed(*ids: str, status: str = "active", name: str = "") -> tuple[ListedCluster, ...]:
    return tuple(ListedCluster(each, name, status, {}) for each in ids)
