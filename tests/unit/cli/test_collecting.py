"""What collect prints, on any terminal: tables, failures with what to do, and what all would cost."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.cli import main
from exporter.cli.collecting import failure_lines, progress_on, write_table
from exporter.errors import RefusedError
from exporter.model import ClusterIdentity
from exporter.snapshot import ClusterSnapshot, ClusterState, JobCount, QueueMoment, SyncFailure
from exporter.texts import Words
from tests.unit.cli.conftest import Terminal

from .conftest import FakeDaemon


def good(name: str = "cfd", queue: str = "默认队列") -> ClusterState:
    snapshot = ClusterSnapshot(
        taken_at=1_700_000_000,
        counts=(
            JobCount("pending", queue, "ann", 1200, 4800),
            JobCount("running", queue, "ann", 7, 28),
            JobCount("suspended", queue, "bob", 2, 8),
            JobCount("finished", queue, "bob", 41, 0),
            *(JobCount("running", f"q{number:02}", "ann", 1, 1) for number in range(12)),
        ),
        oldest_pending=(QueueMoment(queue, 1_700_000_000 - 5400),),
        history_complete=True,
        history_known=41,
        history_expected=41,
    )
    return ClusterState(
        ClusterIdentity(name, "ehpc-1", "jinan1a", "default"),
        tried=True, snapshot=snapshot, last_success_at=1_700_000_000, strategy="scan",
    )  # fmt: skip


def bad(name: str = "fea") -> ClusterState:
    failure = SyncFailure(
        "authentication", "the key was\nrefused", "check access_key_id", 1_700_000_000
    )
    return ClusterState(
        ClusterIdentity(name, "ehpc-2", "jinan1a", "default"), tried=True, failure=failure
    )


def test_table(daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.states = {"cfd": good()}
    assert main(["collect", f"--config.file={config_file}", "--cluster=cfd"]) == 0
    assert daemon.collected == [["cfd"]]
    out, err = capsys.readouterr()
    assert err == ""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    assert ["cfd", "1,200", "19", "41", "0", "0", "2", "40", "4,800", "1h30m"] in cells
    assert ["默认队列", "1,200", "7", "2"] in cells
    assert "cfd: active jobs by queue (the busiest 10 of 13)" in out
    assert ["q08", "0", "1", "0"] in cells
    assert "q09" not in out


@pytest.mark.parametrize(
    ("waits_seconds", "shown"),
    [(90_061, "1d1h"), (3661, "1h1m"), (3599, "59m59s"), (3600, "1h"), (-5, "0s")],
)
def test_waits_are_told_to_their_two_largest_units(waits_seconds: float, shown: str) -> None:
    snapshot = ClusterSnapshot(
        taken_at=1e9, counts=(), oldest_pending=(QueueMoment("q", 1e9 - waits_seconds),)
    )
    stream = io.StringIO()
    write_table(
        {"cfd": ClusterState(good().identity, tried=True, snapshot=snapshot)}, stream, Words("en")
    )
    assert f" {shown} │" in stream.getvalue()


def test_a_narrow_terminal_cuts_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    state = good()
    assert state.snapshot is not None
    many = replace(state.snapshot, taken_at=state.snapshot.taken_at + 9 * 86_400)
    stream = Terminal()
    write_table({"ehpc-qmmvigwe": replace(state, snapshot=many)}, stream, Words("en"))
    shown = stream.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("cancelled", "1,200", "4,800", "9d1h"):
        assert word in shown


def test_history_that_is_not_complete_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    state = good()
    snapshot = ClusterSnapshot(
        taken_at=0, counts=(JobCount("pending", "q", "u", 1, 1),), oldest_pending=()
    )
    stream = io.StringIO()
    write_table(
        {"cfd": ClusterState(state.identity, tried=True, snapshot=snapshot)}, stream, Words("en")
    )
    cells = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in stream.getvalue().splitlines()
    ]
    assert ["cfd", "1", "0", "-", "-", "-", "-", "0", "1", "-"] in cells


def test_a_failure_is_told_with_what_to_do(
    daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.states = {"cfd": good(), "fea": bad()}
    assert main(["collect", f"--config.file={config_file}"]) == 1
    assert daemon.collected == [["cfd", "fea"]]
    assert not daemon.full
    out, err = capsys.readouterr()
    assert "failed" in out
    assert err == (
        "fea: authentication: the key was\\nrefused\n    what to do: check access_key_id\n"
    )


@pytest.mark.parametrize(
    ("clusters", "who"),
    [
        (1, "c0"),
        (3, "c0, c1, c2"),
        (40, "account default, 40 clusters"),
    ],
)
def test_one_failure_of_many_clusters_is_told_once(clusters: int, who: str) -> None:
    states = {f"c{n}": replace(bad(f"c{n}"), tried=n == 0) for n in range(clusters)}
    other = replace(bad("x"), failure=SyncFailure("not_found", "no such resource", "", 0.0))
    elsewhere = replace(bad("y"), identity=ClusterIdentity("y", "ehpc-3", "z", "other"))
    assert failure_lines(states | {"x": other, "y": elsewhere}, Words("en")) == [
        f"{who}: authentication: the key was\\nrefused",
        "    what to do: check access_key_id",
        "x: not_found: no such resource",
        "y: authentication: the key was\\nrefused",
        "    what to do: check access_key_id",
    ]


def test_what_the_whole_would_cost(
    daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = good("默认集群").snapshot
    assert part is not None
    part = replace(part, history_complete=False, history_expected=30_700)
    daemon.states = {
        "cfd": replace(good(), snapshot=replace(part, history_expected=None)),
        "默认集群": replace(good("默认集群"), snapshot=part),
    }
    config_file.write_text(config_file.read_text().replace("name: fea", "name: 默认集群"))
    daemon.whole_calls = {"cfd": None, "默认集群": 313}
    assert main(["collect", f"--config.file={config_file}"]) == 0
    assert capsys.readouterr().out.endswith(
        """
