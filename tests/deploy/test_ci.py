"""What prepares a machine for the tests: any Debian will do, and nothing is forgotten."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.running import ROOT

NEWER = """\
Types: deb deb-src
# http://snapshot.debian.org/archive/debian/20250520T000000Z
URIs: http://mirror.example.org/debian/
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: trixie-security
Components: main
"""
CLASSIC = """\
# deb http://old.example.org/debian bookworm main
deb http://security.example.org/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://classic.example.org/pub/debian bookworm main
deb-src https://sources.example.org/debian bookworm main
"""


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("sources.list.d/debian.sources", NEWER, "http://mirror.example.org/debian\n"),
        ("sources.list", CLASSIC, "https://classic.example.org/pub/debian\n"),
        ("sources.list.d/more.list", CLASSIC, "https://classic.example.org/pub/debian\n"),
        ("sources.list.d/vendor.list", "deb http://vendor.example.org/apt stable main\n", ""),
    ],
)
def test_the_mirror_is_found_in_sources_of_either_format(
    tmp_path: Path, file: str, text: str, told: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    done = subprocess.run(
        [ROOT / ".ci/debian-mirror", tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode != 0) == (told, "", told == "")


def test_pythons_come_from_the_oldest_to_the_newest(tmp_path: Path) -> None:
    for name, said in (("3.9", "3.9.1"), ("3.14", "3.14.99"), ("3.12", "3.12.0"), ("3.13", "")):
        shim = tmp_path / f"python{name}"
        shim.write_text(f"#!/bin/sh\necho {said}\n" if said else "#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
    told = subprocess.check_output(
        [ROOT / ".ci/pythons"], text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path), "HOME": "/"},
    )  # fmt: skip
    found = [line.split() for line in told.splitlines()]
    assert ["3.12.0", f"{tmp_path}/python3.12"] in found
    assert found[-1] == ["3.14.99", f"{tmp_path}/python3.14"]
    assert found[0][0].startswith("3.1")
    assert not {f"{tmp_path}/python3.9", f"{tmp_path}/python3.13"} & {path for _, path in found}


def test_every_tool_that_a_test_asks_for_is_installed() -> None:
    asked = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"require_tool\(\s*\"([\w-]+)\"", path.read_text())
    }
    run = (ROOT / ".ci/run").read_text()
    (listed,) = re.findall(r"^tools=\((.*?)^\)", run, re.MULTILINE | re.DOTALL)
    tools = {line.split("=")[0].strip() for line in listed.split()}
    assert {"git", "mount", "promtool"} <= asked
    assert asked - tools == set()
