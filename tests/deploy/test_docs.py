"""The pages say what is so: names, numbers, links, queries."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from docs import generate_configuration
from docs.generate_metrics import SECTIONS, page
from exporter.catalog import CATALOG
from exporter.cli.projection import project
from exporter.config import load_config
from exporter.daemon.watch import SYNC_REASONS
from tests.deploy.doc_queries import queries_of
from tests.deploy.rule_files import (
    OPERATIONS,
    OPERATIONS_ZH,
    ROOT,
    anchors,
    names_in,
    records,
    unknown,
)

METRICS = ROOT / "docs/metrics.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_the_page_of_metrics_is_the_catalogs() -> None:
    assert METRICS.read_text() == page(), "run make docs"


def test_the_page_of_the_configuration_is_that_of_its_types() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert text == generate_configuration.page(), "run make docs"
    for told in ('`include` | `[".*"]`', "| `zone` | needed |", "## clusters[].queues.NAME"):
        assert told in text


def test_every_metric_is_in_one_section() -> None:
    listed = [metric.name for section in SECTIONS for metric in section.metrics]
    assert Counter(listed) == Counter(metric.name for metric in CATALOG), (
        "each in one section of docs/generate_metrics.py"
    )


@pytest.mark.parametrize(
    "path",
    [path for path in PAGES if path.name != "CONTRIBUTING.md"],  # whose examples are not there
    ids=lambda path: path.name,
)
def test_pages_name_what_there_is(path: Path) -> None:
    text = path.read_text()
    names = {name for query in queries_of(text) for name in names_in(query)}
    for code in re.findall(r"`([^`\n]+)`", text):
        names |= {name for name in names_in(code) if name.startswith("ehpc_") or ":" in name}
    families = {metric.name for metric in CATALOG}
    shortened = {name for name in names if name.endswith("_")}  # as in ehpc_jobs_*_total
    assert all(any(known.startswith(name) for known in families) for name in shortened)
    assert not unknown(names - shortened - families)


def test_pages_that_mention_a_wrong_name_are_found() -> None:
    assert unknown(names_in(queries_of("```promql\nrate(ehpc_jbos[5m])\n```")[0])) == {"ehpc_jbos"}


def test_a_query_that_joins_a_sum_is_in_a_block_which_is_run() -> None:
    """A sum has other labels than a family: only a Prometheus that scrapes both shows whether they match."""
    for path in PAGES:
        for code in re.findall(r"`([^`\n]*ehpc_[^`\n]*)`", path.read_text()):
            assert not re.search(r"\) (?:[-+*/%]|and|or|unless) ", code), (path.name, code)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text()):
        name, _, fragment = target.partition("#")
        goal = (path.parent / name) if name else path
        assert goal.exists(), target
        if fragment:
            assert anchors(goal.read_text()).count(fragment) == 1, target


def test_files_that_the_pages_name_are_there() -> None:
    for path in PAGES:
        for name in re.findall(r"`((?:deploy|docs|exporter|tests)/[\w./-]+)`", path.read_text()):
            assert (ROOT / name).exists(), f"{path.name}: {name}"


@pytest.mark.parametrize(
    ("path", "heading"), [(OPERATIONS, "Reasons of failures"), (OPERATIONS_ZH, "失败原因")],
    ids=["en", "zh"],
)  # fmt: skip
def test_every_reason_of_a_failure_is_explained(path: Path, heading: str) -> None:
    section = path.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    explained = [reason for row in rows for reason in re.findall(r"`(\w+)`", row)]
    assert sorted(explained) == sorted(set(SYNC_REASONS))


def test_the_chinese_guide_has_what_the_english_one_has() -> None:
    """The same tables, queries, commands and names in code, section by section; in Chinese."""
    pages = [path.read_text(encoding="utf-8") for path in (OPERATIONS, OPERATIONS_ZH)]
    english, chinese = ([part for part in re.split(r"(?m)^#+ ", page) if part] for page in pages)
    assert len(english) == len(chinese)
    for ours, theirs in zip(english, chinese, strict=True):
        title = theirs.partition("\n")[0]
        assert title == ours.partition("\n")[0] or re.search(r"[一-鿿]", title)
        assert ours.count("\n| ") == theirs.count("\n| "), title
        assert queries_of(ours) == queries_of(theirs), title
        commands = (re.findall(r"(?m)^ {4,}(\S[^#\n]*\S)", each) for each in (ours, theirs))
        assert next(commands) == next(commands), title
        assert names_in_code(ours) ^ names_in_code(theirs) <= ELSEWHERE, title


def names_in_code(text: str) -> set[str]:
    prose = re.sub(r"(?s)```.*?```", "", text)
    return {" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)}


ELSEWHERE = {"rules/ehpc-alerts.yml", "/docs/operations", "/docs/operations.zh-CN"}
"""Each guide names what is its own language's."""


def test_every_threshold_that_the_pages_name_is_there() -> None:
    for path in PAGES:
        for name in re.findall(r"`(ehpc:\w+:threshold)`", path.read_text()):
            assert name in records(), f"{path.name}: {name}"


def sizing() -> list[tuple[str, str, int]]:
    """The table of clusters by interval and share."""
    section = OPERATIONS.read_text().partition("\n### Calls\n")[2].partition("\n### ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    shares = [cell.removeprefix("share ") for cell in rows[0][1:]]
    return [
        (row[0], share, int(number))
        for row in rows[2:]
        for share, number in zip(shares, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("interval", "share", "clusters"), sizing())
def test_so_many_clusters_fit(interval: str, share: str, clusters: int, tmp_path: Path) -> None:
    assert fits(tmp_path, interval, share, clusters)
    assert not fits(tmp_path, interval, share, clusters + 1)


def fits(directory: Path, interval: str, share: str, clusters: int) -> bool:
    path = directory / "config.yaml"
    config = {
        "accounts": [
            {
                "endpoint": "https://hpc.example.com",
                "access_key_id": "KEY",
                "secret_access_key": "secret",
                "quota": {"share": float(share)},
            }
        ],
        "clusters": [
            {"cluster_id": f"ehpc-{number:08d}", "zone": "jn1a"} for number in range(clusters)
        ],
        "collection": {"interval": interval},
    }
    path.write_text(yaml.safe_dump(config))
    (cost,) = project(load_config(path, {}))
    return cost.fits
