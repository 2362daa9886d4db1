"""Every threshold can be another one for a cluster, and for a queue of it; a slip in a name is noticed.

The test cases are made of a table, as lines of ehpc-overrides.yml, and run by promtool in one go.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.prometheus.generator import BY_ACCOUNT, BY_CLUSTER, BY_QUEUE
from tests.deploy.rule_files import PROMETHEUS, SELDOM_COLLECTING, names_in, records, rules
from tests.waiting import PATIENCE_SECONDS

Labels = dict[str, str]

RULES = PROMETHEUS / "rules"
OVERRIDES = (RULES / "ehpc-overrides.yml").read_text(encoding="utf-8")
STEP_MINUTES = 5
ORDER = [
    "ehpc-thresholds", "ehpc-overrides", "ehpc-now", "ehpc-in-force", "ehpc-usage", "ehpc-usual",
    "ehpc-jobs", "ehpc-exporter",
]  # fmt: skip
NEVER = "1e9"
"""More than anything that the series of the table reach."""

ENOUGH = {
    "EhpcBacklogGrowing": {
        'ehpc_jobs{%s, user="li", status="pending"}': "0+4x40",
        "ehpc_jobs_started_total{%s}": "0+0.1x40",
    },
    "EhpcBacklogStays": {
        'ehpc_jobs{%s, user="li", status="pending"}': "500x40",
        "ehpc_jobs_started_total{%s}": "0+0.1x40",
    },
    "EhpcQueueNotDraining": {
        'ehpc_jobs{%s, user="li", status="pending"}': "500x40",
        'ehpc_jobs{%s, user="li", status="running"}': "RUNNINGx40",
        "ehpc_jobs_started_total{%s}": "STARTED",
    },
    "EhpcJobWaitsTooLong": {
        "ehpc_jobs_submitted_total{%s}": "0x40",
        "ehpc_oldest_pending_submit_timestamp_seconds{%s}": "-200000x40",
        'ehpc_job_wait_seconds_bucket{%s, le="30"}': "0+1x40",
        'ehpc_job_wait_seconds_bucket{%s, le="+Inf"}': "0+1x40",
    },
    "EhpcUserHoldsBacklog": {
        'ehpc_jobs{%s, user="li", status="pending"}': "450x40",
        'ehpc_jobs{%s, user="wang", status="pending"}': "50x40",
        "ehpc_jobs_started_total{%s}": "0+0.1x40",
    },
    "EhpcJobsFail": {
        "ehpc_jobs_submitted_total{%s}": "0x320",
        'ehpc_jobs_ended_total{%s, status="finished"}': "0+1x320",
        'ehpc_jobs_ended_total{%s, status="exited"}': "0+0.01x287 3+2x32",
    },
    "EhpcJobsWaitWithCoresFree": {
        'ehpc_jobs_cores{%s, user="li", status="pending"}': "8x40",
        "ehpc_queue_cores{%s}": "100x40",
        "ehpc_queue_cores_available{%s}": "50x40",
        "ehpc_oldest_pending_submit_timestamp_seconds{%s}": "-7200x40",
    },
    "EhpcQueueFull": {
        'ehpc_jobs_cores{%s, user="li", status="pending"}': "8x160",
        "ehpc_queue_cores{%s}": "100x160",
        "ehpc_queue_cores_available{%s}": "0x160",
    },
    "EhpcDataStale": {
        "ehpc_snapshot_timestamp_seconds{%s}": "0x40",
        "ehpc_effective_interval_seconds{%s}": "60x40",
    },
    "EhpcLedgerCorrected": {'ehpc_sync_corrections_total{%s, kind="changed"}': "0+1x40"},
    "EhpcQuotaNearlyUsed": {
        "ehpc_api_quota_used{%s}": "95x40",
        "ehpc_api_quota_requests{%s}": "100x40",
    },
}
"""Series that make each alert fire with the thresholds of everybody. Of EhpcQueueNotDraining's two
reasons each threshold has its own: see ``inputs``."""

AT = {"EhpcJobsFail": "25h", "EhpcQueueFull": "13h"}
"""When it fires; else after three hours."""

TABLE = (
    ("backlog_least_jobs", "EhpcBacklogGrowing"),
    ("backlog_growth_hours", "EhpcBacklogGrowing"),
    ("backlog_least_jobs", "EhpcBacklogStays"),
    ("backlog_hours", "EhpcBacklogStays"),
    ("backlog_least_jobs", "EhpcQueueNotDraining"),
    ("usual_starts_an_hour", "EhpcQueueNotDraining"),
    ("wait_seconds", "EhpcJobWaitsTooLong"),
    ("wait_usual_factor", "EhpcJobWaitsTooLong"),
    ("backlog_least_jobs", "EhpcUserHoldsBacklog"),
    ("user_share", "EhpcUserHoldsBacklog"),
    ("user_backlog_hours", "EhpcUserHoldsBacklog"),
    ("failed_share", "EhpcJobsFail"),
    ("failed_usual_factor", "EhpcJobsFail"),
    ("failed_least_jobs", "EhpcJobsFail"),
    ("wait_with_cores_free_seconds", "EhpcJobsWaitWithCoresFree"),
    ("queue_full_ratio", "EhpcQueueFull"),
    ("data_age_seconds", "EhpcDataStale"),
    ("data_age_intervals", "EhpcDataStale"),
    ("corrected_jobs", "EhpcLedgerCorrected"),
    ("quota_used_ratio", "EhpcQuotaNearlyUsed"),
)


def level_of(name: str) -> str:
    if name in BY_QUEUE:
        return "queue"
    return "cluster" if name in BY_CLUSTER else "account"


def targets(name: str, alert: str) -> dict[str, tuple[list[Labels], list[Labels]]]:
    """By what is said for whom: whom the alert is about, and those of them for whom it still fires."""
    if level_of(name) == "account":
        accounts = {"nothing": [{"account": "plain"}], "account": [{"account": name}]}
        return {what: (each, each if what == "nothing" else []) for what, each in accounts.items()}
    made = {}
    for what in ("nothing", "cluster", "queue", "both")[: 4 if level_of(name) == "queue" else 2]:
        cluster = {"cluster_name": f"{name} {alert} {what}"}
        each = [cluster | {"queue": q} for q in "qr"] if level_of(name) == "queue" else [cluster]
        fires = {"nothing": each, "cluster": [], "queue": each[1:], "both": each[:1]}[what]
        made[what] = (each, fires)
    return made


def overrides(name: str, alert: str, default: str) -> Iterator[str]:
    """Lines of the file; where both are said, the queue gets back what everybody has."""
    for what, (whom, _) in targets(name, alert).items():
        cluster = {key: value for key, value in whom[0].items() if key != "queue"}
        if what in {"cluster", "both", "account"}:
            yield line(name, NEVER, cluster)
        if what in {"queue", "both"}:
            yield line(name, NEVER if what == "queue" else default, whom[0])


def line(name: str, value: str, labels: Labels) -> str:
    told = ", ".join(f'{key}: "{each}"' for key, each in labels.items())
    return f'- {{record: "ehpc:{name}:threshold", expr: vector({value}), labels: {{{told}}}}}'


def overrides_file(lines: Iterable[str]) -> str:
    """As an operator writes it."""
    head, mark, _ = OVERRIDES.partition("    rules: []\n")
    assert mark
    return f"{head}    rules:\n" + "".join(f"    {each}\n" for each in lines)


def inputs(name: str, alert: str, labels: Labels) -> Iterator[dict[str, str]]:
    told = "".join(f', {key}="{each}"' for key, each in labels.items())
    told = f'job="ehpc", instance="a"{told}'
    once_many = name == "usual_starts_an_hour"
    for series, values in ENOUGH[alert].items():
        made = values.replace("RUNNING", "1" if once_many else "0")
        made = made.replace("STARTED", "0+30x12 360x28" if once_many else "0x40")
        yield {"series": series % told, "values": made}


def about_clusters(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """What every cluster has."""
    for name in sorted(set(names)):
        told = f'job="ehpc", instance="a", cluster_name="{name}"'
        yield {
            "series": f'ehpc_cluster_info{{{told}, cluster_id="e", zone_id="z", account="plain"}}',
            "values": "1x320",
        }


def firing(alert: str, labels: Iterable[str], whom: Iterable[Labels]) -> dict[str, Any]:
    by = ", ".join(labels)
    return {
        "expr": f'group by ({by}) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
        "exp_samples": [
            {
                "labels": "{" + ", ".join(f'{key}="{value}"' for key, value in each.items()) + "}",
                "value": 1,
            }
            for each in whom
        ],
    }


def case(alert: str) -> dict[str, Any]:
    """One alert with all of its thresholds."""
    series: list[dict[str, str]] = []
    fires: list[Labels] = []
    clusters: list[str] = []
    for name in (name for name, other in TABLE if other == alert):
        for whom, firing_for in targets(name, alert).values():
            for labels in whom:
                series += [each for each in inputs(name, alert, labels) if each not in series]
                clusters += [labels["cluster_name"]] if "cluster_name" in labels else []
            fires += firing_for
    series += about_clusters(clusters)
    if alert == "EhpcBacklogGrowing":  # nothing has grown unless an hour ago is known
        series += [
            {"series": f'ehpc_snapshot_timestamp_seconds{{job="ehpc", cluster_name="{each}"}}',
             "values": "0+300x40"}
            for each in sorted(set(clusters))
        ]  # fmt: skip
    names = fires[0].keys()
    return {
        "name": alert,
        "interval": f"{STEP_MINUTES}m",
        "input_series": series,
        "promql_expr_test": [firing(alert, names, fires) | {"eval_time": AT.get(alert, "3h")}],
    }


GOOD = (
    {"cluster_name": "cfd", "queue": "debug"},
    {"cluster_name": "cfd"},
)
SLIPS = (
    ("wait_secnds", {"cluster_name": "cfd", "queue": "debug"}),
    ("wait_seconds", {"cluster_name": "cdf"}),
    ("wait_seconds", {"cluster_name": "cfd", "queue": "gup"}),
    ("wait_seconds", {"queue": "debug"}),
    ("wait_seconds", {"account": "plain"}),
    ("data_age_seconds", {"cluster_name": "cfd", "queue": "debug"}),
    ("quota_used_ratio", {"cluster_name": "cfd"}),
    ("quota_used_ratio", {"account": "plian"}),
)
MISSPELT_LABEL = line("user_share", "2", {"cluster": "cfd"})


def slips() -> dict[str, Any]:
    """What has no effect is told, and nothing else; also of a cluster that cannot be seen for now."""
    series = [
        *about_clusters(["cfd"]),
        {"series": 'ehpc_jobs_submitted_total{job="ehpc", cluster_name="cfd", queue="debug"}', "values": "0x40"},
        {"series": 'ehpc_api_quota_requests{job="ehpc", account="plain"}', "values": "9x40"},
        {"series": 'ehpc_cluster_info{job="ehpc", cluster_name="gone", account="plain"}', "values": "1x10"},
    ]  # fmt: skip
    told = [{"threshold": name} | labels for name, labels in SLIPS]
    told.append({"threshold": "user_share"})
    by = ("threshold", "cluster_name", "queue", "account")
    return {
        "name": "slips",
        "interval": f"{STEP_MINUTES}m",
        "input_series": series,
        "promql_expr_test": [
            firing("EhpcOverrideWithoutEffect", by, told) | {"eval_time": "3h"},
            # What is lower errs on the side of being called.
            {"expr": 'cluster_queue:ehpc_user_share:threshold{queue="debug"}', "eval_time": "3h",
             "exp_samples": [{"labels": 'cluster_queue:ehpc_user_share:threshold{job="ehpc", cluster_name="cfd", queue="debug"}', "value": 0.8}]},
        ],
    }  # fmt: skip


def twins() -> dict[str, Any]:
    """Two clusters of one name, of two accounts, in two jobs: what is said for the name is for both."""
    name = "cluster_queue:ehpc_wait_seconds:threshold"
    jobs = ("one", "other")
    return {
        "name": "twins",
        "interval": f"{STEP_MINUTES}m",
        "input_series": [
            {"series": f'ehpc_jobs_submitted_total{{job="{job}", cluster_name="cfd", queue="debug"}}',
             "values": "0x10"}
            for job in jobs
        ],
        "promql_expr_test": [{
            "expr": name, "eval_time": "30m",
            "exp_samples": [
                {"labels": f'{name}{{job="{job}", cluster_name="cfd", queue="debug"}}', "value": 7}
                for job in jobs
            ],
        }],
    }  # fmt: skip


def write(directory: Path, name: str, lines: Iterable[str], cases: list[dict[str, Any]]) -> Path:
    file = directory / f"{name}-overrides.yml"
    file.write_text(overrides_file(lines), encoding="utf-8")
    kept = [str(path) for path in sorted(RULES.glob("*.yml")) if path.name != "ehpc-overrides.yml"]
    test = {
        "rule_files": [*kept, str(file)],
        "evaluation_interval": "30m",  # each costs as much as an hour of the series
        "group_eval_order": ORDER,
        "tests": cases,
    }
    path = directory / f"{name}.test.yml"
    path.write_text(yaml.safe_dump(test, allow_unicode=True), encoding="utf-8")
    return path


def test_each_is_another_one_for_a_cluster_and_for_a_queue(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    defaults = {
        name: expression[7:-1]
        for name, expression in (
            (name.split(":")[1], rule.expression) for name, rule in records().items()
            if re.fullmatch("ehpc:.*:threshold", name)
        )
    }  # fmt: skip
    lines = [
        each
        for name, alert in TABLE
        for each in overrides(name, alert, defaults[name])
        if alert != "EhpcQuotaNearlyUsed" or "plain" not in each
    ]
    alerts = list(dict.fromkeys(alert for _, alert in TABLE))
    wrong = [
        *(line("wait_seconds", "7", labels) for labels in GOOD),
        line("wait_seconds", "7", {"cluster_name": "gone"}),
        *(line(name, "7", labels) for name, labels in SLIPS),
        MISSPELT_LABEL,
    ]
    paths = [
        write(tmp_path, "table", lines, [case(alert) for alert in alerts]),
        write(tmp_path, "slips", wrong, [slips(), twins()]),
    ]
    done = subprocess.run(
        [require_tool("promtool"), "test", "rules", *map(str, paths)],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        env=SELDOM_COLLECTING,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_has_every_threshold_with_every_alert_that_asks_for_it() -> None:
    asked = {
        (name.split(":")[1].removeprefix("ehpc_"), rule.name)
        for rule in rules()
        if "alert" in rule.raw
        for name in names_in(rule.expression)
        if re.fullmatch(r"\w+:ehpc_\w+:threshold", name)
    }
    assert set(TABLE) == asked
    assert {name for name, _ in TABLE} == {*BY_QUEUE, *BY_CLUSTER, *BY_ACCOUNT}


def test_the_lines_to_copy_are_good(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    lines = re.findall(r"^    # (- \{record.*)$", OVERRIDES, re.MULTILINE)
    assert {"debug", "scavenger", "gpu"} <= set(re.findall(r"queue: (\w+)", "".join(lines)))
    path = tmp_path / "rules.yml"
    path.write_text(overrides_file(lines), encoding="utf-8")
    for rule in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"][0]["rules"]:
        assert rule["record"] in records()
        assert set(rule["labels"]) <= {"cluster_name", "queue"}
    done = subprocess.run(
        [require_tool("promtool"), "check", "rules", "--lint=all", path],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
