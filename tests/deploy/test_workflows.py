"""What runs elsewhere can be run here: workflows are made of this project's own commands, and miss no Python."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.e2e.running import ROOT

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github/workflows").glob("*.yml")
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
DEBIANS = {"bookworm": "3.11", "trixie": "3.13"}
"""The Python that each has of its own."""


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[name]["jobs"].values() for step in job.get("steps", ())]


def test_the_tests_run_on_every_python_and_on_two_debians() -> None:
    images = WORKFLOWS["tests"]["jobs"]["run"]["strategy"]["matrix"]["image"]
    suites = {re.split(r"[:-]", image)[-1] for image in images}
    assert suites == set(DEBIANS)
    pythons = {
        tag.partition("-")[0] if name == "python" else DEBIANS[tag]
        for name, tag in (image.split(":") for image in images)
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [each.rpartition(" ")[2] for each in project["classifiers"] if "Python :: 3." in each]
    assert pythons == set(named)
    assert steps("tests")[-1] == {"run": ".ci/run"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_targets_are_those_of_the_makefile(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    for step in steps(name):
        for words in re.findall(r"\bmake ([^\n>]+)", step.get("run", "")):
            assert {word for word in words.split() if "=" not in word} <= targets, words


def test_a_release_waits_for_the_tests() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    waiting = {name: job.get("needs", ()) for name, job in jobs.items() if name != "tests"}
    assert waiting == {
        "packages": "tests", "image": "packages", "publish": ["packages", "image"],
        "index": "publish",
    }  # fmt: skip


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_named_by_their_commit(name: str) -> None:
    for step in steps(name):
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
