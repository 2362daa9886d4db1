"""The command doctor: whom it looks at, what it prints and writes, and its exit codes."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.cli.doctor.command import progress_on
from exporter.cli.doctor.page import failure_lines, write_page
from exporter.daemon.findings import Findings
from exporter.simulator import DOCUMENTED, parse_dialect, parse_fleet
from exporter.texts import Words
from tests.unit.daemon.patients import Surgery

from .conftest import FakeDaemon, Terminal

KEYS = {"EHPC_ACCESS_KEY_ID": "KEYID", "EHPC_SECRET_ACCESS_KEY": "hush-hush"}
FLAGS = ["doctor", "--endpoint=https://hpc.api.example.com", "--zone=jinan1a"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG", *KEYS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def found() -> Findings:
    """Of one cluster that is as documented, one that is not, and one that is not there."""
    surgery = Surgery(DOCUMENTED, parse_dialect("console,extra_fields=yes"), jobs=2000, active=60)
    surgery.wire.server_ahead_seconds = 12.0
    return surgery.diagnose("ehpc-0", "ehpc-1", "ehpc-2")


@pytest.fixture(scope="module")
def good() -> Findings:
    return Surgery(DOCUMENTED, jobs=50, active=5).diagnose("ehpc-0")


def page(found: Findings, language: str = "en", stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    write_page(found, Words(language), stream)  # type: ignore[arg-type]
    return stream.getvalue()


def test_all_is_right(
    daemon: FakeDaemon, good: Findings, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.findings = good
    assert main([*FLAGS, "--cluster-id=ehpc-0"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("This makes at most 25 calls")
    assert "keys           accepted" in out
    assert err == ""
    config, account = daemon.diagnosed[0]
    assert [(each.name, each.zone) for each in config.clusters] == [("ehpc-0", "jinan1a")]
    assert config.state.path is None
    assert account.access_key_id == "KEYID"
    assert account.secret_access_key.reveal() == "hush-hush"


def test_without_an_id_all_that_the_cloud_lists(
    daemon: FakeDaemon, good: Findings, keys: None
) -> None:
    daemon.findings = good
    assert main(FLAGS) == 0
    ((config, account),) = daemon.diagnosed
    assert config.clusters == ()
    assert account.discovery is not None
    assert account.discovery.zones == ("jinan1a",)


def test_what_failed_is_told_once_with_advice_and_the_exit_code(
    daemon: FakeDaemon, found: Findings, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.findings = found
    assert main([*FLAGS, "--cluster-id=ehpc-0"]) == 1
    out, err = capsys.readouterr()
    assert err == (
        "ehpc-2: not_found: the API refused the call with code 2100 (no such resource):"
        " ResourceNotFound, cluster [ehpc-2] not found\n"
        "    what to do: Check the cluster's cluster_id and zone, and that the account's keys belong"
        " to its owner.\n"
    )
    assert "It could not be read (not_found); the cause is below." in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "config.yaml"),
        (["--endpoint=https://x.example", "--zone=z"], "EHPC_ACCESS_KEY_ID is not set"),
        (["--endpoint=https://x.example"], "--zone: needed with --endpoint, as jinan1a"),
        (["--endpoint=ftp://x", "--zone=z"], "--endpoint: must be a URL such as https://"),
        (
            ["--endpoint=https://x.example", "--zone=a b"],
            '--zone: "a b" must not be empty or contain',
        ),
        (["--endpoint=https://x.example", "--zone=z", "--cluster=c"], "--cluster: names one of a"),
        (["--endpoint=https://x.example", "--zone=z", "--account=a"], "--account: names one of a"),
        (["--zone=z"], "--zone: goes with --endpoint"),
        (["--cluster-id=c"], "--cluster-id: goes with --endpoint"),
    ],
)
def test_flags_that_are_wrong(
    daemon: FakeDaemon,
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *arguments]) == 2
    out, err = capsys.readouterr()
    assert complaint in err
    assert out == ""
    assert not daemon.diagnosed


def test_keys_are_no_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    flags = re.findall(r"--[\w.-]+", capsys.readouterr().out)
    assert "--endpoint" in flags
    assert not [flag for flag in flags if "key" in flag or "secret" in flag]


def test_a_dollar_in_a_flag_is_a_dollar(daemon: FakeDaemon, good: Findings, keys: None) -> None:
    daemon.findings = good
    assert main([*FLAGS, "--cluster-id=ehpc-${HOME}"]) == 0
    assert [each.cluster_id for each in daemon.diagnosed[0][0].clusters] == ["ehpc-${HOME}"]


def test_the_clusters_of_a_configuration(
    daemon: FakeDaemon, good: Findings, config_file: Path
) -> None:
    daemon.findings = good
    assert main(["doctor", f"--config.file={config_file}"]) == 0
    assert main(["doctor", f"--config.file={config_file}", "--cluster=fea"]) == 0
    names = [[each.name for each in config.clusters] for config, _ in daemon.diagnosed]
    assert names == [["cfd", "fea"], ["fea"]]


TWO_ACCOUNTS = """\
accounts:
  - {name: one, endpoint: https://a.example.com, access_key_id: A, secret_access_key: hush-one}
  - {name: two, endpoint: https://b.example.com, access_key_id: B, secret_access_key: hush-two}
clusters:
  - {name: cfd, account: one, cluster_id: ehpc-1, zone: jinan1a}
  - {name: fea, account: two, cluster_id: ehpc-2, zone: jinan1a}
"""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--account=two"], ("two", ["fea"])),
        (["--cluster=cfd"], ("one", ["cfd"])),
        ([], "--account: needed, as there are several: one, two"),
        (["--account=three"], "--account: no account is named three; known: one, two"),
        (["--account=two", "--cluster=cfd"], "--cluster: no cluster is named cfd; known: fea"),
        (["--cluster=x"], "--cluster: no cluster is named x; known: cfd, fea"),
    ],
)
def test_one_account_of_several(
    daemon: FakeDaemon,
    good: Findings,
    config_file: Path,
    arguments: list[str],
    told: str | tuple[str, list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config_file.write_text(TWO_ACCOUNTS)
    daemon.findings = good
    code = main(["doctor", f"--config.file={config_file}", *arguments])
    if isinstance(told, str):
        assert (code, capsys.readouterr().err) == (2, f"{told}\n")
        return
    ((config, account),) = daemon.diagnosed
    assert (account.name, [each.name for each in config.clusters]) == told


SEARCHED = """\
accounts:
  - endpoint: https://a.example.com
    access_key_id: A
    secret_access_key: hush-one
    discovery: {zones: [jinan1a], include: [ehpc-.*], exclude: [ehpc-9]}
clusters:
  - {name: cfd, cluster_id: ehpc-1, zone: jinan1a}
"""


@pytest.mark.parametrize(
    ("arguments", "configured", "looked_for", "passed_over"),
    [
        ([], ["cfd"], "ehpc-2", "hpc-3"),
        (["--cluster=cfd"], ["cfd"], "", "ehpc-2"),
        (["--cluster=ehpc-2"], [], "ehpc-2", "ehpc-3"),
        (["--cluster=cfd", "--cluster=ehpc-2"], ["cfd"], "ehpc-2", "ehpc-9"),
    ],
)
def test_found_clusters_beside_those_of_the_configuration(
    daemon: FakeDaemon,
    good: Findings,
    config_file: Path,
    arguments: list[str],
    configured: list[str],
    looked_for: str,
    passed_over: str,
) -> None:
    config_file.write_text(SEARCHED)
    daemon.findings = good
    assert main(["doctor", f"--config.file={config_file}", *arguments]) == 0
    ((config, account),) = daemon.diagnosed
    assert [each.name for each in config.clusters] == configured
    assert config.accounts == (account,)
    assert account.discovery is not None
    assert account.discovery.wants(looked_for) == bool(looked_for)
    assert not account.discovery.wants(passed_over)


def test_the_report(
    daemon: FakeDaemon,
    found: Findings,
    keys: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    daemon.findings = found
    path = tmp_path / "report.json"
    assert main([*FLAGS, f"--report={path}"]) == 1
    assert f"The report is in {path}" in capsys.readouterr().out
    report = json.loads(path.read_text(encoding="utf-8"))
    assert [each["cluster_id"] for each in report["clusters"]] == ["ehpc-1", "ehpc-2", "ehpc-3"]
    assert report["failures"] == [{"clusters": ["ehpc-3"], "reason": "not_found", "ret_code": 2100}]
    assert report["clusters"][1]["traits"]["order"] == "submission"


def test_a_report_that_cannot_be_written_costs_no_call(
    daemon: FakeDaemon, keys: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nowhere" / "report.json"
    assert main([*FLAGS, f"--report={path}"]) == 2
    assert capsys.readouterr().err == (
        f"--report: {path} cannot be written: No such file or directory\n"
    )
    assert not daemon.diagnosed


def test_a_report_that_does_not_fit_on_the_disk_is_named_and_all_else_is_told(
    daemon: FakeDaemon, found: Findings, keys: None, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.findings = found
    assert main([*FLAGS, "--report=/dev/full"]) == 1
    out, err = capsys.readouterr()
    assert "The report is in" not in out
    first, *_, last = err.splitlines()
    assert first.startswith("ehpc-2: not_found: ")
    assert last == "--report: /dev/full cannot be written: No space left on device"


def test_it_speaks_the_language_of_the_environment_or_of_its_flag(
    daemon: FakeDaemon,
    good: Findings,
    keys: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon.findings = good
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert main(FLAGS) == 0
    assert capsys.readouterr().out.startswith("最多调用 25 次")
    assert main([*FLAGS, "--lang=en"]) == 0
    assert capsys.readouterr().out.startswith("This makes at most 25 calls")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_page_in_a_pipe(found: Findings, language: str) -> None:
    shown = page(found, language)
    lines = shown.splitlines()
    assert not [line for line in lines if line != line.rstrip()]
    assert "\x1b" not in shown
    assert "{" not in shown
    wanted = {
        "en": ("12 s behind the server's", "by last change", "by submission", "delta: the head"),
        "zh": ("比服务端慢 12 秒", "按最近变更", "按提交时间", "delta：列表开头"),
    }[language]
    assert not [word for word in wanted if word not in shown]
    for name in ("ehpc-0", "ehpc-1", "ehpc-2", "gpu_limit", "submitted_time"):
        assert name in shown
    if language == "zh":
        sentences = re.findall(r"[a-z]+ [a-z]+ [a-z]+", shown)
        assert not sentences


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_breaks_within_the_name_of_a_field(good: Findings, language: str) -> None:
    (cluster,) = good.clusters
    assert cluster.shape is not None
    assert set(cluster.shape.record) <= set(re.findall(r"\w+", page(good, language)))


@pytest.mark.parametrize(
    ("language", "line"),
    [("en", "capacity: its state: active; queues: 22; nodes: the account may not query this; what is free"),
     ("zh", "容量：集群状态：active；队列：22 个；节点：账户无权查询；队列空闲：未查询，或未全部查询")],
)  # fmt: skip
def test_capacity_is_a_line_and_a_table(language: str, line: str) -> None:
    surgery = Surgery(DOCUMENTED, jobs=50, active=0)
    surgery.cloud.fleet = parse_fleet("forbidden=nodes")
    plant = surgery.cloud.clusters["ehpc-0"].plant
    for number in range(22):
        plant.add_queue(f"queue-{number}", cores=1064, gpus=7 if number == 3 else 0)
    shown = page(
        surgery.diagnose("ehpc-0", capacity_interval="10m", budget=surgery.budget(9)), language
    )
    assert line in shown
    rows = [re.split(r"[ │|]+", each)[1:-1] for each in shown.splitlines() if "queue-" in each]
    assert rows[0] == ["queue-0", "1,064", "1,064", "0", "0"]
    assert rows[3] == ["queue-3", "1,064", "1,064", "7", "7"]
    assert rows[19] == ["queue-19", "1,064", "–", "0", "–"]
    assert len(rows) == 20
    assert "collection.capacity_interval: off" in shown


@pytest.mark.parametrize(
    ("dialect", "filtered"), [("documented", True), ("filters-ignored", False)]
)
def test_filtered_pages_are_told_of_only_where_the_server_filters(
    dialect: str, filtered: bool
) -> None:
    found = Surgery(parse_dialect(dialect), jobs=2000, active=60).diagnose("ehpc-0")
    for language, plain, more in (
        ("en", "pages: up to 100 jobs", r"; up to \d+ when filtered by status"),
        ("zh", "每页最多 100 个作业", r"；按状态查询时最多 \d+ 个"),
    ):
        shown = page(found, language)
        assert plain in shown
        assert bool(re.search(more, shown)) is filtered


def test_capacity_that_is_off_is_said(good: Findings) -> None:
    assert "capacity is not queried" in page(good)
    assert "不查询容量" in page(good, "zh")


def test_a_narrow_terminal_cuts_no_word(found: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    shown = page(found, stream=Terminal())
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_cannot_be_encoded_is_replaced(
    daemon: FakeDaemon, good: Findings, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.findings = good
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main([*FLAGS, "--lang=zh"]) == 0
    out.flush()
    assert "? 25 ???" in out.buffer.getvalue().decode("ascii")


def test_names_cannot_steer_the_terminal(found: Findings) -> None:
    hostile = "[red]x\x1b]0;title\x07\n"
    config = replace(found.clusters[0].config, name=hostile)
    first = replace(found.clusters[0], config=config)
    failure = replace(found.failures[0], clusters=(hostile,), message=hostile)
    odd = replace(found, clusters=(first, *found.clusters[1:]), failures=(failure,))
    shown = page(odd) + "\n".join(failure_lines(odd, Words("en")))
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]x" in shown


def test_a_failure_in_chinese(found: Findings) -> None:
    assert failure_lines(found, Words("zh"))[1] == (
        "    处理建议：检查集群的 cluster_id 和 zone，以及账户的密钥是否属于集群的所有者。"
    )


def test_nothing_differs() -> None:
    found = Surgery(parse_dialect("times=z"), jobs=50, active=5).diagnose("ehpc-0")
    assert "Nothing that was examined." in page(found)


def test_progress_is_shown_to_people_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for err, shown in ((Terminal(), True), (io.StringIO(), False)):
        out = io.StringIO()
        with progress_on(out, err, Words("en")) as progressing:
            progressing("", 0, 25)
            progressing("[red]cfd", 1, 25)
        assert out.getvalue().count("at most 25 calls") == 1
        assert bool(err.getvalue()) is shown
