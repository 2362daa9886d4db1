"""What every dashboard has: variables, links, time."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.generator import panels

TAG = "ehpc"

CLUSTERS = "label_values(ehpc_cluster_info, cluster_name)"
QUEUES = 'label_values(ehpc_jobs{cluster_name=~"$cluster"}, queue)'
USERS = 'label_values(ehpc_jobs{cluster_name=~"$cluster", queue=~"$queue"}, user)'
JOBS = "label_values(ehpc_exporter_build_info, job)"
INSTANCES = 'label_values(ehpc_exporter_build_info{job=~"$job"}, instance)'
ACCOUNTS = "label_values(ehpc_api_quota_requests, account)"


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


def choice(name: str, label: str, values: str) -> build.QueryVariable:
    """A variable of which one, several or all values can be chosen; all at first."""
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(panels.SOURCE)
        .query({"query": values, "refId": "StandardVariableQuery"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.NATURAL_ASC)
        .multi(True)  # noqa: FBT003
        .include_all(True)  # noqa: FBT003
        .all_value(".*")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def place(
    made: build.Dashboard,
    height: int,
    across: Sequence[panels.Panel],
    widths: Sequence[int] = (),
) -> None:
    """Panels side by side, in 24 columns; of equal width unless told."""
    for panel, width in zip(across, widths or [24 // len(across)] * len(across), strict=True):
        made.with_panel(panel.height(height).span(width))
