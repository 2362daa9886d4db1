"""The commands as people type them: what they print, and how they end."""

import contextlib
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from exporter import __version__
from exporter.simulator.quota import Quota
from tests.e2e.churn import populate
from tests.e2e.running import (
    KEY_ID,
    ROOT,
    SECRET,
    Exporter,
    Metrics,
    World,
    config_of,
    run_command,
    write_config,
)

ENDPOINT = "https://hpc.api.example.com"
GOOD = f"""\
accounts:
  - {{endpoint: {ENDPOINT}, access_key_id: {KEY_ID}, secret_access_key: {SECRET}}}
clusters:
  - {{cluster_id: ehpc-1, zone: jinan1a}}
"""


def test_version() -> None:
    for arguments in (["--version"], ["serve", "--version"]):
        ended = run_command(*arguments)
        assert (ended.returncode, ended.stdout) == (0, f"ehpc-exporter {__version__}\n")


# Configurations that cannot be used

BAD = {
    "several problems": (
        """\
accounts:
  - endpoint: ftp://elsewhere
    access_key_id: ${NO_SUCH_VARIABLE_IN_TESTS}
    secret_access_key: abc
    tiemout: 5s
clusters:
  - {name: a, cluster_id: c1, zone: z}
  - {name: a, cluster_id: c2, interval: 500ms}
  - {name: b, cluster_id: "x y", zone: z, timezone: Mars/Base}
collection:
  interval: 5 minutes
  history: [1]
labels:
  user: {mode: nmae, limit: -1}
""",
        """\
accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)
accounts[0].access_key_id: the environment variable NO_SUCH_VARIABLE_IN_TESTS is not set (line 3)
accounts[0].tiemout: unknown key; did you mean "timeout"? (line 5)
clusters[1].interval: "500ms" is too short; the shortest interval is 1s (line 8)
clusters[1].zone: is missing (line 8)
clusters[1].name: the same name as clusters[0] (line 8)
clusters[2].cluster_id: "x y" must not be empty or hold white space (line 9)
clusters[2].timezone: "Mars/Base" is not a known time zone; write it as Asia/Shanghai (line 9)
collection.interval: "5 minutes" is not a duration; write it as 30s, 5m, 1h30m or 30d (line 11)
collection.history: must be a text (in quotes if it looks like something else), not a list (line 12)
labels.user.mode: "nmae" must be hash, name or off; did you mean "name"? (line 14)
labels.user.limit: must be at least 0, not -1 (line 14)
""",
    ),
    "nothing": ("", "the file is empty; config.example.yaml shows what it can say\n"),
    "no YAML": (
        "a: [",
        "not YAML: expected the node content, but found '<stream end>' (line 1)\n",
    ),
    "a list": ("- 1", "must be a mapping, not a list (line 1)\n"),
    "no clusters": (
        "accounts: []",
        "accounts: is empty; at least one is needed (line 1)\nclusters: is missing (line 1)\n",
    ),
    "an account that is not there": (
        GOOD.replace("{cluster_id", "{account: defualt, cluster_id"),
        'clusters[0].account: "defualt" is not the name of an account; did you mean "default"? (line 4)\n',
    ),
    "no secret": (
        GOOD.replace(f", secret_access_key: {SECRET}", ""),
        "accounts[0]: needs a secret_access_key or a secret_access_key_file (line 2)\n",
    ),
    "a key twice": (
        GOOD + "clusters: []\n",
        "clusters: is there twice, first on line 3 (line 5)\n",
    ),
    "a secret file that is not there": (
        GOOD.replace(f"secret_access_key: {SECRET}", "secret_access_key_file: nowhere"),
        'accounts[0].secret_access_key_file: "nowhere" cannot be read: No such file or directory (line 2)\n',
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_configurations_are_refused_with_a_line_for_each_problem(
    tmp_path: Path, case: str
) -> None:
    text, message = BAD[case]
    flag = f"--config.file={write_config(tmp_path, text)}"
    commands = ("serve", "check-config", "collect") if case == "several problems" else ("serve",)
    for command in commands:
        ended = run_command(command, flag)
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)


def test_a_configuration_that_is_not_there() -> None:
    ended = run_command("serve", "--config.file=no-such-file.yaml")
    message = "cannot read no-such-file.yaml: No such file or directory\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", message)


def test_flags_that_do_not_exist_are_told() -> None:
    ended = run_command("serve", "--web.listen-adress=:1")
    assert ended.returncode == 2
    assert "unrecognized arguments: --web.listen-adress=:1" in ended.stderr


# check-config


def test_check_config_tells_what_it_costs(tmp_path: Path) -> None:
    path = write_config(tmp_path, GOOD)
    ended = run_command("check-config", f"--config.file={path}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{path} is valid\n")
    assert re.search(r"\b60\b", ended.stdout), "one call a minute is 60 an hour"
    assert re.search(r"\b1,?000\b", ended.stdout), "the share of the quota"
    assert SECRET not in ended.stdout


