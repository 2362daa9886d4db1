"""Every metric of ours: name, type, labels, help, unit, buckets. Data only.

``docs/metrics.md`` and the golden tests are made of this. The ``process_*`` and ``python_*``
families come from prometheus-client and are described there.
"""

from dataclasses import dataclass
from typing import Literal

MetricType = Literal["gauge", "counter", "histogram", "summary"]

STRATEGIES = ("delta", "sweep", "scan")
"""Values of the label ``strategy``, cheapest first."""

JOB_BUCKETS_SECONDS: tuple[float, ...] = (
    30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800,
)  # fmt: skip
"""Upper bounds for waiting and running times of jobs: 30 s to 7 d."""

SYNC_BUCKETS_SECONDS: tuple[float, ...] = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
"""Upper bounds for one sync: from one quick call to a long walk through a history."""

CALL_BUCKETS_SECONDS: tuple[float, ...] = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds for one call: from a cloud next door to several timeouts."""

_POLLED = (
    "Taken from job/list of the cloud API by a poll on the exporter's own timer, not at scrape"
    " time, because the API allows few calls an hour;"
    " ehpc_snapshot_timestamp_seconds is the moment at which it was true."
)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family as it is exposed."""

    name: str
    """In full, with ``_total`` where it is a counter."""
    type: MetricType
    labels: tuple[str, ...]
    """In the order of the contract; exposed sorted by name."""
    help: str
    unit: str = ""
    """Base unit; the name ends in it (before ``_total``), as OpenMetrics asks."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without +Inf."""


# Jobs. Withdrawn when the last good sync is older than the cluster's ``staleness``.
JOBS = Metric(
    "ehpc_jobs", "gauge", ("cluster_name", "status", "queue", "user"),
    "Jobs in the cluster's list by status, queue and user. Jobs in other statuses than pending and"
    f" running appear once the history is complete. {_POLLED}",
)  # fmt: skip
JOBS_CORES = Metric(
    "ehpc_jobs_cores", "gauge", ("cluster_name", "status", "queue", "user"),
    f"CPU cores requested (core_limit) by pending and by running jobs. {_POLLED}",
)  # fmt: skip
OLDEST_PENDING = Metric(
    "ehpc_oldest_pending_submit_timestamp_seconds", "gauge", ("cluster_name", "queue"),
    "Submit time (submitted_time), in Unix seconds, of the pending job that has waited longest;"
    f" absent if no job is pending. {_POLLED}", unit="seconds",
)  # fmt: skip

# Transitions, counted in the ledger; they survive a restart and are not withdrawn.
JOB_WAIT = Metric(
    "ehpc_job_wait_seconds", "histogram", ("cluster_name", "queue"),
    "Seconds from submit to start (started_time minus submitted_time) of the jobs that were seen to"
    " start since the ledger was created. Kept through restarts.",
    unit="seconds", buckets=JOB_BUCKETS_SECONDS,
)  # fmt: skip
JOB_RUN = Metric(
    "ehpc_job_run_seconds", "histogram", ("cluster_name", "queue", "status"),
    "Seconds from start to end (the last change of status, modified_time, minus started_time) of the"
    " jobs that were seen to end since the ledger was created. Kept through restarts.",
    unit="seconds", buckets=JOB_BUCKETS_SECONDS,
)  # fmt: skip
JOBS_SUBMITTED = Metric(
    "ehpc_jobs_submitted_total", "counter", ("cluster_name", "queue"),
    "Jobs that appeared in the list since the ledger was created, by polls of job/list. Kept"
    " through restarts.",
)  # fmt: skip
JOBS_STARTED = Metric(
    "ehpc_jobs_started_total", "counter", ("cluster_name", "queue"),
    "Jobs seen to start since the ledger was created, by polls of job/list. Kept through restarts.",
)  # fmt: skip
JOBS_ENDED = Metric(
    "ehpc_jobs_ended_total", "counter", ("cluster_name", "queue", "status"),
    "Jobs seen to reach an end status (finished, exited, cancelled) since the ledger was created,"
    " by polls of job/list. Kept through restarts.",
)  # fmt: skip
JOB_CORE_SECONDS = Metric(
    "ehpc_job_core_seconds_total", "counter", ("cluster_name", "queue", "user"),
    "Cores requested (core_limit) times seconds run (modified_time minus started_time), summed over the"
    " runs of jobs that were seen to end since the ledger was created. Kept through restarts.",
    unit="seconds",
)  # fmt: skip
USER_WAIT = Metric(
    "ehpc_user_wait_seconds", "summary", ("cluster_name", "queue", "user"),
    "Seconds from submit to start, and number, of a user's jobs that were seen to start since the ledger"
    " was created. Kept through restarts.",
    unit="seconds",
)  # fmt: skip

