"""The walk of the documentation, from nothing to two clusters behind TLS and a password, command by command.

Its blocks run as they stand, one after the other in one shell, with a simulated cloud for the real one.
Only the ports are others, since tests share a machine, the installation is the one under test, and where
the walk waits for some seconds, the test waits for what they are for.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.running import ROOT
from tests.ports import kept_port
from tests.waiting import PATIENCE_SECONDS

WALK = (ROOT / "docs/walk.md").read_text(encoding="utf-8")
WAITS = (
    "until grep --quiet listening simulate.log; do sleep 0.2; done",
    (
        'until [ "$(curl --silent --cacert server.crt --user "prometheus:$(cat password)"'
        " https://localhost:10046/metrics | grep --count '^ehpc_up.* 1.0$')\" = 2 ]; do sleep 0.2; done"
    ),
)
"""Instead of those that are written there. On a busy machine the first calls may come too late: it is ready
then, as each cluster was tried, but not up."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", WALK, re.MULTILINE | re.DOTALL)


def script(exporter_port: int, cloud_port: int) -> str:
    """The commands of all steps, but the installation."""
    install, config, real_keys, *rest = blocks("sh")
    assert "pip install ." in install
    assert "EHPC_SECRET_ACCESS_KEY=..." in real_keys
    text = "".join(["set -eux -o pipefail\n", "trap 'kill $(jobs -p); wait' EXIT\n", config, *rest])
    waits = iter(WAITS)
    text = re.sub(r"^sleep 10\b.*$", lambda _: next(waits), text, flags=re.MULTILINE)
    assert next(waits, None) is None
    for told, ours in (
        ("simulate >", f"simulate --listen-address=127.0.0.1:{cloud_port} >"),
        ("127.0.0.1:18080", f"127.0.0.1:{cloud_port}"),
        (
            "--web.config.file=web.yml &",
            f"--web.config.file=web.yml --web.listen-address=:{exporter_port} &",
        ),
        ("localhost:10046", f"localhost:{exporter_port}"),
    ):
        assert told in text, f"the walk has changed: {told}"
        text = text.replace(told, ours)
    return text


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory beside which an exporter is installed, and nothing else."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, words in (("ehpc-exporter", "-m exporter"), ("python3", "")):
        (binaries / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (binaries / name).chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    return place


def run_bash(text: str, place: Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; whatever it started is ended, too."""
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environ |= {"PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    shell = subprocess.Popen(
        ["bash", "-s"], cwd=place, env=environ, start_new_session=True, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = shell.communicate(text, timeout=PATIENCE_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    return shell.returncode, out, err


def test_the_walk(place: Path, require_tool: Callable[[str], str]) -> None:
    for tool in ("bash", "openssl", "curl"):
        require_tool(tool)
    with kept_port("") as exporter_port, kept_port() as cloud_port:
        code, said, complaints = run_bash(script(exporter_port, cloud_port), place)
    assert code == 0, complaints
    assert re.findall(r"^ehpc_up.*", said, re.MULTILINE) == [
        'ehpc_up{cluster_name="cfd"} 1.0',
        'ehpc_up{cluster_name="vis"} 1.0',
    ]
    assert said.count("config.yaml is valid\n") == 2
    assert said.count("web.yml is valid\n") == 1
    assert re.search(r"^ +keys +accepted$", said, re.MULTILINE)
    assert "the history is complete after" in said
    assert "SECRETACCESSKEY" not in (place / "config.yaml").read_text()
    assert (place / "server.key").stat().st_mode & 0o077 == 0
    assert (place / "password").stat().st_mode & 0o077 == 0
    # The last step: what Prometheus is told fits what is there.
    (told,) = blocks("yaml")
    (place / "prometheus.yml").write_text(told)
    promtool = require_tool("promtool")
    checked = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
