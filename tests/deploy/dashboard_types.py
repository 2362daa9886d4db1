"""A dashboard as TypeScript, so that Grafana's own types can be held against it.

A key that a type does not know is an error only where a value is written out: hence the source
has each part of the dashboard as a literal of the type that it should have.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

RAW = "./node_modules/@grafana/schema/dist/types/raw"
TYPES = ("stat", "table", "timeseries")

PREAMBLE = f"""\
import type * as raw from '{RAW}/dashboard/x/types.gen';
{"".join(f"import type * as {t} from '{RAW}/composable/{t}/panelcfg/x/types.gen';" for t in TYPES)}
// Enumerations are written as their values.
type L<T> = T extends string ? `${{T}}` : T extends (infer U)[] ? L<U>[]
  : T extends object ? {{ [K in keyof T]: L<T[K]> }} : T;
// Known to @grafana/data, left out of the schema.
type Field = raw.FieldConfig & {{ fieldMinMax?: boolean }};
type Query = {{
  refId: string; expr: string; datasource: raw.DataSourceRef; interval?: string;
  legendFormat?: string; format?: 'table' | 'time_series'; instant?: boolean; range?: boolean;
}};
"""


def source_of(board: Mapping[str, Any]) -> str:
    """The whole dashboard."""
    return PREAMBLE + "".join(
        f"export const v{place}: {kind} = {json.dumps(value, ensure_ascii=False)};\n"
        for place, (kind, value) in enumerate(typed_parts(board))
    )


def typed_parts(board: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    rest = {key: value for key, value in board.items() if key != "panels"}
    yield "L<Omit<raw.Dashboard, 'panels'>>", rest
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield "L<raw.RowPanel>", panel
        else:
            yield from parts_of_panel(panel)


def parts_of_panel(panel: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    own = panel["type"]
    apart = ("options", "fieldConfig", "targets")
    yield "L<raw.Panel>", {key: value for key, value in panel.items() if key not in apart}
    yield f"L<Partial<{own}.Options>>", panel["options"]
    for target in panel["targets"]:
        yield "Query", target
    defaults = dict(panel["fieldConfig"]["defaults"])
    if own != "stat":  # which has none
        yield f"L<Partial<{own}.FieldConfig>>", defaults.pop("custom", {})
    yield "L<Field>", defaults
    for override in panel["fieldConfig"]["overrides"]:
        yield "L<raw.MatcherConfig>", override["matcher"]
        for each in override["properties"]:
            yield type_of_property(own, each["id"]), each["value"]


def type_of_property(own: str, name: str) -> str:
    if name.startswith("custom."):
        return f"L<{own}.FieldConfig['{name.removeprefix('custom.')}']>"
    return f"L<Field['{name}']>"
