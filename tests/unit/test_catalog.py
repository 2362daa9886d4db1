"""The catalog is the contract's table, and as Prometheus wants metrics to be."""

import subprocess
from collections.abc import Callable

import pytest

from exporter import catalog, snapshot
from tests.waiting import PATIENCE_SECONDS

CONTRACT = {
    "ehpc_jobs": ("gauge", {"status", "queue", "user"}),
    "ehpc_jobs_cores": ("gauge", {"status", "queue", "user"}),
    "ehpc_oldest_pending_submit_timestamp_seconds": ("gauge", {"queue"}),
    "ehpc_job_wait_seconds": ("histogram", {"queue"}),
    "ehpc_job_run_seconds": ("histogram", {"queue", "status"}),
    "ehpc_jobs_submitted_total": ("counter", {"queue"}),
    "ehpc_jobs_started_total": ("counter", {"queue"}),
    "ehpc_jobs_ended_total": ("counter", {"queue", "status"}),
    "ehpc_job_core_seconds_total": ("counter", {"queue", "user"}),
    "ehpc_user_wait_seconds": ("summary", {"queue", "user"}),
    "ehpc_queue_cores": ("gauge", {"queue"}),
    "ehpc_queue_cores_available": ("gauge", {"queue"}),
    "ehpc_queue_gpus": ("gauge", {"queue"}),
    "ehpc_queue_gpus_available": ("gauge", {"queue"}),
    "ehpc_queue_memory_bytes": ("gauge", {"queue"}),
    "ehpc_queue_memory_available_bytes": ("gauge", {"queue"}),
    "ehpc_queue_nodes": ("gauge", {"queue", "status"}),
    "ehpc_nodes": ("gauge", {"role", "status"}),
    "ehpc_cluster_status": ("gauge", {"status"}),
    "ehpc_cluster_core_hours": ("gauge", set()),
    "ehpc_cluster_listed_jobs": ("gauge", {"status"}),
    "ehpc_capacity_timestamp_seconds": ("gauge", set()),
    "ehpc_cluster_info": ("gauge", {"cluster_id", "zone_id", "account"}),
    "ehpc_user_info": ("gauge", {"user", "group"}),
    "ehpc_server_trait": ("gauge", {"trait", "value"}),
    "ehpc_up": ("gauge", set()),
    "ehpc_snapshot_timestamp_seconds": ("gauge", set()),
    "ehpc_last_sync_success_timestamp_seconds": ("gauge", set()),
    "ehpc_syncs_total": ("counter", set()),
    "ehpc_sync_failures_total": ("counter", {"reason"}),
    "ehpc_sync_duration_seconds": ("histogram", set()),
    "ehpc_sync_strategy": ("gauge", {"strategy"}),
    "ehpc_sync_corrections_total": ("counter", {"kind"}),
    "ehpc_history_complete": ("gauge", set()),
    "ehpc_history_jobs_known": ("gauge", set()),
    "ehpc_history_jobs_expected": ("gauge", set()),
    "ehpc_effective_interval_seconds": ("gauge", set()),
    "ehpc_ledger_on_disk": ("gauge", set()),
    "ehpc_label_values_folded": ("gauge", {"label"}),
    "ehpc_label_values_cut_total": ("counter", set()),
    "ehpc_records_left_out": ("gauge", {"reason"}),
    "ehpc_api_requests_total": ("counter", {"account"}),
    "ehpc_api_failures_total": ("counter", {"account", "reason"}),
    "ehpc_api_request_duration_seconds": ("histogram", {"account"}),
    "ehpc_api_quota_requests": ("gauge", {"account"}),
    "ehpc_api_quota_used": ("gauge", {"account"}),
    "ehpc_budget_on_disk": ("gauge", {"account"}),
    "ehpc_exporter_build_info": ("gauge", {"version", "revision", "pythonversion"}),
    "ehpc_exporter_config_last_reload_successful": ("gauge", set()),
    "ehpc_exporter_config_last_reload_success_timestamp_seconds": ("gauge", set()),
    "ehpc_exporter_groups_last_reload_successful": ("gauge", set()),
}


def test_names_types_and_labels_are_the_contract() -> None:
    ours = {m.name: (m.type, set(m.labels) - {"cluster_name"}) for m in catalog.CATALOG}
    assert ours == CONTRACT
    assert len(catalog.CATALOG) == len(CONTRACT)


@pytest.mark.parametrize("metric", catalog.CATALOG, ids=lambda m: m.name)
def test_every_metric_is_whole(metric: catalog.Metric) -> None:
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.type == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert bool(metric.unit) == metric.name.removesuffix("_total").endswith(("_seconds", "_bytes"))
    owner = metric.labels[0] if metric.labels else None
    is_own = metric.name.startswith("ehpc_exporter_")
    assert is_own or owner in {"cluster_name", "account"}


def test_buckets_of_jobs_are_those_of_the_snapshot() -> None:
    assert catalog.JOB_BUCKETS_SECONDS == snapshot.WAIT_BUCKETS_SECONDS
    assert catalog.JOB_BUCKETS_SECONDS[0] == 30
    assert catalog.JOB_BUCKETS_SECONDS[-1] == 7 * 86400


def test_polled_gauges_say_that_they_are_polled() -> None:
    for metric in catalog.JOB_GAUGES:
        assert "own timer" in metric.help, metric.name


def test_promtool_has_nothing_to_say(require_tool: Callable[[str], str]) -> None:
    lines = []
    for metric in catalog.CATALOG:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.type}"]
        labels = ",".join(f'{label}="x"' for label in metric.labels)
        braces = f"{{{labels}}}" if labels else ""
        if metric.type == "histogram":
            with_le = f'{{{labels},le="+Inf"}}'
            lines += [f"{metric.name}_bucket{with_le} 1"]
            lines += [f"{metric.name}_sum{braces} 1", f"{metric.name}_count{braces} 1"]
        elif metric.type == "summary":
            lines += [f"{metric.name}_sum{braces} 1", f"{metric.name}_count{braces} 1"]
        else:
            lines += [f"{metric.name}{braces} 1"]
    result = subprocess.run(
        [require_tool("promtool"), "check", "metrics"],
        input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    # Core hours are what the cloud counts and bills in.
    said = 'ehpc_cluster_core_hours use base unit "seconds" instead of "hours"\n'
    assert (result.stdout, result.stderr, result.returncode) == ("", said, 3)
