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


def run_beside(directory: Path, drop_in: Path) -> tuple[list[str], list[str]]:
    """What systemd-run is given by the script, with this drop-in: the properties, and the rest."""
    for name, does in (
        ("systemctl", f'test "$*" = "cat {UNIT.name}" && cat {UNIT} {DROP_IN} {drop_in}'),
        ("systemd-run", 'printf "%s\\n" "$@"'),
    ):
        (directory / name).write_text(f"#!/bin/sh\n{does}\n")
        (directory / name).chmod(0o755)
    told = subprocess.check_output(
        [RUN, "collect", "--cluster=cfd"], env={"PATH": f"{directory}:/usr/bin:/bin"}, text=True
    ).splitlines()
    properties = [each.removeprefix("--property=") for each in told if each.startswith("--prop")]
    return properties, [each for each in told if not each.startswith("--prop")]


def test_other_commands_run_as_the_service_does(tmp_path: Path) -> None:
    proxy = tmp_path / "proxy.conf"
    proxy.write_text(
        '[Service]\nEnvironment=https_proxy=http://proxy:3128 "no_proxy=a, *.b"\n'
        "LoadCredentialEncrypted=other:/etc/ehpc-exporter/other.cred\n"
    )
    properties, told = run_beside(tmp_path, proxy)
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


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        pytest.param(
            "SetCredentialEncrypted=other: \\\n        k6iUCUh0\\\n        RJCQyvL8\n",
            ["SetCredentialEncrypted=other:  k6iUCUh0 RJCQyvL8"],
            id="as systemd-creds prints it",
        ),
        pytest.param(
            "Environment=A=1 \\\n# not yet \\\n  ; nor this\n  B=2\nLoadCredential=c:/c\n",
            ["Environment=A=1  B=2", "LoadCredential=c:/c"],
            id="comments between them",
        ),
        pytest.param(
            "# Environment=A=1 \\\nEnvironment=B=2\n;Environment=C=3\n",
            ["Environment=B=2"],
            id="a comment does not go on",
        ),
        pytest.param(
            "Environment=A=b\\\\\nEnvironment=C=1\\\n\nEnvironment=D=2\n",
            ["Environment=A=b\\\\", "Environment=C=1", "Environment=D=2"],
            id="a backslash, and an empty line",
        ),
        pytest.param(
            " Environment = A=1\nPassEnvironment=B\nUnsetEnvironment=C\nImportCredential=d.*\n",
            ["Environment=A=1", "PassEnvironment=B", "UnsetEnvironment=C", "ImportCredential=d.*"],
            id="blanks, and other settings that change the same",
        ),
        pytest.param(
            "ExecStartPre=/bin/echo \\\nEnvironment=A=1\nEnvironment=B=2 \\\n",
            ["Environment=B=2"],
            id="lines of another setting, and no end",
        ),
    ],
)
def test_settings_are_read_as_systemd_reads_them(
    lines: str, settings: list[str], tmp_path: Path
) -> None:
    drop_in = tmp_path / "more.conf"
    drop_in.write_text("")
    before, _ = run_beside(tmp_path, drop_in)
    drop_in.write_text(f"[Service]\n{lines}")
    properties, _ = run_beside(tmp_path, drop_in)
    assert properties == [*before, *settings]


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
