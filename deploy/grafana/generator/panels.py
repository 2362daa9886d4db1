"""Numbers, lines, stacks and tables, all in one style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generator import looks, promql

SOURCE = look.DataSourceRef(type_val="prometheus", uid="${datasource}")
SHORTEST_STEP = "1m"
"""The exporter looks once a minute, unless it is told otherwise: between is nothing to see."""

FLOW_STEP = "5m"
"""For what happens a few times a minute: averaged over 20 minutes, it has a shape."""

NARROWEST = 70
"""Columns of a table share its width, but none is narrower; in pixels."""

Panel = stat.Panel | timeseries.Panel | table.Panel

TO_CLUSTER = "/d/ehpc-cluster?var-datasource=${datasource}&${__url_time_range}&var-cluster="
FIELD_LINKS = {
    "Cluster": TO_CLUSTER + "${__data.fields.Cluster:percentencode}",
    "Queue": TO_CLUSTER
    + "${__data.fields.Cluster:percentencode}&var-queue=${__data.fields.Queue:percentencode}",
    "User": TO_CLUSTER
    + "${__data.fields.Cluster:percentencode}&var-user=${__data.fields.User:percentencode}",
}
"""Where a name in a table leads to."""

TITLES = {
    "cluster_name": "Cluster",
    "queue": "Queue",
    "user": "User",
    "group": "Group",
    "account": "Account",
    "cluster_id": "Cluster id",
    "zone_id": "Zone",
    "strategy": "Strategy",
    "trait": "Trait",
    "value": "Found",
}


def query(
    expr: str, legend: str = "", ref: str = "A", step: str = SHORTEST_STEP
) -> prometheus.Dataquery:
    """Values over the time range. ``$__rate_interval`` is at least four times ``step``."""
    made = prometheus.Dataquery().expr(expr).ref_id(ref).range().datasource(SOURCE).interval(step)
    return made.legend_format(legend) if legend else made


def number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = looks.COUNT,
    colour: str = "",
    steps: looks.Steps = (),
    mappings: Sequence[model.ValueMapping] = (),
    nothing: str = "–",
    decimals: int | None = None,
    trend: bool = True,
) -> stat.Panel:
    """The value now, large, with its past behind it if there is a ``trend``. Either a fixed colour or thresholds.

    Where there is none now, it says ``nothing`` instead of what there was last.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .with_target(query(promql.now_or_nothing(expr), title))
        .interval(SHORTEST_STEP)
        .unit(unit)
        .no_value(nothing)
        .mappings([*mappings, _absent(nothing, "text")])
        .reduce_options(common.ReduceDataOptions().calcs(["last"]).values(False))  # noqa: FBT003
        .color_mode(look.BigValueColorMode.VALUE)
        .graph_mode(look.BigValueGraphMode.AREA if trend else look.BigValueGraphMode.NONE)
        .text_mode(look.BigValueTextMode.VALUE)
        .text(common.VizTextDisplayOptions().value_size(30))
        .justify_mode(look.BigValueJustifyMode.AUTO)
        .orientation(look.VizOrientation.AUTO)
    )
    if decimals is not None:
        panel.decimals(decimals)
    if steps:
        return panel.thresholds(looks.thresholds(steps)).color_scheme(looks.by_threshold())
    return panel.color_scheme(looks.fixed(colour))


def _absent(text: str, colour: str) -> model.SpecialValueMap:
    return model.SpecialValueMap(
        options=model.DashboardSpecialValueMapOptions(
            match=model.SpecialValueMatch.NULL_AND_NAN,
            result=model.ValueMappingResult(text=text, color=colour, index=9),
        )
    )


