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
        (catalog.JOBS, catalog.JOBS_CORES, catalog.OLDEST_PENDING),
    ),
    Section(
        "What happened to jobs",
        "Counted in the ledger since it began. They survive a restart, are neither lost nor counted"
        " twice, and stay while a cluster cannot be reached. Every queue that is known has all of them,"
        " each end status included, and has shown them at 0 before they count: events of a queue that"
        " was not known before are shown one sync later.",
        (
            catalog.JOBS_SUBMITTED, catalog.JOBS_STARTED, catalog.JOBS_ENDED,
            catalog.JOB_WAIT, catalog.JOB_RUN,
        ),
    ),
    Section(
        "What was used",
        "By queue and user, of what happened since the ledger began, kept like the counters above. The runs of"
        " a job that is queued again count each; a job without cores or without a start adds nothing; what"
        " runs now is not in it until it ends. Sums over months are exact: what somebody used under"
        " a name of their own stays there, and what was used while folded stays with `_other`, so that"
        " neither jumps when names change. A user who has no job left in the list is not shown; a counter"
        " that comes back goes on from where it was.",
        (catalog.JOB_CORE_SECONDS, catalog.USER_WAIT),
    ),
    Section(
        "Capacity",
        "What clusters could run, beside what they are asked to. Queues are called as their jobs call them, so"
        " that the two join. What the cloud does not tell, or not to this account, is absent; withdrawn is"
        " what has not been told for three intervals, and 5 minutes at least.",
        (
            catalog.QUEUE_CORES, catalog.QUEUE_CORES_AVAILABLE, catalog.QUEUE_GPUS,
            catalog.QUEUE_GPUS_AVAILABLE, catalog.QUEUE_MEMORY, catalog.QUEUE_MEMORY_AVAILABLE,
            catalog.QUEUE_NODES, catalog.NODES, catalog.CLUSTER_STATUS, catalog.CLUSTER_CORE_HOURS,
            catalog.CLUSTER_LISTED_JOBS, catalog.CAPACITY_TIMESTAMP,
        ),
    ),
    Section(
        "How syncing goes",
        "Counters here and of calls begin at 0 with the process.",
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
        "By account: its quota is what its clusters share.",
        (
            catalog.API_REQUESTS, catalog.API_FAILURES, catalog.API_DURATION,
            catalog.API_QUOTA_REQUESTS, catalog.API_QUOTA_USED, catalog.BUDGET_ON_DISK,
        ),
    ),
    Section(
        "The exporter",
        "Beside these there are the `process_*` and `python_*` families of prometheus-client.",
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
            " (failed), `cancelled`, `stopped`, and whatever else it says. `ehpc_jobs_cores` has"
            " `pending` and `running` only. Of nodes and clusters: the API's word for their state"
        ),
    ),
    (
        "queue",
        (
            "`queue_name`, else the first of `name`, `hpq_name`, `scheduler_queue_name`,"
            " `hpcqueue_id` that is there. Beyond `labels.queue.limit` queues: `_other`"
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
            "where `labels.user.groups_file` puts the user; `_none`: nowhere; `_other`: that of the"
            " users who are folded together"
        ),
    ),
    ("role", "what a node is for: `login`, `controller`, `compute`, or the API's other word"),
    ("account", "`name` of the account in the configuration; `default` if it has none"),
    (
        "reason",
        (
            "why a sync or a call failed, for instance `timeout`, `authentication`, `clock`, `quota`;"
            " [operations.md](operations.md#reasons-of-failures) has all of them. Of records left out:"
            " what they lack, `identity` or `status`"
        ),
    ),
    ("trait", "what of a server is meant; see [Traits of a server](#traits-of-a-server)"),
    ("value", "what the server does, as there"),
    ("strategy", ", ".join(f"`{name}`" for name in catalog.STRATEGIES)),
    (
        "kind",
        (
            "`deleted`: it had left the list, as happens when people tidy up; `changed`, `missing`:"
            " the list had it otherwise, or at all, and no refresh had brought it"
        ),
    ),
    ("label", "`user` or `queue`"),
)

