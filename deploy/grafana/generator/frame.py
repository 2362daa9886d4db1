"""What every dashboard has: variables, links, time."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.generator import panels

TAG = "ehpc"

ACCOUNTS = "label_values(ehpc_cluster_info, account)"
ZONES = 'label_values(ehpc_cluster_info{account=~"$account"}, zone_id)'
LABELS = "label_names(ehpc_cluster_info)"
LABEL_VALUES = "label_values(ehpc_cluster_info, $label)"
CLUSTERS = (
    'label_values(ehpc_cluster_info{account=~"$account", zone_id=~"$zone", $label=~"$value"},'
    " cluster_name)"
)
"""The one variable that the panels ask by: it has the clusters that the others leave."""
QUEUES = 'label_values(ehpc_jobs{cluster_name=~"$cluster"}, queue)'
USERS = 'label_values(ehpc_jobs{cluster_name=~"$cluster", queue=~"$queue"}, user)'
JOBS = "label_values(ehpc_exporter_build_info, job)"
INSTANCES = 'label_values(ehpc_exporter_build_info{job=~"$job"}, instance)'
EVERY_CLUSTER_HAS = "cluster_id"
"""The label by which clusters are chosen until somebody names one of their own."""


def board(uid: str, title: str, description: str) -> build.Dashboard:
    """An empty dashboard with its links to the others and the choice of a data source."""
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    links = (
        build.DashboardLink("E-HPC")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)  # noqa: FBT003
        .include_vars(True)  # noqa: FBT003
        .keep_time(True)  # noqa: FBT003
    )
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time("now-24h", "now")
        .refresh("1m")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(links)
        .with_variable(source)
    )


def choice(name: str, label: str, values: str, everything: str = ".*") -> build.QueryVariable:
    """A variable of which one, several or all values can be chosen; all at first, which is ``everything``,
    or the values one by one if that is empty."""
    made = (
        build.QueryVariable(name)
        .label(label)
        .datasource(panels.SOURCE)
        .query({"query": values, "refId": "StandardVariableQuery"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
        .multi(True)  # noqa: FBT003
        .include_all(True)  # noqa: FBT003
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    return made.all_value(everything) if everything else made


def clusters(made: build.Dashboard) -> build.Dashboard:
    """The choice of clusters: by account, zone, a label of their own, and name."""
    made.with_variable(choice("account", "Account", ACCOUNTS))
    made.with_variable(choice("zone", "Zone", ZONES))
    made.with_variable(
        build.QueryVariable("label")
        .label("By label")
        .datasource(panels.SOURCE)
        .query({"query": LABELS, "refId": "StandardVariableQuery"})
        .regex("/^(?!__name__$|account$|zone_id$|cluster_name$|instance$|job$).*/")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
        .current(
            model.VariableOption(selected=True, text=EVERY_CLUSTER_HAS, value=EVERY_CLUSTER_HAS)
        )
    )
    made.with_variable(choice("value", "Value", LABEL_VALUES))
    # Without a value for all: all is then the list of those that are left, and no other's.
    return made.with_variable(choice("cluster", "Cluster", CLUSTERS, everything=""))


def place(
    made: build.Dashboard,
    height: int,
    across: Sequence[panels.Panel],
    widths: Sequence[int] = (),
) -> None:
    """Panels side by side, in 24 columns; of equal width unless told."""
    for panel, width in zip(across, widths or [24 // len(across)] * len(across), strict=True):
        made.with_panel(panel.height(height).span(width))