# Capacity. Withdrawn when it is too old.
_ASKED = (
    "Queried from the cloud API every collection.capacity_interval, with calls that nothing else needs;"
    " ehpc_capacity_timestamp_seconds is the moment at which it was true."
)
QUEUE_CORES = Metric(
    "ehpc_queue_cores", "gauge", ("cluster_name", "queue"),
    f"CPU cores of a queue, busy or not; from the configuration if the cloud does not report them. {_ASKED}",
)  # fmt: skip
QUEUE_CORES_AVAILABLE = Metric(
    "ehpc_queue_cores_available", "gauge", ("cluster_name", "queue"),
    f"Free CPU cores of a queue. {_ASKED}",
)  # fmt: skip
QUEUE_GPUS = Metric(
    "ehpc_queue_gpus", "gauge", ("cluster_name", "queue"),
    f"GPUs of a queue, busy or not; from the configuration if the cloud does not report them. {_ASKED}",
)  # fmt: skip
QUEUE_GPUS_AVAILABLE = Metric(
    "ehpc_queue_gpus_available", "gauge", ("cluster_name", "queue"),
    f"Free GPUs of a queue. {_ASKED}",
)  # fmt: skip
QUEUE_MEMORY = Metric(
    "ehpc_queue_memory_bytes", "gauge", ("cluster_name", "queue"),
    f"Memory of a queue, in use or not; the cloud reports GB, taken as 2^30 bytes. {_ASKED}", unit="bytes",
)  # fmt: skip
QUEUE_MEMORY_AVAILABLE = Metric(
    "ehpc_queue_memory_available_bytes", "gauge", ("cluster_name", "queue"),
    f"Free memory of a queue. {_ASKED}", unit="bytes",
)  # fmt: skip
QUEUE_NODES = Metric(
    "ehpc_queue_nodes", "gauge", ("cluster_name", "queue", "status"),
    f"Nodes of a queue by status; active is always present, even with 0. {_ASKED}",
)  # fmt: skip
NODES = Metric(
    "ehpc_nodes", "gauge", ("cluster_name", "role", "status"),
    "Nodes of the cluster by role and status; for an HPC cluster, the cloud only shows login nodes."
    f" {_ASKED}",
)  # fmt: skip
CLUSTER_STATUS = Metric(
    "ehpc_cluster_status", "gauge", ("cluster_name", "status"),
    f"1 for the cluster's own status (active, stopped, suspended, ...), by cluster/list. {_ASKED}",
)  # fmt: skip
CLUSTER_CORE_HOURS = Metric(
    "ehpc_cluster_core_hours", "gauge", ("cluster_name",),
    f"Core hours that the cluster has used so far, by cluster/list. {_ASKED}",
)  # fmt: skip
CLUSTER_LISTED_JOBS = Metric(
    "ehpc_cluster_listed_jobs", "gauge", ("cluster_name", "status"),
    "Jobs by the counters of cluster/list: the cloud's own numbers, which may lag and may count"
    f" differently from ehpc_jobs. {_ASKED}",
)  # fmt: skip
CAPACITY_TIMESTAMP = Metric(
    "ehpc_capacity_timestamp_seconds", "gauge", ("cluster_name",),
    "Unix seconds at which the shown capacity of the cluster was true; the time of its oldest part.", unit="seconds",
)  # fmt: skip

