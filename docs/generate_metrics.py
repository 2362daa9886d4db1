"""Writes docs/metrics.md from ``exporter.catalog`` and the queries below.

    python -m docs.generate_metrics > docs/metrics.md

A test holds the page equal to what this writes, and another runs every query against a Prometheus
that scrapes the exporter.
"""

import re
import sys
from dataclasses import dataclass

from exporter import catalog
from exporter.catalog import Metric


@dataclass(frozen=True)
class Section:
    """Metrics that belong together."""

    title: str
    text: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Recipe:
    """A question that people have, and the query that answers it."""

    question: str
    query: str
    remark: str = ""


SECTIONS = (
    Section(
        "Jobs",
        "Withdrawn when the cluster's last counts are older than its `staleness` (5 minutes, or three"
        " of the intervals in use if that is longer): a number that may be wrong is not shown.",
        catalog.JOB_GAUGES,
    ),
    Section(
        "What happened to jobs",
        "Counted in the ledger since it was created. They survive a restart, nothing is lost or counted"
        " twice, and they stay while a cluster cannot be reached. Every known queue has all of them,"
        " including each end status, and they start at 0: the first events of a new queue are therefore"
        " shown one sync later.",
        (
            catalog.JOBS_SUBMITTED, catalog.JOBS_STARTED, catalog.JOBS_ENDED,
            catalog.JOB_WAIT, catalog.JOB_RUN,
        ),
    ),
    Section(
        "What was used",
        "By queue and user, since the ledger was created, and kept like the counters above. If a job is queued"
        " again, each of its runs counts. A job without cores or without a start adds nothing, and a running"
        " job counts when it ends. Sums over months are exact: usage stays with the name under which it was"
        " shown, the user's own or `_other`, so that neither counter jumps when users are folded. A user who"
        " has no job left in the list is not shown; a counter that comes back continues from its old value.",
        (catalog.JOB_CORE_SECONDS, catalog.USER_WAIT),
    ),
    Section(
        "Capacity",
        "What clusters could run. Queues have the same names as in the job metrics, so that you can join them."
        " Values that the cloud does not report, or not to this account, are absent. Values that are older"
        " than three intervals, and at least 5 minutes, are withdrawn.",
        (*catalog.CAPACITY_GAUGES, catalog.CAPACITY_TIMESTAMP),
    ),
    Section(
        "How syncing goes",
        "The counters here, and those of calls, start at 0 with the process.",
        (
            catalog.CLUSTER_INFO, catalog.USER_INFO, catalog.SERVER_TRAIT, catalog.UP, catalog.SNAPSHOT_TIMESTAMP,
            catalog.LAST_SYNC_SUCCESS, catalog.SYNCS, catalog.SYNC_FAILURES, catalog.SYNC_DURATION,
            catalog.SYNC_STRATEGY, catalog.SYNC_CORRECTIONS, catalog.HISTORY_COMPLETE,
            catalog.HISTORY_KNOWN, catalog.HISTORY_EXPECTED, catalog.EFFECTIVE_INTERVAL,
            catalog.LEDGER_ON_DISK, catalog.LABEL_VALUES_FOLDED,
            catalog.LABEL_VALUES_CUT,
            catalog.RECORDS_LEFT_OUT,
        ),
    ),
    Section(
        "Calls",
        "By account, because all clusters of an account share its quota.",
        (
            catalog.API_REQUESTS, catalog.API_FAILURES, catalog.API_DURATION,
            catalog.API_QUOTA_REQUESTS, catalog.API_QUOTA_USED, catalog.BUDGET_ON_DISK,
        ),
    ),
    Section(
        "The exporter",
        "In addition, there are the `process_*` and `python_*` families of prometheus-client.",
        (
            catalog.BUILD_INFO, catalog.RELOAD_SUCCESSFUL, catalog.RELOAD_SUCCESS_TIMESTAMP,
            catalog.GROUPS_SUCCESSFUL,
        ),
    ),
)  # fmt: skip

