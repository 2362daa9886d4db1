"""The JSON Schema of the configuration file, for editors: ``python -m exporter.config.schema``."""

import json
import sys

import msgspec

from exporter.config.file import ConfigFile


def schema_text() -> str:
    """The committed ``config.schema.json``, whole."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ehpc-exporter configuration",
        **msgspec.json.schema(ConfigFile),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