# How syncing goes.
CLUSTER_INFO = Metric(
    "ehpc_cluster_info", "gauge", ("cluster_name", "cluster_id", "zone_id", "account"),
    "Constant 1 for each configured cluster; the labels identify the remote cluster, and include"
    " clusters[].labels.",
)  # fmt: skip
USER_INFO = Metric(
    "ehpc_user_info", "gauge", ("cluster_name", "user", "group"),
    "Constant 1 for each user that is shown; the label group is from labels.user.groups_file, or _none"
    " for users who are not in it.",
)  # fmt: skip
SERVER_TRAIT = Metric(
    "ehpc_server_trait", "gauge", ("cluster_name", "trait", "value"),
    "Constant 1 for each trait of the cluster's server; the label value is the detected behaviour, or"
    " unknown. The evidence is on the exporter's landing page.",
)  # fmt: skip
UP = Metric(
    "ehpc_up", "gauge", ("cluster_name",),
    "1 if the last sync with the cloud API succeeded, 0 if it failed or none has ended yet.",
)  # fmt: skip
SNAPSHOT_TIMESTAMP = Metric(
    "ehpc_snapshot_timestamp_seconds", "gauge", ("cluster_name",),
    "Unix seconds at which the published job counts were true. The exporter polls the cloud API on"
    " its own timer, not at scrape time, because the API allows few calls an hour.",
    unit="seconds",
)  # fmt: skip
LAST_SYNC_SUCCESS = Metric(
    "ehpc_last_sync_success_timestamp_seconds", "gauge", ("cluster_name",),
    "Unix seconds at which the last successful sync ended.", unit="seconds",
)  # fmt: skip
SYNCS = Metric(
    "ehpc_syncs_total", "counter", ("cluster_name",),
    "Syncs that ended, successful or failed, since the exporter started.",
)  # fmt: skip
SYNC_FAILURES = Metric(
    "ehpc_sync_failures_total", "counter", ("cluster_name", "reason"),
    "Syncs that failed, by reason, since the exporter started.",
)  # fmt: skip
SYNC_DURATION = Metric(
    "ehpc_sync_duration_seconds", "histogram", ("cluster_name",),
    "Duration of a sync, successful or failed, including its calls and the pauses between retries.",
    unit="seconds", buckets=SYNC_BUCKETS_SECONDS,
)  # fmt: skip
SYNC_STRATEGY = Metric(
    "ehpc_sync_strategy", "gauge", ("cluster_name", "strategy"),
    "1 for the strategy in use, 0 for the others: delta reads what changed, sweep reads the active"
    " jobs, scan reads the whole list. All 0 until a sync has succeeded.",
)  # fmt: skip
SYNC_CORRECTIONS = Metric(
    "ehpc_sync_corrections_total", "counter", ("cluster_name", "kind"),
    "Jobs in the ledger that an audit corrected, since the exporter started.",
)  # fmt: skip
HISTORY_COMPLETE = Metric(
    "ehpc_history_complete", "gauge", ("cluster_name",),
    "1 if the ledger holds all ended jobs that are to be counted, 0 while the history is being read.",
)  # fmt: skip
HISTORY_KNOWN = Metric(
    "ehpc_history_jobs_known", "gauge", ("cluster_name",),
    "Jobs in the ledger, out of ehpc_history_jobs_expected.",
)  # fmt: skip
HISTORY_EXPECTED = Metric(
    "ehpc_history_jobs_expected", "gauge", ("cluster_name",),
    "Jobs that the ledger will hold when the history is complete, by total_count of job/list, or by where it ends;"
    " absent while this is unknown.",
)  # fmt: skip
EFFECTIVE_INTERVAL = Metric(
    "ehpc_effective_interval_seconds", "gauge", ("cluster_name",),
    "Seconds between the starts of two syncs: the configured interval, stretched if the account's"
    " quota requires it.", unit="seconds",
)  # fmt: skip
LEDGER_ON_DISK = Metric(
    "ehpc_ledger_on_disk", "gauge", ("cluster_name",),
    "1 if the cluster's ledger is in state.path, 0 while it is kept in memory because the disk is"
    ' full or not writable; absent where state.path is ":memory:".',
)  # fmt: skip
LABEL_VALUES_FOLDED = Metric(
    "ehpc_label_values_folded", "gauge", ("cluster_name", "label"),
    'Label values (users, queues) beyond the configured limit, shown together as "_other".',
)  # fmt: skip
LABEL_VALUES_CUT = Metric(
    "ehpc_label_values_cut_total", "counter", ("cluster_name",),
    "Names of users, queues and statuses in answers of the cloud that were cut because they were"
    " longer than 200 characters. Counted each time they are read, since the exporter started.",
)  # fmt: skip
RECORDS_LEFT_OUT = Metric(
    "ehpc_records_left_out", "gauge", ("cluster_name", "reason"),
    "Records of the cluster's list that cannot be counted as jobs, by what they lack: identity or"
    f" status. {_POLLED}",
)  # fmt: skip

