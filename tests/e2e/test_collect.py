"""``collect`` as people type it: a cheap look, the whole list, and what becomes of the calls."""

import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator.quota import Quota
from tests.e2e.churn import populate
from tests.e2e.running import (
    KEY_ID,
    SECRET,
    Exporter,
    JobKey,
    Metrics,
    World,
    config_of,
    run_command,
    write_config,
)
from tests.waiting import PATIENCE_SECONDS, until

ENDED = ("finished", "exited", "cancelled")


def waiting_and_running(counts: Counter[Any]) -> Counter[Any]:
    return Counter({key: jobs for key, jobs in counts.items() if key[0] in {"pending", "running"}})


def row(shown: str, name: str) -> list[str]:
    line = next(line for line in shown.split("\n") if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.split("│")[2:-1]]


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world:
        populate(world.add("ehpc-1").jobs, 3300, active=120)
        populate(world.add("ehpc-2").jobs, 50, active=30)
        yield world


def looking_at(
    world: World, directory: Path, **more: Any
) -> tuple[str, dict[str, Counter[JobKey]]]:
    """The flag for a configuration of both clusters, and what is true of them."""
    clusters = {"cfd": "ehpc-1", "fea": "ehpc-2"}
    path = write_config(directory, config_of(world.endpoint, clusters, **more))
    return f"--config.file={path}", {name: world.truth(x) for name, x in clusters.items()}


def test_a_look_is_cheap_and_says_what_the_whole_would_cost(world: World, tmp_path: Path) -> None:
    flag, truths = looking_at(world, tmp_path, state="state")
    table = run_command("collect", flag)
    assert (table.returncode, table.stderr) == (0, "")
    by_status: Counter[str] = Counter()
    for key, count in truths["cfd"].items():
        by_status[key.status] += count
    waiting = [f"{by_status[status]:,}" for status in ("pending", "running")]
    assert row(table.stdout, "cfd")[:6] == [*waiting, "-", "-", "-", "-"]
    assert "\n  cfd  3,300 jobs, about 36 calls\n" in table.stdout
    assert "fea " not in table.stdout.partition("--full")[2], "it is one page, and was read whole"
    # The head, what the filter is called, and a page for each 99 active jobs.
    assert len(world.calls("ehpc-1")) <= 3 + 1 + 3
    assert len(world.calls("ehpc-2")) == 1
    calls = len(world.calls())
    text = run_command("collect", flag, "--format=prometheus", "--cluster=cfd")
    assert (text.returncode, text.stderr) == (0, "")
    metrics = Metrics(text.stdout)
    shown = waiting_and_running(metrics.jobs()["cfd"])
    assert shown == waiting_and_running(truths["cfd"])
    assert metrics.value("ehpc_history_jobs_expected") == 3300
    assert len(world.calls()) - calls <= 7
    assert not list((tmp_path / "state").glob("*.ledger"))


@pytest.mark.parametrize("state", ["state", ":memory:"])
def test_the_whole(world: World, tmp_path: Path, state: str) -> None:
    flag, truths = looking_at(world, tmp_path, state=state)
    table = run_command("collect", flag, "--full")
    assert (table.returncode, table.stderr) == (0, "")
    for name, truth in truths.items():
        by_status: Counter[str] = Counter()
        for key, count in truth.items():
            by_status[key.status] += count
        statuses = ("pending", "running", *ENDED)
        assert row(table.stdout, name)[:5] == [f"{by_status[status]:,}" for status in statuses]
    assert "--full" not in table.stdout
    assert len(world.calls()) <= 4 + 34 + 60
    text = run_command("collect", flag, "--full", "--format=prometheus")
    assert (text.returncode, text.stderr) == (0, "")
    assert Metrics(text.stdout).jobs() == truths
    one = run_command("collect", flag, "--full", "--format=prometheus", "--cluster=fea")
    assert Metrics(one.stdout).jobs() == {"fea": truths["fea"]}


def test_what_the_whole_has_cost_is_kept(world: World, tmp_path: Path) -> None:
    """For the next look, and for the daemon."""
    flag, truths = looking_at(world, tmp_path, state="state")
    assert run_command("collect", flag, "--full").returncode == 0
    calls = len(world.calls())
    again = run_command("collect", flag, "--full", "--format=prometheus")
    assert Metrics(again.stdout).jobs() == truths
    assert len(world.calls()) - calls <= 6
    calls = len(world.calls())
    config = config_of(world.endpoint, {"cfd": "ehpc-1", "fea": "ehpc-2"}, state="state")
    with Exporter(tmp_path, config) as exporter:
        exporter.until_true(truths)
        exporter.stop()
    assert len(world.calls()) - calls <= 20


