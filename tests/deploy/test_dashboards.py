"""The dashboards: made by their code, typed as Grafana's, and every query finds data."""

import fcntl
import json
import math
import os
import re
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.generator import CHINESE, chinese, content, generate, looks
from deploy.grafana.generator import __main__ as generator
from deploy.grafana.generator.promql import longest_wait_or_none
from deploy.grafana.generator.texts_zh import TEXTS
from exporter.catalog import CATALOG, LAST_SYNC_SUCCESS, RELOAD_SUCCESS_TIMESTAMP
from tests.deploy.dashboard_files import (
    BOARDS,
    FILES,
    Query,
    columns_of,
    filled_in,
    panels,
    queries,
    selectors,
    variables,
)  # fmt: skip
from tests.deploy.dashboard_types import source_of
from tests.deploy.lively_cloud import BUSY_QUEUE, BUSY_USER, MAIN, OTHERS, USERS, LivelyCloud
from tests.deploy.made_history import write
from tests.deploy.rule_files import names_in, records, unknown
from tests.e2e.real_prometheus import fetch, scraping
from tests.e2e.running import Exporter, config_of
from tests.waiting import PATIENCE_SECONDS, until

Tool = Callable[[str], str]
Series = list[dict[str, Any]]

SHOWN_OTHERWISE = {LAST_SYNC_SUCCESS.name, RELOAD_SUCCESS_TIMESTAMP.name}
"""The moment of the counts says more than that of the last sync; of a reload, whether it went well."""
OF_PROMETHEUS = {
    "up", "scrape_samples_scraped", "scrape_duration_seconds", "process_resident_memory_bytes",
    "process_cpu_seconds_total",
}  # fmt: skip
ROOT = Path(__file__).parents[2]
SCHEMA_PACKAGES = ("@grafana/schema@13.2.2", "typescript@5.9.3")
SCHEMA = ROOT / "build/tools/grafana-schema-13.2.2"
PICTURES = ROOT / "docs/images"
LARGEST_PICTURE_BYTES = 400_000


EVERY_PANEL = [
    pytest.param(panel, id=f"{name.removesuffix('.json')}-{panel['title']}")
    for name, board in BOARDS.items()
    for panel in panels(board)
]


# The files


def test_the_files_are_what_their_code_makes() -> None:
    files = [*FILES, *CHINESE.glob("*.json")]
    assert {path: path.read_text(encoding="utf-8") for path in files} == generate()


def test_every_text_is_there_in_chinese_and_no_other() -> None:
    assert not chinese.unused(content())
    changed = content()
    changed["ehpc-overview.json"]["description"] += " One more sentence."
    with pytest.raises(chinese.MissingError, match=r"lacks:\nOne more sentence\."):
        chinese.translated(changed)


def test_a_missing_chinese_text_is_named_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no file is touched."""
    monkeypatch.delitem(TEXTS, "What comes and goes")
    before = {path: path.stat().st_mtime_ns for path in FILES}
    assert generator.main([]) == 1
    assert capsys.readouterr().err == "texts_zh.py lacks:\nWhat comes and goes\n"
    assert {path: path.stat().st_mtime_ns for path in FILES} == before


@pytest.mark.parametrize("name", BOARDS)
def test_the_chinese_dashboards_ask_the_same(name: str) -> None:
    """Of the fields of a panel the names are Chinese wherever they are named."""
    theirs = json.loads((CHINESE / name).read_text(encoding="utf-8"))
    ours = BOARDS[name]
    assert [queries_of(panel) for panel in panels(theirs)] == [
        queries_of(panel) for panel in panels(ours)
    ]
    assert [each["query"] for each in variables(theirs).values()] == [
        each["query"] for each in variables(ours).values()
    ]
    assert theirs["uid"] == ours["uid"]
    for panel in panels(theirs):
        assert re.search(r"[一-鿿]|^Exporter$", panel["title"])
        assert re.match(r"[^。]*？", panel["description"]), "a question first"
        assert named_fields(panel) <= fields(panel)


def queries_of(panel: Mapping[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def test_the_boards_are_there_and_each_has_a_name_of_its_own() -> None:
    assert [board["uid"] for board in BOARDS.values()] == [
        "ehpc-cluster", "ehpc-exporter", "ehpc-overview", "ehpc-usage",
    ]  # fmt: skip
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_panels_have_room(board: Mapping[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_panel_says_what_it_shows(panel: Mapping[str, Any]) -> None:
    assert re.match(r"[^.?]+\?", panel["description"]), "a question first"
    assert re.search(r"[.?]$", panel["description"])
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    units = [panel["fieldConfig"]["defaults"].get("unit")]
    if panel["type"] == "table":
        units = [value_of(panel, title, "unit") for title in value_titles(panel)]
    assert all(units), units


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_marks_of_short_times_differ(panel: Mapping[str, Any]) -> None:
    """With one decimal, each mark of an axis of waits below six minutes was 0.0 h or 0.1 h."""
    defaults = panel["fieldConfig"]["defaults"]
    if defaults.get("unit") == "suffix:h":
        assert "decimals" not in defaults


def value_titles(panel: Mapping[str, Any]) -> list[str]:
    """The titles of a table's columns of numbers."""
    return [title for field, title in columns_of(panel).items() if field.startswith("Value")]