def test_check_config_knows_the_example() -> None:
    ended = run_command(
        "check-config",
        f"--config.file={ROOT / 'config.example.yaml'}",
        environ={"EHPC_ACCESS_KEY_ID": KEY_ID, "EHPC_SECRET_ACCESS_KEY": SECRET},
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_time_zones_are_known_where_the_machine_has_none(tmp_path: Path) -> None:
    path = write_config(tmp_path, GOOD.replace("jinan1a", "jinan1a, timezone: Asia/Shanghai"))
    ended = run_command("check-config", f"--config.file={path}", environ={"PYTHONTZPATH": ""})
    assert (ended.returncode, ended.stderr) == (0, "")


# collect


def test_collect_prints_the_counts(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("ehpc-1").jobs, 330, active=60)
        populate(world.add("ehpc-2").jobs, 50, active=30)
        config = config_of(world.endpoint, {"cfd": "ehpc-1", "fea": "ehpc-2"})
        flag = f"--config.file={write_config(tmp_path, config)}"
        truths = {
            name: world.truth(cluster) for name, cluster in [("cfd", "ehpc-1"), ("fea", "ehpc-2")]
        }
        table = run_command("collect", flag)
        assert (table.returncode, table.stderr) == (0, "")
        for name, truth in truths.items():
            row = next(line for line in table.stdout.split("\n") if line.startswith(f"│ {name} "))
            by_status: Counter[str] = Counter()
            for key, count in truth.items():
                by_status[key.status] += count
            numbers = [int(cell.replace(",", "")) for cell in row.split("│")[2:7]]
            statuses = ("pending", "running", "finished", "exited", "cancelled")
            assert numbers == [by_status[status] for status in statuses]
        text = run_command("collect", flag, "--format=prometheus")
        assert (text.returncode, text.stderr) == (0, "")
        assert Metrics(text.stdout).jobs() == truths
        one = run_command("collect", flag, "--format=prometheus", "--cluster=fea")
        assert Metrics(one.stdout).jobs() == {"fea": truths["fea"]}
        # No more than the pages that there are, and the first once more; three looks in all.
        assert len(world.calls("ehpc-1")) <= 2 * 5
        assert len(world.calls("ehpc-2")) == 3


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
        advice = "quota.share"
        failed_with(path, {"cfd": ("quota", advice), "fea": ("quota", advice)})
        assert len(world.calls("fea")) == 0, "it does not hammer"


@pytest.mark.parametrize("skew_seconds", [600, -600])
def test_collect_with_a_wrong_clock(tmp_path: Path, skew_seconds: int) -> None:
    """By the server's Date it is corrected; where that does not help, it is told how far it is."""
    with World(clock_skew_seconds=skew_seconds) as world:
        populate(world.add("cfd").jobs, 330, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["cfd"]))
        ended = run_command("collect", f"--config.file={path}", "--format=prometheus")
        assert ended.returncode == 0
        assert Metrics(ended.stdout).jobs() == {"cfd": world.truth("cfd")}
        assert [entry.outcome for entry in world.calls()].count("1300") == 1
        world.fault("ret-1300")
        direction = "behind" if skew_seconds > 0 else "ahead of"
        stderr = failed_with(path, {"cfd": ("clock", "Set this machine's clock")})
        assert re.search(rf"It is (599|600|601) s {direction} the server's\.", stderr), stderr


def test_collect_of_one_good_and_one_bad_cluster(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("good").jobs, 130, active=60)
        path = write_config(tmp_path, config_of(world.endpoint, ["good", "bad"]))
        ended = run_command("collect", f"--config.file={path}", "--format=prometheus")
        assert ended.returncode == 1
        assert Metrics(ended.stdout).jobs() == {"good": world.truth("good")}
        assert ended.stderr.startswith("bad: not_found: ")


def test_collect_of_a_cluster_that_is_not_configured(tmp_path: Path) -> None:
    path = write_config(tmp_path, GOOD)
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


# serve that cannot


def test_serve_on_a_port_in_use(tmp_path: Path) -> None:
    path = write_config(tmp_path, GOOD)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_command("serve", f"--config.file={path}", f"--web.listen-address={address}")
    assert ended.returncode == 1
    assert f"cannot listen on {address}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_serve_on_a_state_directory_in_use(tmp_path: Path) -> None:
    """The second refuses to start, and the first goes on."""
    with World() as world:
        populate(world.add("c").jobs, 130, active=30)
        config = config_of(world.endpoint, ["c"], state="state")
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true({"c": world.truth("c")})
            ended = run_command(
                "serve", f"--config.file={exporter.config_path}", "--web.listen-address=127.0.0.1:0"
            )
            assert ended.returncode == 1
            assert ended.stderr == (
                f"ehpc-exporter: state.path: {tmp_path / 'state'}: in use by another ehpc-exporter;"
                " stop that one, or give this one a directory of its own\n"
            )
            # A look from the command line shares the directory and disturbs nobody.
            looked = run_command("collect", f"--config.file={exporter.config_path}")
            assert looked.returncode == 0
            with world.lock:
                world.jobs("c").submit(1_700_000_000, queue="q", user="u")
            exporter.until_true({"c": world.truth("c")})


@pytest.mark.parametrize("told", [True, False], ids=["its own keys", "given keys"])
def test_the_pretend_cloud_tells_keys_that_nobody_can_guess(told: bool) -> None:
    flags = [] if told else ["--access-key-id=MYKEY", "--secret-access-key=mysecret"]
    command = [sys.executable, "-m", "exporter", "simulate", "--listen-address=127.0.0.1:0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        lines = [cloud.stdout.readline(), cloud.stdout.readline()]
        cloud.terminate()
    example = "  access_key_id QYACCESSKEYIDEXAMPLE  secret_access_key SECRETACCESSKEY\n"
    assert (lines[1] == example) is told
    assert "mysecret" not in "".join(lines)
