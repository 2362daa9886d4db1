"""What is neither Python nor a format of one tool: shell scripts, YAML, the Dockerfile."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.running import ROOT
from tests.waiting import PATIENCE_SECONDS

FOREIGN = {"build", "dist", "node_modules", "state", "__pycache__"}
OWN_HIDDEN = {".ci", ".github"}


def own_files() -> Iterator[Path]:
    """The files of the project; nothing that was installed or built."""
    for directory, names, files in os.walk(ROOT):
        names[:] = sorted(
            name
            for name in names
            if name not in FOREIGN and (name in OWN_HIDDEN or not name.startswith("."))
        )
        yield from (Path(directory, name) for name in sorted(files))


def is_shell(path: Path) -> bool:
    if path.suffix in {".sh", ".bash"}:
        return True
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.split()[-1].split(b"/")[-1] in {
        b"sh",
        b"bash",
        b"dash",
    }


def lint(*command: str) -> None:
    program = Path(sys.executable).with_name(command[0])  # installed with the other packages
    done = subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_shell_scripts() -> None:
    scripts = [str(path) for path in own_files() if not path.is_symlink() and is_shell(path)]
    assert str(ROOT / ".ci/run") in scripts
    lint("shellcheck", "--enable=all", "--exclude=SC2250,SC2292,SC2310,SC2312", *scripts)


def test_yaml() -> None:
    files = [
        str(path)
        for path in own_files()
        if path.suffix in {".yaml", ".yml"} and "templates" not in path.parts  # these are Go's
    ]
    assert len(files) > 10
    lint("yamllint", "--strict", *files)


@pytest.mark.parametrize(
    "path",
    [path for path in own_files() if path.name.startswith("Dockerfile")],
    ids=lambda p: p.name,
)
def test_dockerfile(path: Path) -> None:
    lint("hadolint", "--failure-threshold=info", str(path))


def test_workflows() -> None:
    lint(
        "zizmor", "--offline", "--quiet", "--no-progress", "--strict-collection", "--format=github",
        ".github",
    )  # fmt: skip


def test_what_workflows_run(tmp_path: Path) -> None:
    """Each step as a script of its own."""
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            for number, step in enumerate(job.get("steps", ())):
                if "run" in step:
                    script = tmp_path / f"{path.stem}-{name}-{number}.bash"
                    script.write_text(f"#!/bin/bash\nset -eo pipefail\n{step['run']}")
    scripts = [str(script) for script in tmp_path.iterdir()]
    assert len(scripts) > 10
    # Variables come from the runner.
    lint("shellcheck", "--enable=all", "--exclude=SC2154,SC2250,SC2312", *scripts)


def test_the_linters_find_something(tmp_path: Path) -> None:
    (tmp_path / "x.sh").write_text("#!/bin/sh\nrm -rf $1\n")
    (tmp_path / "x.yml").write_text("a: 1\na: 2\n")
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /x\n")
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    (workflows / "x.yml").write_text(
        "on: push\njobs: {a: {runs-on: x, steps: [{uses: actions/checkout@v5}]}}\n"
    )
    for program, name in (
        ("shellcheck", "x.sh"), ("yamllint", "x.yml"), ("hadolint", "Dockerfile"),
        ("zizmor", ".github"),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            lint(program, str(tmp_path / name))