LABELS = (
    ("cluster_name", "`name` of the cluster in the configuration, or its `cluster_id`"),
    (
        "status",
        (
            "the API's word, trimmed and lower-cased: `pending`, `running`, `finished`, `exited`"
            " (failed), `cancelled`, `stopped`, and any others; beyond 50 of these: `_other`."
            " `ehpc_jobs_cores` only has `pending` and `running`. For nodes and clusters: the API's word for their state"
        ),
    ),
    (
        "queue",
        (
            "`queue_name`, or else the first of `name`, `hpq_name`, `scheduler_queue_name`,"
            " `hpcqueue_id` that is present. Beyond `labels.queue.limit` queues: `_other`"
        ),
    ),
    (
        "user",
        (
            "`run_user`; a pseudonym with `labels.user.mode: hash`; empty with `off`. Beyond"
            " `labels.user.limit` users: `_other`"
        ),
    ),
    (
        "group",
        (
            "the user's group in `labels.user.groups_file`; `_none` for users who are not in it, and"
            " `_other` for users who are folded together"
        ),
    ),
    ("role", "the role of a node: `login`, `controller`, `compute`, or another word from the API"),
    ("account", "`name` of the account in the configuration; `default` if it has none"),
    (
        "reason",
        (
            "why a sync or a call failed, for instance `timeout`, `authentication`, `clock`, `quota`;"
            " [operations.md](operations.md#reasons-of-failures) lists all of them. For records left out:"
            " what they lack, `identity` or `status`"
        ),
    ),
    ("trait", "the trait of the server; see [Traits of a server](#traits-of-a-server)"),
    ("value", "the value of the trait; see there"),
    ("strategy", ", ".join(f"`{name}`" for name in catalog.STRATEGIES)),
    (
        "kind",
        (
            "`deleted`: the job was deleted from the list; `changed`, `missing`: the job had changed, or"
            " was new in the list, and no sync had noticed"
        ),
    ),
    ("label", "`user` or `queue`"),
)

TRAITS = (
    (
        "status_filter",
        (
            "the parameter that filters the list by status: `both` (both are sent),"
            " `jobs_status`, `job_status`; `none`: the list cannot be filtered"
        ),
    ),
    (
        "order",
        (
            "how the list can be sorted: `change` (by the last change, and by submission),"
            " `change_only`, `submission`, `default` (by submission, without asking for it); `none`"
        ),
    ),
    (
        "total_count",
        (
            "what `total_count` counts in a filtered answer: the `filtered` jobs, or all jobs of the"
            " `cluster`; `none`: it is missing or wrong"
        ),
    ),
    ("page_size", "the largest number of jobs in an answer"),
    ("depth", "how many jobs of a list the server shows; `unlimited`"),
    (
        "zone",
        (
            "time zone of times without one: `stamped` (all have one), `utc`, `+08:00` and the like;"
            " `configured` (by `timezone`), `contradicted` (`timezone` is wrong)"
        ),
    ),
    ("lag", "how many seconds an answer can be behind an earlier one"),
    (
        "counters",
        (
            "the counters of jobs in cluster/list: `follow` (they match the list of jobs, so the cluster is"
            " queried when they change); `unknown` (not yet confirmed, or no longer)"
        ),
    ),
)