def test_what_was_read_before_it_was_broken_off_is_kept(world: World, tmp_path: Path) -> None:
    flag, truths = looking_at(world, tmp_path, state="state")
    world.fault("ret-1400", skip=45)
    broken = run_command("collect", flag, "--full", "--cluster=cfd")
    assert broken.returncode == 1
    assert broken.stderr.startswith("cfd: denied: ")
    world.no_faults()
    calls = len(world.calls())
    assert calls >= 45
    again = run_command("collect", flag, "--full", "--format=prometheus", "--cluster=cfd")
    assert Metrics(again.stdout).jobs() == {"cfd": truths["cfd"]}
    assert len(world.calls()) - calls < 34, "fewer than the whole takes"


@pytest.mark.parametrize("state", ["state", ":memory:"])
def test_the_whole_is_refused_before_it_is_begun(world: World, tmp_path: Path, state: str) -> None:
    flag, _ = looking_at(world, tmp_path, state=state, quota={"requests": 60})
    refused = run_command("collect", flag, "--full")
    assert refused.returncode == 1
    assert re.fullmatch(
        r"cfd, fea: budget: reading the whole list would take about \d+ calls; of the 30 that are allowed in"
        r" 1h, 28 are left for it\n    what to do: Query fewer clusters with --cluster, or raise"
        r" quota\.share\. The daemon .*\n",
        refused.stderr,
    )
    assert len(world.calls()) == 2


def test_the_whole_leaves_a_daemon_its_calls(world: World, tmp_path: Path) -> None:
    """Fifty calls would be enough, but the daemon needs most of them."""
    quota = {"requests": 160}
    more: dict[str, Any] = {"state": "state", "quota": quota, "interval": "2m"}
    flag, _ = looking_at(world, tmp_path, **more)
    config = config_of(world.endpoint, {"cfd": "ehpc-1", "fea": "ehpc-2"}, **more)
    with Exporter(tmp_path, config) as exporter:
        exporter.until_ready()
        kept = {path.name: path.stat().st_ino for path in (tmp_path / "state").glob("*.ledger")}
        calls = len(world.calls())
        refused = run_command("collect", flag, "--full")
        assert refused.returncode == 1
        assert refused.stderr.startswith(
            "cfd, fea: budget: reading the whole list would take about 69 calls"
        )
        assert len(world.calls()) - calls <= 2 + 8, "and those of the daemon meanwhile"
        exporter.until_ready()
        assert kept == {
            path.name: path.stat().st_ino for path in (tmp_path / "state").glob("*.ledger")
        }
        exporter.stop()


def test_a_server_that_cannot_show_the_active_jobs_alone(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("c", "nothing-honoured").jobs, 3300, active=120)
        path = write_config(tmp_path, config_of(world.endpoint, ["c"]))
        ended = run_command("collect", f"--config.file={path}")
        assert ended.returncode == 1
        assert ended.stderr.startswith(
            "c: filter: the server shows the active jobs only with the whole list, 3,300 jobs,"
            " about 36 calls\n    what to do: Read it with --full"
        )
        assert len(world.calls()) <= 25
        whole = run_command("collect", f"--config.file={path}", "--full", "--format=prometheus")
        assert Metrics(whole.stdout).jobs() == {"c": world.truth("c")}


@pytest.mark.parametrize(
    "dialect",
    ["sort-refused", "total-missing", "nothing-honoured-arbitrary", "filters-empty-running"],
)
def test_the_whole_of_odd_servers(tmp_path: Path, dialect: str) -> None:
    with World() as world:
        populate(world.add("c", dialect).jobs, 2321, active=120)
        path = write_config(tmp_path, config_of(world.endpoint, ["c"], state="state"))
        for _ in range(2):
            ended = run_command("collect", f"--config.file={path}", "--full", "--format=prometheus")
            assert (ended.returncode, ended.stderr) == (0, "")
            assert Metrics(ended.stdout).jobs() == {"c": world.truth("c")}


def test_one_failure_of_the_account_is_told_once_and_met_once(tmp_path: Path) -> None:
    clusters = [f"ehpc-{number}" for number in range(40)]
    with World() as world:
        for name in clusters:
            world.add(name)
        config = config_of(world.endpoint, clusters, secret="another-secret")
        ended = run_command("collect", f"--config.file={write_config(tmp_path, config)}")
        assert ended.returncode == 1
        assert ended.stderr.startswith("account default, 40 clusters: authentication: ")
        assert len(ended.stderr.splitlines()) == 2
        assert len(world.calls()) <= 2