def value_of(panel: Mapping[str, Any], name: str, setting: str) -> Any:
    """What an override sets for a field."""
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"] == {"id": "byName", "options": name}:
            for each in override["properties"]:
                if each["id"] == setting:
                    return each["value"]
    return None


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_what_is_set_for_a_field_is_set_for_one_that_is_there(panel: Mapping[str, Any]) -> None:
    """A slip in a name would go unnoticed: the column would merely lose its colour."""
    assert named_fields(panel) <= fields(panel)


def named_fields(panel: Mapping[str, Any]) -> set[str]:
    """Those that something is set for, or that are sorted by, or lead somewhere."""
    names = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["id"] == "byName"
    }
    names |= {each["displayName"] for each in panel["options"].get("sortBy", ())}
    return names | set(re.findall(r"__data\.fields\.(\w+)", json.dumps(panel, ensure_ascii=False)))


def fields(panel: Mapping[str, Any]) -> set[str]:
    if panel["type"] == "table":
        return set(columns_of(panel).values())
    there = {target["legendFormat"] for target in panel["targets"]}
    if there & {"{{status}}", "{{strategy}}"}:
        there |= set(looks.STATUS_COLOURS) | set(looks.STRATEGY_COLOURS)
    return there


@pytest.mark.parametrize("panel", EVERY_PANEL)
def test_a_status_has_one_colour(panel: Mapping[str, Any]) -> None:
    for status, colour in looks.STATUS_COLOURS.items():
        found = value_of(panel, status, "color")
        assert found is None or found["fixedColor"] == colour
    title = panel["title"].lower()
    if panel["type"] == "stat" and title.split()[-1] in {"pending", "waiting", "running"}:
        wanted = looks.RUNNING if "running" in title else looks.PENDING
        assert panel["fieldConfig"]["defaults"]["color"]["fixedColor"] == wanted