RECIPES = (
    Recipe(
        "How many jobs wait in each queue?",
        'sum by (cluster_name, queue) (ehpc_jobs{status="pending"})',
    ),
    Recipe(
        "How many cores are pending, and how many are running?",
        "sum by (cluster_name, queue, status) (ehpc_jobs_cores)",
        'Only pending ones: `ehpc_jobs_cores{status="pending"}`.',
    ),
    Recipe(
        "How full is each queue?",
        "1 - ehpc_queue_cores_available / (ehpc_queue_cores > 0)",
        "From 0 to 1, if the cloud reports free cores.",
    ),
    Recipe(
        "And how full by what the running jobs request, which is known wherever the cores of the queue are?",
        'sum by (cluster_name, queue) (ehpc_jobs_cores{status="running"})\n'
        "/ on (cluster_name, queue) (ehpc_queue_cores > 0)",
        "It may be more than 1.",
    ),
    Recipe(
        "How many cores wait where cores are free?",
        'sum by (cluster_name, queue) (ehpc_jobs_cores{status="pending"})\n'
        "and on (cluster_name, queue) ehpc_queue_cores_available > 0",
        "If this lasts, the cause is not the load, but the scheduler, a limit, a reservation, or a job"
        " that needs more than is free.",
    ),
    Recipe(
        "Which nodes work, and which do not?",
        "sum by (cluster_name, role, status) (ehpc_nodes)",
        'Nodes that do not work: `ehpc_nodes{status!="active"}`; by queue: `ehpc_queue_nodes`. Beyond 50 statuses and roles of a cluster: `_other`.',
    ),
    Recipe(
        "Who is waiting? The ten users with the most pending jobs:",
        'topk(10, sum by (cluster_name, user) (ehpc_jobs{status="pending"}) > 0)',
    ),
    Recipe(
        "Who is computing? The ten users with the most running cores:",
        'topk(10, sum by (cluster_name, user) (ehpc_jobs_cores{status="running"}) > 0)',
    ),
    Recipe(
        "How long has the first in line waited, in seconds?",
        "time() - ehpc_oldest_pending_submit_timestamp_seconds",
        "The exporter exports the submit time and not the age, so the answer is right at every"
        " moment, not only at the last sync.",
    ),
    Recipe(
        "How long do jobs wait? 95 % of the jobs that started within the last day waited at most"
        " this many seconds:",
        "histogram_quantile(0.95, sum by (cluster_name, queue, le)"
        " (rate(ehpc_job_wait_seconds_bucket[1d])))",
        "Jobs that are still waiting are not included: also look at the first in line.",
    ),
    Recipe(
        "The mean waiting time:",
        "sum by (cluster_name, queue) (rate(ehpc_job_wait_seconds_sum[1d]))\n"
        "/ (sum by (cluster_name, queue) (rate(ehpc_job_wait_seconds_count[1d])) > 0)",
    ),
    Recipe(
        "How long do jobs run? The median of the jobs that finished:",
        "histogram_quantile(0.5, sum by (cluster_name, queue, le)"
        ' (rate(ehpc_job_run_seconds_bucket{status="finished"}[1d])))',
    ),
    Recipe(
        "How many core hours did each user use in the last 30 days?",
        "sum by (cluster_name, user) (increase(ehpc_job_core_seconds_total[30d])) / 3600",
        "A job counts completely when it ends. The cores that are running now:"
        ' `ehpc_jobs_cores{status="running"}`. For usage hour by hour, sum the recording rule'
        " `cluster_queue_user:ehpc_jobs_cores_running:sum` over time.",
    ),
    Recipe(
        "How long did each user's jobs wait, on average, in the last day?",
        "sum by (cluster_name, user) (rate(ehpc_user_wait_seconds_sum[1d]))\n"
        "/ (sum by (cluster_name, user) (rate(ehpc_user_wait_seconds_count[1d])) > 0)",
    ),
    Recipe(
        "How many core hours did each group use in the last 30 days?",
        "sum by (cluster_name, group) (\n"
        "  sum by (cluster_name, user) (\n"
        "    max by (cluster_name, queue, user) (increase(ehpc_job_core_seconds_total[30d]))\n"
        "  )\n"
        "  * on (cluster_name, user) group_left (group)\n"
        "  topk by (cluster_name, user) (1, max by (cluster_name, user, group) (ehpc_user_info))\n"
        ") / 3600",
        "Needs `labels.user.groups_file`. Any family with the label `user` can be joined like this.",
    ),
    Recipe(
        "What share of the jobs that ended within the last hour failed?",
        'sum by (cluster_name) (increase(ehpc_jobs_ended_total{status="exited"}[1h]))\n'
        '/ (sum by (cluster_name) (increase(ehpc_jobs_ended_total{status=~"finished|exited"}[1h]))'
        " > 0)",
        "From 0 to 1: use Grafana's unit *percent (0.0-1.0)*. Cancelled jobs are not included.",
    ),
    Recipe(
        "How many jobs are submitted, start and end per minute?",
        "60 * sum by (cluster_name, queue) (rate(ehpc_jobs_submitted_total[10m]))",
        "The same with `ehpc_jobs_started_total` and `ehpc_jobs_ended_total`.",
    ),
    Recipe(
        "How many hours would a queue take to start all its pending jobs, at the pace of the last day?",
        'sum by (cluster_name, queue) (ehpc_jobs{status="pending"})\n'
        "/ (3600 * sum by (cluster_name, queue) (rate(ehpc_jobs_started_total[1d])) > 0)",
    ),
    Recipe(
        "All jobs by status, including the history:",
        "sum by (cluster_name, status) (ehpc_jobs)",
        "Ended jobs are included when `ehpc_history_complete` is 1.",
    ),
    Recipe(
        "How old are the counts, in seconds?",
        "time() - ehpc_snapshot_timestamp_seconds",
    ),
    Recipe(
        "Which clusters cannot be read, and why?",
        "sum by (cluster_name, reason) (increase(ehpc_sync_failures_total[15m])) > 0",
        "If there is no result, all is well.",
    ),
    Recipe(
        "How many calls does a sync cost?",
        "sum(rate(ehpc_api_requests_total[1h])) / sum(rate(ehpc_syncs_total[1h]))",
    ),
    Recipe(
        "Which part of its share of the account's quota has the exporter used?",
        "ehpc_api_quota_used / ehpc_api_quota_requests",
    ),
    Recipe(
        "How much of the history has been read?",
        "ehpc_history_jobs_known / ehpc_history_jobs_expected",
    ),
    Recipe(
        "Which clusters' servers do not sort by the last change, so each sync costs more calls?",
        'ehpc_server_trait{trait="order", value!~"change|change_only|unknown"}',
    ),
    Recipe(
        "With the id and the zone of each cluster:",
        'sum by (cluster_name) (ehpc_jobs{status="running"})\n'
        "* on (cluster_name) group_left (cluster_id, zone_id, account) ehpc_cluster_info",
        "This also works with your own labels: `clusters[].labels`.",
    ),
)

