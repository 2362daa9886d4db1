"""doctor as people run it, over HTTP: before a server, before that of its report, and before failures."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import CONTENT_MARK
from exporter.simulator.quota import Quota
from tests.e2e.churn import populate
from tests.e2e.running import (
    KEY_ID,
    SECRET,
    World,
    config_of,
    run_command,
    simulating,
    write_config,
)

KEYS = {"EHPC_ACCESS_KEY_ID": KEY_ID, "EHPC_SECRET_ACCESS_KEY": SECRET, "LC_ALL": "C.UTF-8"}
MOST_CALLS = 25


def asked(endpoint: str, report: Path, *flags: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, output and complaints."""
    ended = run_command(
        "doctor", f"--endpoint={endpoint}", "--zone=jinan1a", f"--report={report}", *flags,
        environ={**KEYS, **environ},
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def traits_of(report: Path) -> list[dict[str, str]]:
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return [each["traits"] for each in told["clusters"]]


@pytest.mark.parametrize("dialect", ["console", "documented,page_cap=50,times=z,numbers=string"])
def test_a_server_and_that_of_its_report(tmp_path: Path, dialect: str) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    with World() as world:
        populate(world.add("ehpc-qmmvigwe", dialect).jobs, 2500, active=120)
        code, out, err = asked(world.endpoint, first)
        assert (code, err) == (0, "")
        assert len(world.calls()) <= MOST_CALLS
        assert f"calls: {len(world.calls())})" in out
    assert out.startswith(f"This makes at most {MOST_CALLS} calls")
    for secret in (SECRET, KEY_ID, "signature", "ehpc-qmmvigwe", "jinan1a", "127.0.0.1"):
        assert secret not in first.read_text(encoding="utf-8")
    keys = (f"--access-key-id={KEY_ID}", f"--secret-access-key={SECRET}")
    with simulating(f"--profile={first}", *keys) as endpoint:
        code, out, err = asked(endpoint, second, "--lang=zh")
    assert (code, err) == (0, "")
    assert "处理建议" in out
    ((before,), (after,)) = traits_of(first), traits_of(second)
    assert before["status_filter"] == "both"
    assert {name: after[name] for name, value in before.items() if value != "unknown"} == {
        name: value for name, value in before.items() if value != "unknown"
    }


def test_its_calls_count_as_those_of_any_other_command(tmp_path: Path) -> None:
    with World() as world:
        for name in ("cfd", "fea"):
            populate(world.add(name).jobs, 330, active=60)
        quota = {"requests": 40, "share": 1.0}
        config = config_of(world.endpoint, ["cfd", "fea"], quota=quota, state="state")
        flag = f"--config.file={write_config(tmp_path, config)}"
        first = run_command("doctor", flag, environ=KEYS)
        used = len(world.calls())
        assert (first.returncode, first.stderr) == (0, "")
        again = run_command("doctor", flag, environ=KEYS)
        assert again.stdout.startswith(f"This makes at most {min(MOST_CALLS, 40 - used)} calls")
        codes = {again.returncode}
        while (calls := len(world.calls())) < 40:
            codes.add(run_command("doctor", flag, environ=KEYS).returncode)
            assert len(world.calls()) > calls
        last = run_command("doctor", flag, environ=KEYS)
        assert len(world.calls()) == 40
    assert {*codes, last.returncode} <= {0, 1}
    assert last.stderr.startswith("account default: budget: ")


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"secret": "another-secret"}, "account default: authentication", "access_key_id"),
        ({"zone": "jn1a"}, "cfd, fea: not_found", "cluster_id and zone"),
        ({"endpoint": "http://127.0.0.1:9"}, "account default: connection", "endpoint"),
    ],
    ids=["secret", "zone", "endpoint"],
)
def test_what_fails_is_told_once_and_what_to_do(
    tmp_path: Path, change: dict[str, Any], reason: str, advice: str
) -> None:
    report = tmp_path / "report.json"
    with World() as world:
        for name in ("cfd", "fea"):
            populate(world.add(name).jobs, 330, active=60)
        settings = {"endpoint": world.endpoint, "clusters": ["cfd", "fea"], **change}
        path = write_config(tmp_path, config_of(**settings))
        ended = run_command("doctor", f"--config.file={path}", f"--report={report}", environ=KEYS)
        assert len(world.calls()) <= 4
    assert ended.returncode == 1
    first, second = ended.stderr.rstrip("\n").split("\n")
    assert first.startswith(f"{reason}: ")
    assert second.startswith("    what to do: ")
    assert advice in second
    for secret in (SECRET, KEY_ID, "another-secret", "signature="):
        assert secret not in ended.stdout + ended.stderr + report.read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["html", "http-503", "reset", "ret-5000"])
def test_a_cloud_in_trouble(tmp_path: Path, fault: str) -> None:
    with World() as world:
        populate(world.add("cfd").jobs, 330, active=60)
        world.fault(fault)
        path = write_config(tmp_path, config_of(world.endpoint, ["cfd"]))
        ended = run_command("doctor", f"--config.file={path}", "--lang=zh", environ=KEYS)
        assert len(world.calls()) <= MOST_CALLS
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("处理建议：") == 1


def test_a_quota_that_others_have_used_up(tmp_path: Path) -> None:
    with World(quota=Quota(2, 3600)) as world:
        for name in ("cfd", "fea"):
            populate(world.add(name).jobs, 330, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["cfd", "fea"]))
        ended = run_command("doctor", f"--config.file={path}", environ=KEYS)
        assert len(world.calls()) == 3, "it does not hammer"
    assert ended.returncode == 1
    assert ended.stderr.count("quota: ") == 1


@pytest.mark.parametrize("fault", ["status-number", "surrogate-in-name", "not-utf8", "no-identity"])
def test_nothing_of_an_odd_answer_is_shown_or_written(tmp_path: Path, fault: str) -> None:
    report = tmp_path / "report.json"
    with World() as world:
        populate(world.add("ehpc-qmmvigwe").jobs, 130, active=40)
        world.fault(fault)
        code, out, err = asked(world.endpoint, report, "--log.level=debug")
    assert code == 0
    for text in (CONTENT_MARK, SECRET, KEY_ID, "signature="):
        assert text not in out + err + report.read_text(encoding="utf-8")