# The account's calls.
API_REQUESTS = Metric(
    "ehpc_api_requests_total", "counter", ("account",),
    "Calls sent to the cloud API, retries included, since the exporter started.",
)  # fmt: skip
API_FAILURES = Metric(
    "ehpc_api_failures_total", "counter", ("account", "reason"),
    "Calls to the cloud API that gave no usable page, by reason, since the exporter started.",
)  # fmt: skip
API_DURATION = Metric(
    "ehpc_api_request_duration_seconds", "histogram", ("account",),
    "Seconds from sending a call to the end of its answer or its failure.",
    unit="seconds", buckets=CALL_BUCKETS_SECONDS,
)  # fmt: skip
API_QUOTA_REQUESTS = Metric(
    "ehpc_api_quota_requests", "gauge", ("account",),
    "Calls that this exporter may make in the account's sliding quota window.",
)  # fmt: skip
API_QUOTA_USED = Metric(
    "ehpc_api_quota_used", "gauge", ("account",),
    "Calls that this exporter has made in the account's sliding quota window.",
)  # fmt: skip
BUDGET_ON_DISK = Metric(
    "ehpc_budget_on_disk", "gauge", ("account",),
    "1 if the account's calls are recorded in state.path, 0 while they are only counted in memory"
    ' because the disk is full or not writable; absent where state.path is ":memory:".',
)  # fmt: skip

# The exporter itself.
BUILD_INFO = Metric(
    "ehpc_exporter_build_info", "gauge", ("version", "revision", "pythonversion"),
    "Constant 1; the labels are the exporter's version and revision, and the version of Python.",
)  # fmt: skip
RELOAD_SUCCESSFUL = Metric(
    "ehpc_exporter_config_last_reload_successful", "gauge", (),
    "Whether the last attempt to load the configuration succeeded.",
)  # fmt: skip
RELOAD_SUCCESS_TIMESTAMP = Metric(
    "ehpc_exporter_config_last_reload_success_timestamp_seconds", "gauge", (),
    "Unix seconds at which the configuration was last loaded successfully.", unit="seconds",
)  # fmt: skip
GROUPS_SUCCESSFUL = Metric(
    "ehpc_exporter_groups_last_reload_successful", "gauge", (),
    "Whether the last attempt to read labels.user.groups_file succeeded; absent where there is none.",
)  # fmt: skip

JOB_GAUGES: tuple[Metric, ...] = (JOBS, JOBS_CORES, OLDEST_PENDING)
"""Withdrawn when the counts of jobs are too old."""

CAPACITY_GAUGES: tuple[Metric, ...] = (
    QUEUE_CORES, QUEUE_CORES_AVAILABLE, QUEUE_GPUS, QUEUE_GPUS_AVAILABLE, QUEUE_MEMORY,
    QUEUE_MEMORY_AVAILABLE, QUEUE_NODES, NODES, CLUSTER_STATUS, CLUSTER_CORE_HOURS,
    CLUSTER_LISTED_JOBS,
)  # fmt: skip
"""Withdrawn when the capacity is too old."""

TELEMETRY: tuple[Metric, ...] = (
    SYNCS, SYNC_FAILURES, SYNC_DURATION, SYNC_CORRECTIONS, LABEL_VALUES_CUT, API_REQUESTS, API_FAILURES, API_DURATION,
)  # fmt: skip
"""Families that ``exporter.telemetry`` keeps; ``exporter.collector`` makes all others."""

CATALOG: tuple[Metric, ...] = (
    *JOB_GAUGES,
    JOB_WAIT, JOB_RUN, JOBS_SUBMITTED, JOBS_STARTED, JOBS_ENDED, JOB_CORE_SECONDS, USER_WAIT,
    *CAPACITY_GAUGES, CAPACITY_TIMESTAMP,
    CLUSTER_INFO, USER_INFO, SERVER_TRAIT, UP, SNAPSHOT_TIMESTAMP, LAST_SYNC_SUCCESS, SYNCS, SYNC_FAILURES,
    SYNC_DURATION, SYNC_STRATEGY, SYNC_CORRECTIONS, HISTORY_COMPLETE, HISTORY_KNOWN,
    HISTORY_EXPECTED, EFFECTIVE_INTERVAL, LEDGER_ON_DISK, LABEL_VALUES_FOLDED, LABEL_VALUES_CUT,
    RECORDS_LEFT_OUT,
    API_REQUESTS, API_FAILURES, API_DURATION, API_QUOTA_REQUESTS, API_QUOTA_USED, BUDGET_ON_DISK,
    BUILD_INFO, RELOAD_SUCCESSFUL, RELOAD_SUCCESS_TIMESTAMP, GROUPS_SUCCESSFUL,
)  # fmt: skip
"""All of them, in the order of the documentation."""