TRAITS = (
    (
        "status_filter",
        (
            "under which name the list can be filtered by status: `both` (both are sent),"
            " `jobs_status`, `job_status`; `none`: it cannot"
        ),
    ),
    (
        "order",
        (
            "by what the list can be sorted: `change` (by the last change, and by submission),"
            " `change_only`, `submission`, `default` (by submission, unasked); `none`"
        ),
    ),
    (
        "total_count",
        (
            "what that counts in a filtered answer: `filtered` jobs, or all of the `cluster`; `none`:"
            " it is not told, or not to be believed"
        ),
    ),
    ("page_size", "the most jobs that an answer holds"),
    ("depth", "how many jobs of a list are shown at all; `unlimited`"),
    (
        "zone",
        (
            "of times that carry none: `stamped` (all carry one), `utc`, `+08:00` and the like;"
            " `configured` (`timezone` says it), `contradicted` (what `timezone` says cannot be)"
        ),
    ),
    ("lag", "how many seconds an answer may be behind an earlier one"),
    (
        "counters",
        (
            "of jobs, in cluster/list: `follow` the list of jobs, so that the cluster is asked when they"
            " move; `unknown`: not proven yet, or not any more"
        ),
    ),
)

RECIPES = (
    Recipe(
        "How many jobs wait in each queue?",
        'sum by (cluster_name, queue) (ehpc_jobs{status="pending"})',
    ),
    Recipe(
        "How many cores wait, and how many compute?",
        "sum by (cluster_name, queue, status) (ehpc_jobs_cores)",
        'Only waiting ones: `ehpc_jobs_cores{status="pending"}`.',
    ),
    Recipe(
        "How full is each queue?",
        "1 - ehpc_queue_cores_available / (ehpc_queue_cores > 0)",
        "From 0 to 1, where the cloud tells what is free. By what the jobs asked for, always:"
        ' `sum by (cluster_name, queue) (ehpc_jobs_cores{status="running"}) / ehpc_queue_cores`.',
    ),
    Recipe(
        "How many cores wait where cores are free?",
        'sum by (cluster_name, queue) (ehpc_jobs_cores{status="pending"})\n'
        "and on (cluster_name, queue) ehpc_queue_cores_available > 0",
        "If it goes on, not the load is the matter but the scheduler, a limit, a reservation, or a job"
        " that is wider than what is free.",
    ),
    Recipe(
        "Which nodes work, and which do not?",
        "sum by (cluster_name, role, status) (ehpc_nodes)",
        'Those that do not: `ehpc_nodes{status!="active"}`; by queue: `ehpc_queue_nodes`.',
    ),
    Recipe(
        "Who waits? The ten users with the most waiting jobs:",
        'topk(10, sum by (cluster_name, user) (ehpc_jobs{status="pending"}) > 0)',
    ),
    Recipe(
        "Who computes? The ten users with the most cores:",
        'topk(10, sum by (cluster_name, user) (ehpc_jobs_cores{status="running"}) > 0)',
    ),
    Recipe(
        "How long has the first in line waited, in seconds?",
        "time() - ehpc_oldest_pending_submit_timestamp_seconds",
        "A moment that does not change is exported rather than an age, so that the answer is right"
        " at every moment and not only when the exporter last looked.",
    ),
    Recipe(
        "How long do jobs wait? 95 % of those that started within the last day waited at most"
        " so many seconds:",
        "histogram_quantile(0.95, sum by (cluster_name, queue, le)"
        " (rate(ehpc_job_wait_seconds_bucket[1d])))",
        "Jobs that still wait are not in it: see the first in line, too.",
    ),
    Recipe(
        "The mean of it:",
        "sum by (cluster_name, queue) (rate(ehpc_job_wait_seconds_sum[1d]))\n"
        "/ (sum by (cluster_name, queue) (rate(ehpc_job_wait_seconds_count[1d])) > 0)",
    ),
    Recipe(
        "How long do jobs run? The median, of those that finished:",
        "histogram_quantile(0.5, sum by (cluster_name, queue, le)"
        ' (rate(ehpc_job_run_seconds_bucket{status="finished"}[1d])))',
    ),
    Recipe(
        "How many core hours did each user use in the last 30 days?",
        "sum by (cluster_name, user) (increase(ehpc_job_core_seconds_total[30d])) / 3600",
        "Of the jobs that ended in this time, whole. What runs now, in cores:"
        ' `ehpc_jobs_cores{status="running"}`; `cluster_queue_user:ehpc_jobs_cores_running:sum` of the'
        " recording rules, summed over time, is what ran hour by hour.",
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
        "Where `labels.user.groups_file` says who is in which. Any family with users joins so.",
    ),
    Recipe(
        "What share of the jobs that ended within the last hour failed?",
        'sum by (cluster_name) (increase(ehpc_jobs_ended_total{status="exited"}[1h]))\n'
        '/ (sum by (cluster_name) (increase(ehpc_jobs_ended_total{status=~"finished|exited"}[1h]))'
        " > 0)",
        "From 0 to 1: use Grafana's unit *percent (0.0-1.0)*. Cancelled jobs are in neither number.",
    ),
    Recipe(
        "How many jobs come, start and end a minute?",
        "60 * sum by (cluster_name, queue) (rate(ehpc_jobs_submitted_total[10m]))",
        "The same with `ehpc_jobs_started_total` and `ehpc_jobs_ended_total`.",
    ),
    Recipe(
        "How many hours would a queue take to start all that waits, at the pace of the last day?",
        'sum by (cluster_name, queue) (ehpc_jobs{status="pending"})\n'
        "/ (3600 * sum by (cluster_name, queue) (rate(ehpc_jobs_started_total[1d])) > 0)",
    ),
    Recipe(
        "All jobs by status, history included:",
        "sum by (cluster_name, status) (ehpc_jobs)",
        "End statuses are there when `ehpc_history_complete` is 1.",
    ),
    Recipe(
        "How old are the counts, in seconds?",
        "time() - ehpc_snapshot_timestamp_seconds",
    ),
    Recipe(
        "Which clusters cannot be read, and why?",
        "sum by (cluster_name, reason) (increase(ehpc_sync_failures_total[15m])) > 0",
        "No answer is a good answer.",
    ),
    Recipe(
        "How many calls does a look at a cluster cost?",
        "sum(rate(ehpc_api_requests_total[1h])) / sum(rate(ehpc_syncs_total[1h]))",
    ),
    Recipe(
        "How much of what it may use of the account's quota has the exporter used?",
        "ehpc_api_quota_used / ehpc_api_quota_requests",
    ),
    Recipe(
        "How far is the history read?",
        "ehpc_history_jobs_known / ehpc_history_jobs_expected",
    ),
    Recipe(
        "Which clusters' servers do not sort by the last change, so that each sync costs more calls?",
        'ehpc_server_trait{trait="order", value!~"change|change_only|unknown"}',
    ),
    Recipe(
        "With the id and the zone of each cluster:",
        'sum by (cluster_name) (ehpc_jobs{status="running"})\n'
        "* on (cluster_name) group_left (cluster_id, zone_id, account) ehpc_cluster_info",
        "Also with labels of your own: `clusters[].labels`.",
    ),
)

INTRODUCTION = """\
# Metrics

<!-- Made by docs/generate_metrics.py. Change exporter/catalog.py or that file, then: make docs -->

The exporter asks the cloud on its own timer, not when it is scraped: the API allows few calls an
hour. `ehpc_snapshot_timestamp_seconds` says of which moment the counts are. Scraping often costs
nothing but the scrape.

Moments are Unix seconds, durations are seconds, shares are from 0 to 1. Samples carry no timestamps.
"""

PASTE = """\
## Queries to paste

Every one of them is run in a test, on a Prometheus that scrapes this exporter. `cluster_name` and
`queue` can be narrowed down in the braces, as in `ehpc_jobs{cluster_name="cfd", status="pending"}`.
The rules in `deploy/prometheus/rules/` record the common ones, and what is usual for each queue.
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
        meaning = re.split(" Taken from job/list| Asked of the cloud", metric.help)[0].replace(
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
        "What `ehpc_server_trait` tells; `unknown` is what has not shown, or is found out anew.",
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
