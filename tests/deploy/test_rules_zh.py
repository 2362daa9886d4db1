"""The alerts in Chinese: the same alerts, with nothing missing, and every text as people will read it."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.prometheus.generator import HERE, LANGUAGES, generate
from tests.deploy.rule_files import ROOT, Rule, alerts
from tests.waiting import PATIENCE_SECONDS

READ = ROOT / "tests/golden/alerts.zh.yml"
"""What every alert says of ``SERIES``: proof-read."""
ENGLISH = alerts()
CHINESE: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((HERE / "rules-zh/ehpc-alerts.yml").read_text(encoding="utf-8"))[
        "groups"
    ]
    for rule in group["rules"]
}

QUEUE = 'job="ehpc", cluster_name="cfd", queue="默认队列"'
CLUSTER = 'job="ehpc", instance="a:10046", cluster_name="cfd"'
ACCOUNT = 'job="ehpc", instance="a:10046", account="default"'
SERIES = {
    f"cluster_queue:ehpc_jobs_pending:sum{{{QUEUE}}}": "400",
    f'cluster_queue_user:ehpc_jobs_pending:sum{{{QUEUE}, user="李娜"}}': "340",
    f"cluster_queue:ehpc_jobs_running:sum{{{QUEUE}}}": "12",
    f"cluster_queue:ehpc_jobs_started:pace{{{QUEUE}}}": "30",
    f"cluster_queue:ehpc_jobs_started:rate1h_avg7d{{{QUEUE}}}": "0.002",
    f"cluster_queue:ehpc_backlog_hours:ratio{{{QUEUE}}}": "13.5",
    f"cluster_queue:ehpc_oldest_pending_wait_seconds:max{{{QUEUE}}}": "90000",
    f"cluster_queue:ehpc_job_wait_seconds:p95_1d{{{QUEUE}}}": "1800",
    f'cluster_queue_status:ehpc_jobs_ended:rate1h{{{QUEUE}, status="exited"}}': "0.0083",
    f"cluster_queue:ehpc_jobs_failed:ratio_avg7d{{{QUEUE}}}": "0.1",
    f"cluster_queue:ehpc_queue_cores_free:max{{{QUEUE}}}": "200",
    f"cluster_queue:ehpc_queue_cores:max{{{QUEUE}}}": "512",
    f"cluster_queue:ehpc_jobs_cores_pending:sum{{{QUEUE}}}": "64",
    f'ehpc_nodes{{{CLUSTER}, role="compute", status="active"}}': "6",
    f'ehpc_queue_nodes{{{CLUSTER}, queue="默认队列", status="stopped"}}': "2",
    f'ehpc_sync_failures_total{{{CLUSTER}, reason="authentication"}}': "0+1x10",
    f"ehpc_last_sync_success_timestamp_seconds{{{CLUSTER}}}": "0",
    f"ehpc_effective_interval_seconds{{{CLUSTER}}}": "60",
    f"ehpc_history_jobs_expected{{{CLUSTER}}}": "30000",
    f'ehpc_server_trait{{{CLUSTER}, trait="depth", value="10000"}}': "1",
    f"ehpc_api_quota_used{{{ACCOUNT}}}": "450",
    f"ehpc_api_quota_requests{{{ACCOUNT}}}": "1000",
    f"ehpc_cluster_info{{{CLUSTER}}}": "1",
    'ehpc_exporter_config_last_reload_success_timestamp_seconds{job="ehpc", instance="a:10046"}': "0",
}
VALUES = {
    "EhpcUserHoldsBacklog": 0.85, "EhpcJobsFail": 0.6, "EhpcJobWaitsTooLong": 90000, "EhpcDataStale": 1800,
    "EhpcQuotaNearlyUsed": 0.9, "EhpcThresholdsMissing": 16, "EhpcJobsWaitWithCoresFree": 64,
}  # fmt: skip
"""What an alert's own query gives; else 2."""
MORE_LABELS = (
    'account="default", user="李娜", role="compute", status="stopped", threshold="wait_seconds"'
)


def test_the_files_are_what_their_code_makes() -> None:
    for path, text in generate().items():
        assert path.read_text(encoding="utf-8") == text, "run make rules"


def test_all_but_the_texts_is_the_same() -> None:
    assert list(CHINESE) == list(ENGLISH)
    for name, rule in CHINESE.items():
        assert {**rule, "annotations": 0} == {**ENGLISH[name].raw, "annotations": 0}
        assert set(rule["annotations"]) == set(ENGLISH[name].raw["annotations"])
        page = LANGUAGES["zh"][1]
        assert rule["annotations"]["runbook_url"].endswith(f"/{page}#{name.lower()}")


@pytest.mark.parametrize("rule", ENGLISH.values(), ids=lambda rule: rule.name)
@pytest.mark.parametrize("text", ["summary", "description"])
def test_a_translation_tells_the_same_facts(rule: Rule, text: str) -> None:
    chinese = CHINESE[rule.name]["annotations"][text]
    assert re.search(r"[一-鿿]", re.sub(r"\{\{.*?\}\}", "", chinese)), "not translated"
    for fact in (r'query \(printf "(?:[^"\\]|\\.)*"', r"\$labels\.\w+"):
        english = set(re.findall(fact, rule.raw["annotations"][text]))
        assert set(re.findall(fact, chinese)) == english
    assert len(chinese) < 200 or text == "description"


def test_every_text_reads_well(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Each alert fires of itself, so that its templates are filled in by the real program."""
    wanted = yaml.safe_load(READ.read_text(encoding="utf-8"))
    assert list(wanted) == list(CHINESE)
    fires = {
        f'ehpc_fires{{alert="{name}", {CLUSTER}, queue="默认队列", {MORE_LABELS}}}': str(VALUES.get(name, 2))
        for name in CHINESE
    }  # fmt: skip
    rules = [
        {"alert": name, "expr": f'ehpc_fires{{alert="{name}"}}', "annotations": rule["annotations"]}
        for name, rule in CHINESE.items()
    ]
    labels = {
        "alert": "", "job": "ehpc", "instance": "a:10046", "cluster_name": "cfd", "queue": "默认队列",
        "account": "default", "user": "李娜", "role": "compute", "status": "stopped",
        "threshold": "wait_seconds",
    }  # fmt: skip
    test = {
        "rule_files": ["rules.yml"],
        "tests": [{
            "interval": "1m",
            "input_series": [
                {"series": series, "values": values if "x" in values else f"{values}x10"}
                for series, values in (SERIES | fires).items()
            ],
            "alert_rule_test": [
                {"alertname": name, "eval_time": "10m", "exp_alerts": [{
                    "exp_labels": labels | {"alert": name},
                    "exp_annotations": wanted[name]
                    | {"runbook_url": CHINESE[name]["annotations"]["runbook_url"]},
                }]}
                for name in CHINESE
            ],
        }],
    }  # fmt: skip
    (tmp_path / "rules.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "zh", "rules": rules}]}, allow_unicode=True)
    )
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test, allow_unicode=True))
    done = subprocess.run(
        [require_tool("promtool"), "test", "rules", tmp_path / "test.yml"],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
