"""The systemd unit: no key that systemd does not know, and little that the service may do."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cli.arguments import parse_arguments
from exporter.config import load_config
from tests.e2e.running import ROOT
from tests.waiting import PATIENCE_SECONDS

SYSTEMD = ROOT / "deploy/systemd"
UNIT = SYSTEMD / "ehpc-exporter.service"
DROP_IN = SYSTEMD / "tls.conf"
RUN = SYSTEMD / "ehpc-exporter-run"
PROGRAM = "/opt/ehpc-exporter/bin/ehpc-exporter"
WORST_EXPOSURE = 2.0


@pytest.fixture
def analyze(
    require_tool: Callable[[str], str], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run systemd-analyze on the unit with a program that is there, since systemd looks for it."""
    tool = require_tool("systemd-analyze")
    unit = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert text.count(f"ExecStart={PROGRAM} ") == 1
    unit.write_text(text.replace(f"ExecStart={PROGRAM} ", f"ExecStart={sys.executable} "))

    def run(*words: str, unit_text: str | None = None) -> subprocess.CompletedProcess[str]:
        if unit_text is not None:
            unit.write_text(unit_text)
        return subprocess.run(
            [tool, *words, str(unit)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def test_systemd_has_nothing_to_say(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = analyze("verify")  # exits 0 also when it complains
    assert (done.stdout, done.stderr) == ("", "")
    wrong = UNIT.read_text().replace("PrivateTmp=", "PrivateTemp=")
    assert "PrivateTemp" in analyze("verify", unit_text=wrong).stderr


def test_it_may_do_little(analyze: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = analyze("security", "--offline=true", "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= WORST_EXPOSURE


def test_the_drop_in_for_tls_fits(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    drop_in = DROP_IN.read_text()
    unit = UNIT.read_text().replace(PROGRAM, sys.executable)
    done = analyze("verify", unit_text=unit.replace("[Service]\n", drop_in, 1))
    assert (done.stdout, done.stderr) == ("", "")
    credentials = set(
        re.findall(r"^LoadCredential=([\w.]+):/etc/ehpc-exporter/\1$", drop_in, re.MULTILINE)
    )
    assert credentials == {"web.yml", "server.crt", "server.key"}
    (arguments,) = re.findall(r'^Environment="ARGS=(.*)"$', drop_in, re.MULTILINE)
    # Where systemd puts them, by systemd.exec(5).
    place = Path(f"/run/credentials/{UNIT.name}/web.yml")
    assert parse_arguments(["serve", arguments]).web_config_file == place


def test_other_commands_run_as_the_service_does(tmp_path: Path) -> None:
    proxy = tmp_path / "proxy.conf"
    proxy.write_text(
        '[Service]\nEnvironment=https_proxy=http://proxy:3128 "no_proxy=a, *.b"\n'
        "LoadCredentialEncrypted=other:/etc/ehpc-exporter/other.cred\n"
    )
    for name, does in (
        ("systemctl", f'test "$*" = "cat {UNIT.name}" && cat {UNIT} {DROP_IN} {proxy}'),
        ("systemd-run", 'printf "%s\\n" "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    told = subprocess.check_output(
        [RUN, "collect", "--cluster=cfd"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, text=True
    ).splitlines()
    properties = [each.removeprefix("--property=") for each in told if each.startswith("--prop")]
    settings = f"{UNIT.read_text()}{DROP_IN.read_text()}{proxy.read_text()}".splitlines()
    assert set(properties) <= set(settings)
    given = ("LoadCredential", "Environment")
    assert {each for each in settings if each.startswith(given)} <= set(properties)
    keys = {each.partition("=")[0] for each in properties}
    assert {"DynamicUser", "User", "StateDirectory", "StateDirectoryMode"} <= keys
    program, *arguments = told[told.index(PROGRAM) :]
    assert program == PROGRAM
    read = parse_arguments(arguments)
    assert str(read.config_file) == "/etc/ehpc-exporter/config.yaml"


def test_what_is_to_be_pasted_swallows_nothing_and_leaves_nothing_behind() -> None:
    """Neither reads the lines that are pasted after it, nor changes the shell that they go on in."""
    for name in ("README.md", "docs/walk.md", "docs/deployment.md"):
        for block in re.findall(
            r"^```sh\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL
        ):
            outside = re.sub(r"^\(\n.*?^\)\n", "", block, flags=re.MULTILINE | re.DOTALL)
            assert not re.search(r"/dev/stdin|systemctl edit|^umask", outside, re.MULTILINE), block


def test_its_command_line_is_understood() -> None:
    found = re.search(r"^ExecStart=\S+ (.*) \$ARGS$", UNIT.read_text(), re.MULTILINE)
    assert found
    read = parse_arguments([*found[1].split(), "--shard=0/2"])
    assert str(read.config_file) == "/etc/ehpc-exporter/config.yaml"


def test_its_configuration_is_understood(tmp_path: Path) -> None:
    (credential,) = re.findall(r"^LoadCredential=(\w+):", UNIT.read_text(), re.MULTILINE)
    (tmp_path / credential).write_text("hush\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "STATE_DIRECTORY": "/var/lib/ehpc-exporter"}
    config = load_config(SYSTEMD / "config.yaml", environ)
    assert config.accounts[0].secret_access_key.reveal() == "hush"
    assert str(config.state.path) == environ["STATE_DIRECTORY"]
