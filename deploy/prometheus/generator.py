"""Writes the rule files that are made of something else::

    python -m deploy.prometheus.generator          writes them anew
    python -m deploy.prometheus.generator --check  says which of them are not what this code makes

``rules/ehpc-alerts.yml`` and ``rules-zh/ehpc-alerts.yml`` are made of ``alerts.yml``, which has every text
in both languages; ``rules/ehpc-in-force.yml`` of the lists below.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "alerts.yml"

LANGUAGES = {"en": ("rules", "operations.md"), "zh": ("rules-zh", "operations.zh-CN.md")}
"""The directory of each language's alerts, and the page with their runbooks."""
ADDRESS = "http://localhost:10046/docs"

BY_QUEUE = (
    "backlog_hours", "backlog_growth_hours", "backlog_least_jobs", "wait_seconds", "wait_usual_factor",
    "usual_starts_an_hour", "user_share", "user_backlog_hours", "wait_with_cores_free_seconds",
    "queue_full_ratio", "failed_share", "failed_usual_factor", "failed_least_jobs",
)  # fmt: skip
"""Thresholds that may be another for a cluster, or for a queue of a cluster."""
BY_CLUSTER = ("data_age_seconds", "data_age_intervals", "corrected_jobs")
"""Those that may be another for a cluster: their alerts know no queue."""
BY_ACCOUNT = ("quota_used_ratio",)
"""Those that may be another for an account."""

IN_FORCE_HEAD = """\
# Made by deploy/prometheus/generator.py: `make rules`.
# The threshold in force for each queue, cluster or account: what ehpc-overrides.yml says for the queue,
# else what it says for the cluster, else what ehpc-thresholds.yml says for all. Where one is said twice,
# the lowest counts.
groups:
  - name: ehpc-in-force
    rules:
      - record: cluster_queue:ehpc_queues:group
        expr: group by (job, cluster_name, queue) (ehpc_jobs_submitted_total or ehpc_jobs or ehpc_queue_cores)
"""

QUEUE_RULE = """\
      - record: cluster_queue:ehpc_{name}:threshold
        expr: |
          cluster_queue:ehpc_queues:group * on (cluster_name, queue) group_left ()
            min by (cluster_name, queue) (ehpc:{name}:threshold{{cluster_name!="", queue!=""}})
          or cluster_queue:ehpc_queues:group * on (cluster_name) group_left ()
            min by (cluster_name) (ehpc:{name}:threshold{{cluster_name!="", queue=""}})
          or cluster_queue:ehpc_queues:group * on () group_left ()
            min(ehpc:{name}:threshold{{cluster_name="", queue="", account=""}})
"""

OTHER_RULE = """\
      - record: {level}:ehpc_{name}:threshold
        expr: |
          group by (job, {label}) ({known}) * on ({label}) group_left ()
            min by ({label}) (ehpc:{name}:threshold{{{label}!="", queue=""}})
          or group by (job, {label}) ({known}) * on () group_left ()
            min(ehpc:{name}:threshold{{cluster_name="", queue="", account=""}})
"""


def in_force() -> str:
    """The rules that choose the most special threshold."""
    return IN_FORCE_HEAD + "".join(
        [
            *(QUEUE_RULE.format(name=name) for name in BY_QUEUE),
            *(
                OTHER_RULE.format(
                    name=name, level="cluster", label="cluster_name", known="ehpc_cluster_info"
                )
                for name in BY_CLUSTER
            ),
            *(
                OTHER_RULE.format(
                    name=name, level="account", label="account", known="ehpc_api_quota_requests"
                )
                for name in BY_ACCOUNT
            ),
        ]
    )


def alerts(language: str) -> str:
    """The alerts with their texts in a language."""
    return "\n".join(
        ["# Made of deploy/prometheus/alerts.yml: `make rules`.", *_in_language(language), ""]
    )


def _in_language(language: str) -> Iterator[str]:
    """The lines of the source that this language has, without their marks."""
    page = LANGUAGES[language][1]
    source = SOURCE.read_text(encoding="utf-8").rstrip("\n")
    head, mark, rules = source.partition("groups:\n")
    own = f"# {language}:"
    yield from (f"#{line.removeprefix(own)}" for line in head.splitlines() if line.startswith(own))
    yield mark.strip()
    for block in re.split(r"\n(?=\n)", rules):
        name = ""
        wanted = True
        for line in block.splitlines():
            name = (
                line.removeprefix("      - alert: ") if line.startswith("      - alert: ") else name
            )
            text = re.match(r"( {10})(summary|description)(?:\.(\w+))?:", line)
            if text:
                wanted = (text[3] or "en") == language
            if wanted or not line.startswith(" " * 10):
                yield line.replace(f".{text[3]}:", ":", 1) if text and text[3] else line
        if name:
            yield f"          runbook_url: {ADDRESS}/{page}#{name.lower()}"


def generate() -> dict[Path, str]:
    """The text of each file, by its path."""
    made = {HERE / LANGUAGES[each][0] / "ehpc-alerts.yml": alerts(each) for each in LANGUAGES}
    return made | {HERE / "rules/ehpc-in-force.yml": in_force()}


def main(arguments: list[str]) -> int:
    """Gives the exit code: 1 when a check finds a difference."""
    texts = generate()
    differing = [
        path for path, text in texts.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]  # fmt: skip
    if arguments == ["--check"]:
        sys.stdout.writelines(f"not up to date: {path.relative_to(HERE)}\n" for path in differing)
        return 1 if differing else 0
    for path in differing:
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