def test_links_lead_to_dashboards_that_understand_them() -> None:
    by_uid = {board["uid"]: board for board in BOARDS.values()}
    urls = set(re.findall(r'"url": "(/d/[^"]+)"', "".join(path.read_text() for path in FILES)))
    assert urls
    for url in urls:
        path, _, parameters = url.partition("?")
        target = by_uid[path.removeprefix("/d/")]
        given = set(re.findall(r"var-(\w+)=", parameters))
        assert given <= set(variables(target)), url
    for board in BOARDS.values():
        [link] = board["links"]
        assert link["type"] == "dashboards"
        assert all(set(link["tags"]) <= set(other["tags"]) for other in BOARDS.values())
        assert link["keepTime"]
        assert link["includeVars"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
def test_variables_can_be_all_and_are_used(board: Mapping[str, Any]) -> None:
    """All clusters are those that are left by the choice of an account, a zone, a label."""
    chosen = {name for name in variables(board) if name != "datasource"}
    asked = [each["query"] for each in variables(board).values() if each["type"] == "query"]
    text = json.dumps([*(panel["targets"] for panel in panels(board)), asked])
    for name in chosen:
        each = variables(board)[name]
        all_value = None if name == "cluster" else ".*"
        if name != "label":
            assert each["includeAll"]
            assert each["multi"]
            assert each.get("allValue") == all_value
        assert f"${name}" in text
    clusters = variables(board)["cluster"]["query"]["query"]
    assert set(re.findall(r"\$(\w+)", clusters)) == {"account", "zone", "label", "value"}
    used = set(re.findall(r"\$(\w+)", text)) - {"datasource"}
    assert {name for name in used if not name.startswith("__")} <= chosen


@pytest.mark.parametrize(
    ("record", "steps", "colour"),
    [
        ("ehpc:wait_seconds:threshold", looks.WAIT_STEPS, "red"),
        ("ehpc:failed_share:threshold", looks.FAILED_SHARE_STEPS, "red"),
        ("ehpc:quota_used_ratio:threshold", looks.QUOTA_STEPS, "yellow"),
    ],
)
def test_colours_warn_where_alerts_do(record: str, steps: looks.Steps, colour: str) -> None:
    found = re.fullmatch(r"vector\(([\d.* ]+)\)", records()[record].expression)
    assert found
    threshold = math.prod(float(factor) for factor in found[1].split("*"))
    assert [value for value, each in steps if each == colour] == [threshold]


# The queries


def test_queries_name_what_there_is() -> None:
    for query in queries():
        assert not unknown(names_in(query.expr) - {"ehpc"}), query
        names = {selector.partition("{")[0] for selector in selectors(query.expr)}
        assert {name for name in names if not name.startswith("ehpc_")} <= OF_PROMETHEUS, query


ADDED_UP = re.compile(
    r"\b(?:sum|count|avg)(?: by \([^)]*\))? ?\((?:(?:rate|increase)\()?(ehpc_\w+?)(?:_bucket)?\{"
)


def test_a_cluster_that_two_targets_report_is_not_there_twice() -> None:
    of_clusters = {metric.name for metric in CATALOG if "cluster_name" in metric.labels}
    for query in queries():
        assert not set(ADDED_UP.findall(query.expr)) & of_clusters, f"use promql.once: {query}"


def test_a_longest_wait_is_nothing_only_where_nobody_waits(
    tmp_path: Path, require_tool: Tool
) -> None:
    """Of one of the clusters it is not known since when its jobs wait."""
    pending = {"known": "4", "unknown": "5", "empty": "0"}
    series = [
        {"series": f'ehpc_jobs{{cluster_name="{name}", status="pending"}}', "values": jobs}
        for name, jobs in pending.items()
    ]
    oldest = 'ehpc_oldest_pending_submit_timestamp_seconds{cluster_name="known"}'
    series.append({"series": oldest, "values": "-600"})
    wanted = {"known": 600, "unknown": None, "empty": 0}
    asked = [
        {
            "expr": longest_wait_or_none(by, f'cluster_name="{name}"'),
            "eval_time": "0s",
            "exp_samples": []
            if seconds is None
            else [{"labels": f'{{{by}="{name}"}}' if by else "{}", "value": seconds}],
        }
        for name, seconds in wanted.items()
        for by in ("", "cluster_name")
    ]
    path = tmp_path / "wait.test.yml"  # JSON is YAML
    path.write_text(json.dumps({"tests": [{"input_series": series, "promql_expr_test": asked}]}))
    done = subprocess.run(
        [require_tool("promtool"), "test", "rules", path],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_on_some_dashboard() -> None:
    named = {name for query in queries() for name in names_in(query.expr)}
    missing = {
        metric.name
        for metric in CATALOG
        if not any(re.sub("_(bucket|sum)$", "", name) == metric.name for name in named)
    }
    assert missing == SHOWN_OTHERWISE, "give it a panel"


def test_every_query_finds_data(tmp_path: Path, require_tool: Tool) -> None:
    """Within a real Prometheus that scrapes the real exporter in a lively cloud."""
    prometheus = require_tool("prometheus")
    with LivelyCloud() as cloud:
        names = {"cfd": MAIN} | {f"other-{each[-3:]}": each for each in OTHERS}
        groups = tmp_path / "groups.csv"
        groups.write_text("".join(f"{user},group {user}\n" for user in USERS))
        labels = {"user": {"groups_file": str(groups)}}
        config = config_of(
            cloud.world.endpoint, names, state="state", capacity_interval="5s", labels=labels
        )
        with Exporter(tmp_path / "exporter", config) as exporter:
            jobs = f"- job_name: ehpc\n  static_configs: [{{targets: ['{exporter.address}']}}]\n"
            with scraping(prometheus, tmp_path, jobs) as address:
                missing = list(queries())
                until(lambda: not still_missing(address, missing), "every query to find data")
                assert_variables(address)
                assert_choice(address)


def still_missing(address: str, missing: list[Query]) -> list[Query]:
    """Takes those that find data off the list; what remains is printed when the test fails."""
    before = len(missing)
    missing[:] = [query for query in missing if not finds_data(address, query)]
    if len(missing) < before:
        print(f"{len(missing)} queries find nothing yet:", *missing[:5], sep="\n")
    return missing


def finds_data(address: str, query: Query, chosen: Mapping[str, str] | None = None) -> bool:
    """Whether each series that the query begins with is there, and so is what it makes of them,
    with all labels that the panel shows."""
    expr = filled_in(query.expr, chosen)
    if not all(ask(address, f"last_over_time({each}[1m])") for each in selectors(expr)):
        return False
    found = [each for each in ask(address, expr, instant=query.instant) if has_number(each)]
    assert all(set(query.labels) <= set(each["metric"]) for each in found), query
    return bool(found)


def has_number(series: Mapping[str, Any]) -> bool:
    values = series["values"] if "values" in series else [series["value"]]
    return any(math.isfinite(float(value)) for _, value in values)


def ask(address: str, expr: str, *, instant: bool = True) -> Series:
    now_at = time.time()
    parameters: dict[str, object] = {"query": expr, "time": now_at}
    if not instant:
        parameters = {"query": expr, "start": now_at - 30, "end": now_at, "step": "2s"}
    route = "query" if instant else "query_range"
    return list(answer(f"{address}/api/v1/{route}?{urllib.parse.urlencode(parameters)}")["result"])


def answer(url: str) -> Any:
    found = json.loads(fetch(url))
    assert found["status"] == "success"
    return found["data"]


def assert_variables(address: str) -> None:
    """Each offers the values that there are."""
    for board in BOARDS.values():
        for name, each in variables(board).items():
            if each["type"] == "datasource":
                continue
            query = filled_in(each["query"]["query"], {"label": "cluster_id"})
            asked = re.fullmatch(r"label_(?:values\((.+), (\w+)\)|names\((\w+)\))", query)
            assert asked, each
            match = urllib.parse.urlencode({"match[]": asked[1] or asked[3]})
            where = f"label/{asked[2]}/values" if asked[2] else "labels"
            values = answer(f"{address}/api/v1/{where}?{match}")
            assert values, name
            expected = {
                "label": "cluster_id",
                "cluster": "cfd",
                "queue": BUSY_QUEUE,
                "user": BUSY_USER,
            }
            assert expected.get(name, values[0]) in values


def assert_choice(address: str) -> None:
    """With one cluster, queue and user chosen, all queries but those of the rest find data."""
    chosen = {"cluster": "cfd", "queue": BUSY_QUEUE, "user": BUSY_USER}
    for query in queries():
        if query.board == "ehpc-cluster.json" and " unless " not in query.expr:
            assert finds_data(address, query, chosen), query


# The types


@pytest.fixture(scope="session")
def tsc(require_tool: Tool) -> Callable[..., str]:
    """Check sources against Grafana's types; gives what is wrong with them."""
    SCHEMA.mkdir(parents=True, exist_ok=True)
    with (SCHEMA / "lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (SCHEMA / "installed").exists():
            npm = [require_tool("npm"), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(
                [*npm, *SCHEMA_PACKAGES], cwd=SCHEMA, capture_output=True, text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )  # fmt: skip
            if done.returncode and not os.environ.get("CI"):
                pytest.skip(f"Grafana's types cannot be had: {done.stderr}")
            assert done.returncode == 0, done.stderr
            (SCHEMA / "installed").touch()
    return check_types


def check_types(*sources: str) -> str:
    with tempfile.TemporaryDirectory(dir=SCHEMA) as directory:
        names = [f"{Path(directory).name}/{number}.ts" for number in range(len(sources))]
        for name, source in zip(names, sources, strict=True):
            # The paths in it are those of the directory above.
            text = source.replace("'./node_modules/", "'../node_modules/")
            (SCHEMA / name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
             "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", *names],
            cwd=SCHEMA, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    return done.stdout + done.stderr


def test_files_have_grafanas_types(tsc: Callable[..., str]) -> None:
    assert tsc(*(source_of(board) for board in BOARDS.values())) == ""


def test_wrong_types_are_found(tsc: Callable[..., str]) -> None:
    text = json.dumps(BOARDS["ehpc-overview.json"])
    slips = {
        '"showLegend": true': '"showLegend": "yes"',
        '"graphMode"': '"graphMood"',
        '"fixedColor"': '"fixedColour"',
        '"type": "gauge"': '"type": "gouge"',
        '"refresh": 2': '"refresh": "2"',
    }
    for right, wrong in slips.items():
        assert right in text
        text = text.replace(right, wrong, 1)
    said = tsc(source_of(json.loads(text)))
    assert len(re.findall(r"error TS", said)) == len(slips), said


# The pictures


def test_a_made_up_past_can_be_imported(tmp_path: Path, require_tool: Tool) -> None:
    """What the pictures are drawn from."""
    past = tmp_path / "past.txt"
    assert write(past, clusters=2, hours=0.2, now_at=1_700_000_000) > 1000
    done = subprocess.run(
        [require_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", past, tmp_path],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("*/meta.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_there_is_a_picture(path: Path) -> None:
    picture = PICTURES / f"dashboard-{path.stem.removeprefix('ehpc-')}.png"
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < LARGEST_PICTURE_BYTES