def lines(
    title: str,
    description: str,
    exprs: Mapping[str, str],
    *,
    unit: str = looks.COUNT,
    colours: Mapping[str, str] | None = None,
    steps: looks.Steps = (),
    dashed: str = "",
    legend_right: bool = False,
    step: str = SHORTEST_STEP,
) -> timeseries.Panel:
    """A line for each series. ``exprs`` has the queries by legend; ``dashed`` is a pattern of the
    names of lines that are limits."""
    panel = _over_time(title, description, unit, legend_right=legend_right)
    for place, (legend, expr) in enumerate(exprs.items()):
        panel.with_target(query(expr, legend, chr(ord("A") + place), step))
    panel.line_width(2).fill_opacity(0)
    _colour(panel, colours or {})
    if steps:
        panel.thresholds(looks.thresholds(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(look.GraphThresholdsStyleMode.DASHED)
        )
    if dashed:
        style = {"fill": "dash", "dash": [8, 6]}
        panel.override_by_regexp(
            dashed,
            [
                model.DynamicConfigValue(id_val="custom.lineStyle", value=style),
                model.DynamicConfigValue(id_val="color", value=_fixed(looks.LIMIT_COLOUR)),
            ],
        )
    return panel


def stack(
    title: str,
    description: str,
    exprs: Mapping[str, str],
    *,
    unit: str = looks.COUNT,
    colours: Mapping[str, str] | None = None,
    legend_right: bool = False,
    step: str = SHORTEST_STEP,
) -> timeseries.Panel:
    """Areas on top of one another."""
    panel = lines(
        title, description, exprs,
        unit=unit, colours=colours, legend_right=legend_right, step=step,
    )  # fmt: skip
    panel.stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    return panel.line_width(1).fill_opacity(70)


def stack_of_largest(
    title: str,
    description: str,
    by: str,
    what: str,
    *,
    rest: str,
    rank: str = "",
    most: str = "",
    unit: str = looks.COUNT,
    step: str = SHORTEST_STEP,
) -> timeseries.Panel:
    """Ten lines told apart by name, and the rest as one. The ten are those that have most of
    ``rank``, a query by the same label: by default of what is shown."""
    which = f"with the most {most}" if most else "largest"
    told = f"{description} The {promql.MOST_LINES} {which} have a colour each."
    ranked = rank or what
    exprs = {
        f"{{{{{by}}}}}": promql.largest(by, what, ranked),
        rest: promql.others(by, what, ranked),
    }
    return stack(
        title, told, exprs,
        unit=unit, colours={rest: looks.REST_COLOUR}, legend_right=True, step=step,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One column of numbers: an instant query, by the labels of the table."""

    title: str
    expr: str
    unit: str = looks.COUNT
    steps: looks.Steps = ()
    """Coloured by these."""
    bar: str = ""
    """A bar of this colour, as long as the value is large."""
    mappings: Sequence[model.ValueMapping] = ()
    decimals: int | None = 0
    width: int = 0


def grid(
    title: str,
    description: str,
    labels: Sequence[str],
    columns: Sequence[Column],
    *,
    sort: str,
    lowest_first: str = "",
    widths: Mapping[str, int] | None = None,
) -> table.Panel:
    """A row for each combination of the labels, the largest of the column ``sort`` first; before that, the
    lowest of another one."""
    order = [common.TableSortByFieldState().display_name(sort).desc(True)]  # noqa: FBT003
    if lowest_first:
        order.insert(0, common.TableSortByFieldState().display_name(lowest_first))
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .cell_height(look.TableCellHeight.SM)
        .sort_by([*order])
        .align(look.FieldTextAlignment.AUTO)
        .min_width(NARROWEST)
        .field_min_max(True)  # noqa: FBT003
        .no_value("–")
    )
    for place, column in enumerate(columns):
        ref = chr(ord("A") + place)
        panel.with_target(_row_query(column.expr, ref))
        panel.override_by_name(column.title, _properties(column))
    for label in labels:
        panel.override_by_name(TITLES[label], _link(TITLES[label], (widths or {}).get(label, 0)))
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    return panel.with_transformation(_arrange(labels, columns))


def _row_query(expr: str, ref: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(expr).ref_id(ref).instant().datasource(SOURCE)
    return made.format(PromQueryFormat.TABLE)


def _arrange(labels: Sequence[str], columns: Sequence[Column]) -> model.DataTransformerConfig:
    # As Grafana calls them: the only query of a table has no letter.
    letters = [f"Value #{chr(ord('A') + place)}" for place in range(len(columns))]
    values = letters if len(columns) > 1 else ["Value"]
    names = [*labels, *values]
    renamed = {label: TITLES[label] for label in labels}
    renamed |= {value: column.title for value, column in zip(values, columns, strict=True)}
    return model.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {"Time": True},
            "indexByName": {name: place for place, name in enumerate(names)},
            "renameByName": renamed,
            "includeByName": {},
        },
    )


def _properties(column: Column) -> list[model.DynamicConfigValue]:
    properties: dict[str, object] = {"unit": column.unit, "custom.align": "right"}
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.width:
        properties["custom.width"] = column.width
    if column.bar:
        properties |= {
            "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
            "color": _fixed(column.bar),
            "min": 0,
        }
    if column.steps:
        properties |= {
            "custom.cellOptions": {"type": "color-background", "mode": "basic"},
            "thresholds": looks.thresholds(looks.quiet(column.steps)).build().to_json(),
            "color": {"mode": "thresholds"},
            "mappings": [_absent("–", "transparent").to_json()],
        }
    if column.mappings:
        properties |= {
            "custom.cellOptions": {"type": "color-text"},
            "custom.align": "center",
            "mappings": [mapping.to_json() for mapping in column.mappings],
        }
    return [
        model.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()
    ]


def _link(title: str, width: int) -> list[model.DynamicConfigValue]:
    properties = [model.DynamicConfigValue(id_val="custom.width", value=width)] if width else []
    if title in FIELD_LINKS:
        link = {"title": f"Look into this {title.lower()}", "url": FIELD_LINKS[title]}
        properties.append(model.DynamicConfigValue(id_val="links", value=[link]))
    return properties


def _over_time(title: str, description: str, unit: str, *, legend_right: bool) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True)  # noqa: FBT003
    if legend_right:
        legend.display_mode(look.LegendDisplayMode.TABLE).placement(look.LegendPlacement.RIGHT)
        legend.calcs(["lastNotNull", "max"]).sort_by("Last *").sort_desc(True)  # noqa: FBT003
    else:
        legend.display_mode(look.LegendDisplayMode.LIST).placement(look.LegendPlacement.BOTTOM)
        legend.calcs([])
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .interval(SHORTEST_STEP)
        .unit(unit)
        .min(0)
        .legend(legend)
        .tooltip(
            common.VizTooltipOptions()
            .mode(look.TooltipDisplayMode.MULTI)
            .sort(look.SortOrder.DESCENDING)
        )
        .show_points(look.VisibilityMode.NEVER)
        .axis_border_show(False)  # noqa: FBT003
        .color_scheme(looks.palette())
    )


def _colour(panel: timeseries.Panel, colours: Mapping[str, str]) -> None:
    for name, colour in colours.items():
        properties = [model.DynamicConfigValue(id_val="color", value=_fixed(colour))]
        panel.override_by_name(name, properties)


def _fixed(colour: str) -> dict[str, object]:
    return looks.fixed(colour).build().to_json()


def row(title: str) -> build.Row:
    """A heading."""
    return build.Row(title)