def test_a_cloud_that_does_not_answer_is_not_waited_for_by_each_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        clusters = [f"ehpc-{number}" for number in range(40)]
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        path = write_config(tmp_path, config_of(endpoint, clusters, timeout="50ms", state="state"))
        ended = run_command("collect", f"--config.file={path}")
        assert ended.returncode == 1
        assert ended.stderr.startswith("account default, 40 clusters: timeout: no complete answer")
        lines = (tmp_path / "state" / "default.calls").read_text().splitlines()
        assert sum(line[0].isdigit() for line in lines) == 2 * 3, "two clusters, each tried thrice"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_onto_a_full_disk_is_one_clear_line(unbuffered: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, config_of("http://127.0.0.1:9", ["c"]))
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "exporter", "check-config", f"--config.file={path}"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == (
        "ehpc-exporter: the output cannot be written: No space left on device\n"
    )


@pytest.mark.parametrize(
    ("change", "reason", "advice"),
    [
        ({"secret": "another-secret"}, "authentication", "Check the account's access_key_id"),
        ({"key_id": "ANOTHERKEYID"}, "authentication", "Check the account's access_key_id"),
        ({"zone": "jn1a"}, "not_found", "Check the cluster's cluster_id and zone"),
        ({"clusters": {"cfd": "ehpc-9"}}, "not_found", "Check the cluster's cluster_id and zone"),
        ({"endpoint": "http://127.0.0.1:9"}, "connection", "Check the account's endpoint"),
        ({"quota": {"requests": 4}}, "budget", "raise quota.share"),
    ],
    ids=["secret", "key id", "zone", "cluster", "endpoint", "share"],
)
def test_collect_says_what_to_do(
    tmp_path: Path, change: dict[str, object], reason: str, advice: str
) -> None:
    with World() as world:
        populate(world.add("ehpc-1").jobs, 330, active=60)
        settings = {"endpoint": world.endpoint, "clusters": {"cfd": "ehpc-1"}, **change}
        path = write_config(tmp_path, config_of(**settings))  # type: ignore[arg-type]
        failed_with(path, {"cfd": (reason, advice)})


def test_collect_when_the_quota_is_used_up_elsewhere(tmp_path: Path) -> None:
    with World(quota=Quota(2, 3600)) as world:
        for name in ("cfd", "fea"):
            populate(world.add(name).jobs, 330, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["cfd", "fea"]))
        failed_with(path, {"cfd, fea": ("quota", "quota.share")})
        assert len(world.calls("fea")) == 0, "it does not hammer"


@pytest.mark.parametrize("skew_seconds", [600, -600])
def test_collect_with_a_wrong_clock(tmp_path: Path, skew_seconds: int) -> None:
    """By the server's Date it is corrected; where that does not help, it is told how far it is."""
    with World(clock_skew_seconds=skew_seconds) as world:
        populate(world.add("cfd").jobs, 330, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["cfd"]))
        ended = run_command("collect", f"--config.file={path}", "--full", "--format=prometheus")
        assert ended.returncode == 0
        assert Metrics(ended.stdout).jobs() == {"cfd": world.truth("cfd")}
        assert [entry.outcome for entry in world.calls()].count("1300") == 1
        world.fault("ret-1300")
        direction = "behind" if skew_seconds > 0 else "ahead of"

        def told() -> bool:
            stderr = failed_with(path, {"cfd": ("clock", "Set this machine's clock")})
            return bool(re.search(rf"It is (599|600|601) s {direction} the server's\.", stderr))

        until(told, "the seconds, as they are where an answer is read as soon as it comes")


def test_collect_of_one_good_and_one_bad_cluster(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("good").jobs, 130, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["good", "bad"]))
        ended = run_command("collect", f"--config.file={path}", "--full", "--format=prometheus")
        assert ended.returncode == 1
        assert Metrics(ended.stdout).jobs() == {"good": world.truth("good")}
        assert ended.stderr.startswith("bad: not_found: ")


def test_collect_of_a_cluster_that_is_not_configured(tmp_path: Path) -> None:
    path = write_config(tmp_path, config_of("https://hpc.api.example.com", ["ehpc-1"]))
    ended = run_command("collect", f"--config.file={path}", "--cluster=nope")
    message = "--cluster: no cluster is named nope; known: ehpc-1\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)


def failed_with(path: Path, expected: dict[str, tuple[str, str]]) -> str:
    """``collect`` fails for these clusters, with the reason and what to do about it."""
    ended = run_command("collect", f"--config.file={path}")
    assert ended.returncode == 1
    lines = ended.stderr.rstrip("\n").split("\n")
    assert len(lines) == 2 * len(expected), ended.stderr
    for number, (name, (reason, advice)) in enumerate(expected.items()):
        assert lines[2 * number].startswith(f"{name}: {reason}: ")
        assert lines[2 * number + 1].startswith("    what to do: ")
        assert advice in lines[2 * number + 1]
    for secret in (SECRET, KEY_ID, "another-secret", "ANOTHERKEYID", "signature="):
        assert secret not in ended.stdout + ended.stderr
    return ended.stderr
