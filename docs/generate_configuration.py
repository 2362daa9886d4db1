"""Writes ``docs/configuration.md`` from the types of the file: ``make docs``."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from exporter.config import file
from exporter.config.schema import schema_text

Schema = dict[str, Any]

_HEAD = """\
<!-- made by docs/generate_configuration.py from exporter/config/file.py: run make docs -->
# Configuration

The configuration is one YAML file, `--config.file=config.yaml`. Only an account (endpoint and keys) and a cluster, or
a `discovery`, are required; everything else has a default. The file is read strictly: with an unknown key, a
wrong type, a missing value or a duplicate name, the program does not start. It prints one line for each problem, with
the path of the key and the line number. `ehpc-exporter check-config` prints the same, and estimates how much of
the quota the configuration needs. `config.example.yaml` shows all keys, and editors can complete them with
`config.schema.json`.

`${VAR}` in a text is replaced by the environment variable; a missing variable is an error, and `$$` is a `$`.
Durations are written as in Prometheus: `30s`, `5m`, `1h30m`, `30d`. Relative paths start from
the directory of the file, and `~` is not replaced: write `${HOME}`. SIGHUP, or `POST /-/reload` with `--web.enable-lifecycle`, reloads the file;
if it is not valid, the old configuration stays in use. Only `state.path` needs a restart.
"""


def page() -> str:
    """The whole page."""
    schema = json.loads(schema_text())
    return _HEAD + "".join(_sections(schema, _target(schema, schema), ""))


def _sections(schema: Schema, struct: Schema, path: str) -> Iterator[str]:
    """A table of a struct's keys, then those of the structs in it."""
    required = struct.get("required", [])
    properties: dict[str, Schema] = struct["properties"]
    inner = {key: _inside(schema, each) for key, each in properties.items()}
    keys = {key: each for key, each in properties.items() if inner[key] is None}
    if keys:
        yield f"\n## {path}\n\n{struct['description']}\n\n| key | default | meaning |\n| --- | --- | --- |\n"
        for key, each in keys.items():
            default = "needed" if key in required else _default(struct["title"], key)
            yield f"| `{key}` | {default} | {_meaning(each)} |\n"
    for key, found in inner.items():
        if found is not None:
            mark, its = found
            yield from _sections(schema, its, f"{path}.{key}{mark}".lstrip("."))


def _inside(schema: Schema, each: Schema) -> tuple[str, Schema] | None:
    """The struct that a key holds, or a list or a map of it."""
    for mark, place in (
        ("", each),
        ("[]", each.get("items", {})),
        (".NAME", each.get("additionalProperties", {})),
    ):
        if "$ref" in place:
            return mark, _target(schema, place)
    return None


def _target(schema: Schema, place: Schema) -> Schema:
    found: Schema = schema["$defs"][place["$ref"].rpartition("/")[2]]
    return found


def _default(struct: str, key: str) -> str:
    """From the types: the schema does not have those that are made anew each time."""
    fields = {each.name: each for each in msgspec.structs.fields(getattr(file, struct))}
    made = fields[key].default_factory
    value = fields[key].default if made is msgspec.NODEFAULT else made()
    if value is msgspec.UNSET:
        return "–"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _meaning(each: Schema) -> str:
    told: str = each.get("description", "")
    if "enum" in each:
        told += f" One of {', '.join(f'`{value}`' for value in each['enum'])}."
    if "examples" in each:
        told += f" Such as {', '.join(f'`{value}`' for value in each['examples'])}."
    return told.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
