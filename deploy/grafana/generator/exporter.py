"""The exporter itself: does it look, what does it cost, and can it be believed?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generator import frame, looks, panels, servers
from deploy.grafana.generator.panels import Column, grid, lines, number, row, stack
from deploy.grafana.generator.promql import (
    CLUSTER,
    clusters_down,
    data_age,
    highest,
    lowest,
    occurring,
    once,
)

TARGET = 'job=~"$job", instance=~"$instance"'
ACCOUNT = 'account=~"$account"'
FOLDED = once(f"ehpc_label_values_folded{{{CLUSTER}}}", "label")
EXPORTERS = f"ehpc_exporter_build_info{{{TARGET}}}"


def dashboard() -> Dashboard:
    """Of the uid ``ehpc-exporter``."""
    made = frame.board(
        "ehpc-exporter",
        "E-HPC / Exporter",
        "Whether the numbers of the other dashboards are current, complete and affordable.",
    )
    for name, label, values in (
        ("job", "Job", frame.JOBS),
        ("instance", "Exporter", frame.INSTANCES),
    ):
        made.with_variable(frame.choice(name, label, values))
    frame.clusters(made)
    frame.place(made, 5, numbers())
    frame.place(made, 9, [clusters()])
    made.with_row(row("Syncs"))
    frame.place(made, 8, [age_by_cluster(), failures(), durations()])
    frame.place(made, 8, [corrections(), intervals(), servers.left_out()])
    made.with_row(row("Servers"))
    frame.place(made, 8, [servers.strategies(), servers.traits()], widths=[8, 16])
    made.with_row(row("Calls and quota"))
    frame.place(made, 5, [accounts()])
    frame.place(made, 8, [quota(), calls(), call_durations()])
    made.with_row(row("History"))
    frame.place(made, 7, [history(), known(), folded()])
    made.with_row(row("Scrapes and the process"))
    frame.place(made, 7, [samples(), scrape_durations(), memory(), processor()])
    return made.build()


def numbers() -> list[panels.Panel]:
    """All is well, or not, in eight numbers."""
    accounts = f"max by (account) (ehpc_api_quota_used{{{ACCOUNT}}})"
    allowed = f"max by (account) (ehpc_api_quota_requests{{{ACCOUNT}}})"
    return [
        number(
            "Exporter", "Can Prometheus scrape it? With several, each of them.",
            f"min(up{{{TARGET}}})", steps=((None, "red"), (1, "green")), mappings=looks.UP_DOWN,
            trend=False,
        ),
        number(
            "Clusters down", "How many clusters cannot be read? Their last sync with the cloud API failed.",
            clusters_down(),
            steps=looks.ANY_IS_BAD, trend=False,
        ),
        number(
            "Oldest data", "How old are the oldest counts of any cluster?",
            data_age("", CLUSTER), unit=looks.SECONDS, steps=looks.AGE_STEPS, decimals=0, trend=False,
        ),
        number(
            "Syncs failed", "How much of the last hour's syncs failed?",
            f"sum({once(f'increase(ehpc_sync_failures_total{{{CLUSTER}}}[1h])', 'reason')})"
            f" / (sum(max by (cluster_name) (increase(ehpc_syncs_total{{{CLUSTER}}}[1h]))) > 0)",
            unit=looks.SHARE, steps=((None, "green"), (0.05, "yellow"), (0.5, "red")), decimals=1,
        ),
        number(
            "Quota used",
            "How near is the limit? Of the calls that this exporter may make in the sliding window, of the"
            " account that is nearest to it. When nothing is left, syncs are spaced out.",
            f"max({accounts} / {allowed})",
            unit=looks.SHARE, steps=looks.QUOTA_STEPS, decimals=0,
        ),
        number(
            "History read",
            "How much of the history is known? Of the ended jobs that are to be counted, of the cluster that is furthest behind. Until it is complete, ended jobs are not counted on the other dashboards.",
            f"min(ehpc_history_jobs_known{{{CLUSTER}}}"
            f" / (ehpc_history_jobs_expected{{{CLUSTER}}} > 0))",
            unit=looks.SHARE, steps=((None, "yellow"), (0.999, "green")), decimals=1,
            trend=False,
        ),
        number(
            "Corrections",
            "Were the counts wrong? Jobs that audits found wrong in the ledgers and put right in 24 hours. Deleted jobs are found this way too, so a few are no reason to worry.",
            f"sum({once(f'increase(ehpc_sync_corrections_total{{{CLUSTER}}}[24h])', 'kind')})"
            f" or 0 * count(max by (cluster_name) (ehpc_up{{{CLUSTER}}}))",
            colour="text", decimals=0,
        ),
        number(
            "Configuration",
            "Is the configuration the one in its file, and are the users' groups those in theirs? If the last reload failed, the old one stays in use; the log has the reason.",
            f"min(ehpc_exporter_config_last_reload_successful{{{TARGET}}}"
            f" or ehpc_exporter_groups_last_reload_successful{{{TARGET}}})",
            steps=((None, "red"), (1, "green")), mappings=looks.LOADED, trend=False,
        ),
    ]  # fmt: skip


def clusters() -> panels.Panel:
    """A row for each cluster."""
    by = "cluster_name, account, cluster_id, zone_id"

    def joined(what: str) -> str:
        return (
            f"max by (cluster_name) ({what}) * on (cluster_name) group_left"
            f" (account, cluster_id, zone_id) max by ({by}) (ehpc_cluster_info{{{CLUSTER}}})"
        )

    return grid(
        "Clusters",
        "How is each cluster followed? Strategy: delta reads what changed and costs about one call,"
        " sweep reads the active jobs, scan the whole list, because the server does not sort or"
        " filter as asked. The interval is longer than configured if the quota is short.",
        ["cluster_name", "account", "cluster_id", "zone_id"],
        [
            Column("Sync", joined(f"ehpc_up{{{CLUSTER}}}"), mappings=looks.UP_DOWN),
            Column(
                "Strategy",
                joined(
                    f'ehpc_sync_strategy{{{CLUSTER}, strategy="delta"}}'
                    f' or 2 * (ehpc_sync_strategy{{{CLUSTER}, strategy="sweep"}} == 1)'
                    f' or 3 * (ehpc_sync_strategy{{{CLUSTER}, strategy="scan"}} == 1)'
                ),
                mappings=looks.STRATEGIES,
            ),
            Column(
                "Data age", joined(data_age("cluster_name", CLUSTER)), looks.SECONDS,
                steps=looks.AGE_STEPS, decimals=1,
            ),
            Column(
                "Interval", joined(f"ehpc_effective_interval_seconds{{{CLUSTER}}}"), looks.SECONDS
            ),
            Column(
                "Syncs (1 h)",
                joined(f"increase(ehpc_syncs_total{{{CLUSTER}}}[1h])"),
            ),
            Column(
                "Failed (1 h)",
                joined(
                    "sum by (cluster_name) ("
                    + once(f"increase(ehpc_sync_failures_total{{{CLUSTER}}}[1h])", "reason")
                    + ")"
                ),
                steps=looks.ANY_IS_NOTABLE,
            ),
            Column("Jobs known", joined(f"ehpc_history_jobs_known{{{CLUSTER}}}")),
            Column(
                "History", joined(f"ehpc_history_complete{{{CLUSTER}}}"),
                mappings=looks.YES_NO,
            ),
            Column("Ledger", joined(f"ehpc_ledger_on_disk{{{CLUSTER}}}"), mappings=looks.ON_DISK),
            Column(
                "Folded",
                joined(f"sum by (cluster_name) ({FOLDED})"),
                steps=looks.ANY_IS_NOTABLE,
            ),
        ],
        sort="Data age",
        widths={"cluster_name": 130, "cluster_id": 125},
    )  # fmt: skip


def age_by_cluster() -> panels.Panel:
    """Whether the numbers are current."""
    return lines(
        "Age of the data by cluster",
        "Are the counts current? How long ago they were true. The ten clusters that were worst at some"
        " moment.",
        {"{{cluster_name}}": highest("cluster_name", data_age("cluster_name", CLUSTER))},
        unit=looks.WHOLE_SECONDS,
    )


def failures() -> panels.Panel:
    """Why syncs fail."""
    counted = once(f"increase(ehpc_sync_failures_total{{{CLUSTER}}}[1h])", "reason")
    failed = f"sum by (reason) ({counted})"
    return stack(
        "Failed syncs an hour, by reason",
        "Why do syncs fail? Those of the hour before each moment. The reasons are those of the log and of"
        " the exporter's landing page, which also say what to do.",
        {"{{reason}}": occurring("reason", failed)},
    ).no_value("No sync has failed")


def durations() -> panels.Panel:
    """How long a sync takes."""
    rate = f"rate(ehpc_sync_duration_seconds_bucket{{{CLUSTER}}}[$__rate_interval])"
    return _percentiles(
        "Duration of syncs", "How long does a sync take? With all their calls and the pauses between retries.",
        once(rate, "le"),
    )  # fmt: skip


def corrections() -> panels.Panel:
    """What audits found."""
    counted = once(f"increase(ehpc_sync_corrections_total{{{CLUSTER}}}[1h])", "kind")
    return stack(
        "Corrected jobs an hour, by kind",
        "What was wrong? Jobs that an audit found wrong in the ledger and put right, in the hour before each"
        " moment.",
        {"{{kind}}": f"sum by (kind) ({counted})"},
    ).no_value("No audit has found anything wrong")


def intervals() -> panels.Panel:
    """How often each cluster is looked at."""
    return lines(
        "Interval between syncs",
        "How often is each cluster looked at? As configured, or less often if the account's share of calls"
        " does not allow more. The ten clusters with the longest intervals.",
        {
            "{{cluster_name}}": highest(
                "cluster_name",
                f"max by (cluster_name) (ehpc_effective_interval_seconds{{{CLUSTER}}})",
            )
        },
        unit=looks.WHOLE_SECONDS,
    )


def accounts() -> panels.Panel:
    """A row for each account."""

    def largest(what: str) -> str:
        return f"max by (account) ({what})"

    return grid(
        "Accounts",
        "Can each account afford its clusters? Used and allowed are calls in the sliding window, of"
        " one exporter. Calls that are not written down are forgotten at a restart.",
        ["account"],
        [
            Column(
                "Used", largest(f"ehpc_api_quota_used{{{ACCOUNT}}}"), bar="blue"
            ),
            Column("Allowed", largest(f"ehpc_api_quota_requests{{{ACCOUNT}}}")),
            Column(
                "Failed (1 h)",
                f"sum by (account) (increase(ehpc_api_failures_total{{{ACCOUNT}}}[1h]))",
                steps=looks.ANY_IS_NOTABLE,
            ),
            Column(
                "Written down",
                f"min by (account) (ehpc_budget_on_disk{{{ACCOUNT}}})",
                mappings=looks.ON_DISK,
            ),
        ],
        sort="Used",
    )  # fmt: skip


def quota() -> panels.Panel:
    """What is used of what is allowed."""
    return lines(
        "Calls in the quota's window",
        "Does the quota suffice? Calls that this exporter made in the account's sliding window, and (dashed)"
        " how many it may make: its share of the quota. It never makes more.",
        {
            "{{account}}": f"sum by (account) (ehpc_api_quota_used{{{ACCOUNT}}})",
            "{{account}}: allowed": f"sum by (account) (ehpc_api_quota_requests{{{ACCOUNT}}})",
        },
        dashed=".*: allowed",
    )


def calls() -> panels.Panel:
    """What is sent, and what fails of it."""
    failed = f"sum by (reason) (rate(ehpc_api_failures_total{{{ACCOUNT}}}[$__rate_interval]))"
    return lines(
        "Calls a minute",
        "How many calls are made, and how many fail? Calls sent, retries included, and those that"
        " gave no usable page.",
        {
            "{{account}}": "60 * sum by (account)"
            f" (rate(ehpc_api_requests_total{{{ACCOUNT}}}[$__rate_interval]))",
            "failed: {{reason}}": occurring("reason", f"60 * {failed}"),
        },
        unit=looks.PER_MINUTE,
    )


def call_durations() -> panels.Panel:
    """How fast the cloud answers."""
    rate = f"rate(ehpc_api_request_duration_seconds_bucket{{{ACCOUNT}}}[$__rate_interval])"
    return _percentiles(
        "Duration of calls",
        "How fast is the cloud? From sending to the end of the answer, or to the failure.",
        rate,
    )


def _percentiles(title: str, description: str, rate: str) -> panels.Panel:
    shares = {"median": 0.5, "90 %": 0.9, "95 %": 0.95}
    rate = f"sum by (le) ({rate})"
    return lines(
        title,
        f"{description} Half, 90 % and 95 % took less than this.",
        {legend: f"histogram_quantile({share}, {rate}) >= 0" for legend, share in shares.items()},
        unit=looks.SECONDS,
        colours=looks.PERCENTILE_COLOURS,
    )


def history() -> panels.Panel:
    """How far the backfill is."""
    share = (
        f"max by (cluster_name) (ehpc_history_jobs_known{{{CLUSTER}}})"
        f" / (max by (cluster_name) (ehpc_history_jobs_expected{{{CLUSTER}}}) > 0)"
    )
    return lines(
        "History read",
        "When is the history complete? The part of the jobs that is already in the ledger. The ten clusters that were furthest behind.",
        {"{{cluster_name}}": lowest("cluster_name", share)},
        unit=looks.SHARE,
    ).max(1)


def known() -> panels.Panel:
    """How much is remembered."""
    return stack(
        "Jobs in the ledgers",
        "How many jobs are known? Those that ended included.",
        {"jobs": f"sum(max by (cluster_name) (ehpc_history_jobs_known{{{CLUSTER}}}))"},
        colours={"jobs": "blue"},
    )


def folded() -> panels.Panel:
    """What has no name of its own."""
    return lines(
        "Names folded into _other",
        "Which names are not shown? Users and queues beyond the configured limits, added up over the clusters; and how often, in the hour before, a name of more than 200 characters was cut.",
        {
            "{{label}}s": f"sum by (label) ({FOLDED})",
            "cut": f"sum(max by (cluster_name) (increase(ehpc_label_values_cut_total{{{CLUSTER}}}[1h])))",
        },
    )


def samples() -> panels.Panel:
    """How large a scrape is."""
    return lines(
        "Samples in a scrape",
        "How much does Prometheus store of each exporter?",
        {"{{instance}}": f"scrape_samples_scraped{{{TARGET}}}"},
    )


def scrape_durations() -> panels.Panel:
    """How long a scrape takes."""
    return lines(
        "Duration of a scrape",
        "Is a scrape fast? It makes no call to the cloud: everything is rendered beforehand.",
        {"{{instance}}": f"scrape_duration_seconds{{{TARGET}}}"},
        unit=looks.SECONDS,
    )


def memory() -> panels.Panel:
    """What it takes."""
    return lines(
        "Memory",
        "Does its memory grow? Resident memory of the exporter's process.",
        {
            "{{instance}}": f"process_resident_memory_bytes{{{TARGET}}} and on (job, instance) {EXPORTERS}"
        },
        unit=looks.BYTES,
    )


def processor() -> panels.Panel:
    """What it takes."""
    used = f"rate(process_cpu_seconds_total{{{TARGET}}}[$__rate_interval])"
    return lines(
        "Processor",
        "How busy is it? The part of one core that the exporter's process uses.",
        {"{{instance}}": f"{used} and on (job, instance) {EXPORTERS}"},
        unit=looks.SHARE,
    )
