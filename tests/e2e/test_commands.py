"""The commands as people type them: what they print, and how they end."""

import contextlib
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exporter import __version__
from tests.e2e.churn import populate
from tests.e2e.running import (
    KEY_ID,
    ROOT,
    SECRET,
    Exporter,
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
        ended = run_command(*arguments, anew=True)
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
clusters[2].cluster_id: "x y" must not be empty or contain white space (line 9)
clusters[2].timezone: "Mars/Base" is not a known time zone; write it as Asia/Shanghai (line 9)
collection.interval: "5 minutes" is not a duration; write it as 30s, 5m, 1h30m or 30d (line 11)
collection.history: must be a text (in quotes if it looks like something else), not a list (line 12)
labels.user.mode: "nmae" must be hash, name or off; did you mean "name"? (line 14)
labels.user.limit: must be at least 0, not -1 (line 14)
""",
    ),
    "nothing": ("", "the file is empty; config.example.yaml shows all keys\n"),
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
    no_zones = {"PYTHONTZPATH": ""}
    ended = run_command("check-config", f"--config.file={path}", environ=no_zones, anew=True)
    assert (ended.returncode, ended.stderr) == (0, "")


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
def test_the_simulated_cloud_tells_keys_that_nobody_can_guess(told: bool) -> None:
    flags = [] if told else ["--access-key-id=MYKEY", "--secret-access-key=mysecret"]
    command = [sys.executable, "-m", "exporter", "simulate", "--listen-address=127.0.0.1:0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        lines = [cloud.stdout.readline(), cloud.stdout.readline()]
        cloud.terminate()
    example = "  access_key_id QYACCESSKEYIDEXAMPLE  secret_access_key SECRETACCESSKEY\n"
    assert (lines[1] == example) is told
    assert "mysecret" not in "".join(lines)
