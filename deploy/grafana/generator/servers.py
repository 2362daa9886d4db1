"""The servers behind the clusters: what they do, and what that makes of the syncs."""

from deploy.grafana.generator import looks, panels
from deploy.grafana.generator.panels import Column, grid, stack
from deploy.grafana.generator.promql import CLUSTER, once


def strategies() -> panels.Panel:
    """How the lists are followed."""
    return stack(
        "Clusters by strategy",
        "How are the clusters' lists followed? delta: reads what changed, about one call a sync. sweep: reads the active jobs. scan: reads"
        " the whole list. If a server does not sort or filter as asked, only the more expensive ones work.",
        {
            "{{strategy}}": "sum by (strategy) ("
            + once(f"ehpc_sync_strategy{{{CLUSTER}}}", "strategy")
            + ")",
        },
        colours=looks.STRATEGY_COLOURS,
    )


def traits() -> panels.Panel:
    """Why a strategy is as it is."""
    return grid(
        "What the servers do",
        "Why does a sync take more than one call? What is known about the servers, and for how many clusters."
        " Choose one cluster to see its own. The exporter's landing page has the evidence.",
        ["trait", "value"],
        [
            Column(
                "Clusters",
                "count by (trait, value) ("
                + once(f"ehpc_server_trait{{{CLUSTER}}}", "trait, value")
                + ")",
                bar="blue",
            )
        ],
        sort="Clusters",
    )


def left_out() -> panels.Panel:
    """What cannot be counted."""
    counted = once(f"ehpc_records_left_out{{{CLUSTER}}}", "reason")
    return stack(
        "Records left out, by what they lack",
        "Are there records in the lists that cannot be counted as jobs, since they have no identity"
        " or no status? The log names one of them.",
        {"{{reason}}": f"sum by (reason) ({counted})"},
    )