To count ended jobs, the whole list has to be read, with --full:
  cfd       number of calls unknown: the server does not report the length of its list
  默认集群  30,700 jobs, about 313 calls
  account default: 958 of the 1,000 calls in its share are left
"""
    )


def test_full(daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.states = {"cfd": good(), "fea": good("fea")}
    assert main(["collect", f"--config.file={config_file}", "--full"]) == 0
    assert daemon.full
    assert "--full" not in capsys.readouterr().out


def test_what_a_terminal_cannot_show_is_replaced(
    daemon: FakeDaemon, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.states = {"cfd": good(), "fea": replace(bad(), failure=SyncFailure("x", "拒绝", "", 0))}
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    assert main(["collect", f"--config.file={config_file}"]) == 1
    for stream, shown in ((out, "| ????"), (err, "fea: x: ??")):
        stream.seek(0)
        assert shown in stream.read()


def test_exposition_text(
    daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.states = {"cfd": good(queue='a "b"\\\n')}
    assert main(["collect", f"--config.file={config_file}", "--format=prometheus"]) == 0
    families = {f.name: f for f in text_string_to_metric_families(capsys.readouterr().out)}
    jobs = {
        (sample.labels["status"], sample.labels["queue"]): sample.value
        for sample in families["ehpc_jobs"].samples
    }
    assert jobs["pending", 'a "b"\\\n'] == 1200
    assert sum(jobs.values()) == 1262
    assert families["ehpc_up"].samples[0].value == 1


def test_an_unknown_cluster(
    daemon: FakeDaemon, config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["collect", f"--config.file={config_file}", "--cluster=cdf"]) == 2
    assert capsys.readouterr().err == "--cluster: no cluster is named cdf; known: cfd, fea\n"
    assert not daemon.collected


def test_names_cannot_steer_the_terminal() -> None:
    stream = io.StringIO()
    write_table({"x": good("[red]x\x1b[31m\n", "[bold]\x1b]0;title\x07")}, stream, Words("en"))
    shown = stream.getvalue()
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[bold]\\u001b]0;title\\u0007" in shown


def test_progress_is_shown_to_people_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        with progress_on(stream, Words("en")) as progressing:
            progressing("[red]cfd", 0, None)
            progressing("[red]cfd", 150, 200)
        assert ("[red]cfd" in stream.getvalue()) is shown
        assert ("150/200" in stream.getvalue()) is shown


@pytest.mark.parametrize(("language", "do"), [("en", "    what to do: "), ("zh", "    处理建议：")])
def test_where_no_cluster_can_be_listed_it_says_what_to_do(
    config_file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    do: str,
) -> None:
    def refuse(*_: object) -> None:
        raise RefusedError(1200, "authentication", "no", retryable=False, advice="Try again.")

    monkeypatch.setattr("exporter.daemon.discovery.found_now", refuse)
    assert main(["collect", f"--config.file={config_file}", f"--lang={language}"]) == 1
    assert capsys.readouterr().err == f"ehpc-exporter: no\n{do}Try again.\n"