INTRODUCTION = """\
# Metrics

<!-- Made by docs/generate_metrics.py. Change exporter/catalog.py or that file, then: make docs -->

The exporter polls the cloud on its own timer, not when it is scraped, because the API allows few calls an
hour. `ehpc_snapshot_timestamp_seconds` is the moment at which the counts were true. Scraping more often does not
cost more calls.

Moments are Unix seconds, durations are seconds, shares are from 0 to 1. Samples have no timestamps.
"""

PASTE = """\
## Queries to paste

A test runs each of them on a Prometheus that scrapes this exporter. To select a cluster or a queue, add labels in
the braces, as in `ehpc_jobs{cluster_name="cfd", status="pending"}`. The rules in `deploy/prometheus/rules/`
record the common queries, and what is usual for each queue.
"""


def page() -> str:
    """The whole page."""
    parts = [
        INTRODUCTION,
        _contents(),
        *map(_section, SECTIONS),
        _labels(),
        _traits(),
        _buckets(),
        PASTE,
    ]
    return "\n".join([*parts, *map(_recipe, RECIPES)]).rstrip("\n") + "\n"


def _contents() -> str:
    titles = [section.title for section in SECTIONS]
    lines = [f"- [{title}](#{title.lower().replace(' ', '-')})" for title in titles]
    lines += ["- [Labels](#labels)", "- [Traits of a server](#traits-of-a-server)"]
    lines += ["- [Buckets](#buckets)"]
    return "\n".join([*lines, "- [Queries to paste](#queries-to-paste)", ""])


def _section(section: Section) -> str:
    lines = [f"## {section.title}", "", section.text, ""]
    lines += ["| metric | type | labels | |", "| --- | --- | --- | --- |"]
    for metric in section.metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        meaning = re.split(" Taken from job/list| Queried from the cloud", metric.help)[0].replace(
            "|", "\\|"
        )
        lines.append(f"| `{metric.name}` | {metric.type} | {labels} | {meaning} |")
    return "\n".join([*lines, ""])


def _labels() -> str:
    lines = ["## Labels", "", "| label | |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in LABELS]
    return "\n".join([*lines, ""])


def _traits() -> str:
    lines = ["## Traits of a server", ""]
    lines += [
        "The values of `ehpc_server_trait`. `unknown` means not seen yet, or being detected again.",
        "",
    ]
    lines += ["| trait | values |", "| --- | --- |"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in TRAITS]
    return "\n".join([*lines, ""])


def _buckets() -> str:
    histograms = [metric for metric in catalog.CATALOG if metric.type == "histogram"]
    lines = ["## Buckets", "", "Upper bounds in seconds; `+Inf` beyond.", ""]
    lines += ["| histogram | `le` |", "| --- | --- |"]
    for metric in histograms:
        bounds = ", ".join(f"{bound:g}" for bound in metric.buckets)
        lines.append(f"| `{metric.name}` | {bounds} |")
    return "\n".join([*lines, ""])


def _recipe(recipe: Recipe) -> str:
    lines = [recipe.question, "", "```promql", recipe.query, "```", ""]
    return "\n".join([*lines, recipe.remark, ""] if recipe.remark else lines)


if __name__ == "__main__":
    sys.stdout.write(page())
