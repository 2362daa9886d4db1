"""What the image is made of fits what the project asks for, and is named by hashes."""

import re
import tomllib

import pytest

from tests.deploy.rule_files import ROOT

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, tuple[int, ...]]:
    """The packages of a lock file with their versions; each has hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "deploy" / name).read_text().strip()):
        package, version, *rest = re.split(r"==| \\\n +", entry)
        assert rest, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in rest), package
        found[package] = numbers(version)
    return found


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def test_the_dependencies_are_locked_within_their_bounds() -> None:
    versions = locked("requirements.txt")
    for requirement in PYPROJECT["project"]["dependencies"]:
        name, floor, ceiling = re.split(r">=|,<", requirement.lower())
        assert numbers(floor) <= versions[name] < numbers(ceiling), "run make lock"


def test_the_build_is_locked() -> None:
    versions = locked("requirements-build.txt")
    for requirement in PYPROJECT["build-system"]["requires"]:
        name, floor = requirement.split(">=")
        assert numbers(floor) <= versions[name], "run make lock"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_the_image_is_made_of_them(name: str) -> None:
    assert f"--require-hashes --requirement deploy/{name}" in DOCKERFILE
    assert "\n!deploy/requirements*.txt\n" in (ROOT / ".dockerignore").read_text()


def test_the_base_is_named_by_its_digest() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert set(bases) == {"${BASE}"}
    assert re.search(r"^ARG BASE=python:[\w.-]+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
