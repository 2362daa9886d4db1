"""A release: the same to the byte wherever it is built, complete, and with nothing else in it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import dist
from deploy.packaging import for_index
from exporter import __version__
from exporter.web.manual import PAGES, PICTURES, Manual
from tests.e2e.running import ROOT
from tests.floor import floors


@pytest.fixture(scope="module")
def packages(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> list[Path]:
    require_tool("git")
    return dist.build(tmp_path_factory.mktemp("packages"))


def test_the_same_wherever_it_is_built(
    packages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    mask = os.umask(0o077)
    try:
        again = dist.build(tmp_path)
    finally:
        os.umask(mask)
    assert [file.name for file in again] == [file.name for file in packages]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in packages]


def test_the_wheel_has_the_program_and_its_licence_alone(packages: list[Path]) -> None:
    with zipfile.ZipFile(packages[1]) as wheel:
        names = wheel.namelist()
        licence = f"ehpc_exporter-{__version__}.dist-info/licenses/LICENSE"
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
        metadata = wheel.read(f"ehpc_exporter-{__version__}.dist-info/METADATA").decode()
    assert {name.split("/")[0] for name in names} == {
        "exporter",
        f"ehpc_exporter-{__version__}.dist-info",
    }
    assert "exporter/__main__.py" in names
    assert not [name for name in names if "test" in name]
    assert "License-Expression: Apache-2.0" in metadata


def test_the_wheel_carries_the_documentation(packages: list[Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(packages[1]) as wheel:
        wheel.extractall(tmp_path)
    carried = Manual("1", tmp_path / "exporter/web/docs")
    here = Manual("1")
    for path in ("", *PAGES, *(f"images/{name}" for name in PICTURES)):
        leaf = carried.leaf(path)
        assert leaf is not None
        assert leaf.media_type == here.leaf(path).media_type  # type: ignore[union-attr]
    carried_names = {file.name for file in (tmp_path / "exporter/web/docs").iterdir()}
    assert carried_names == {*(f"{name}.md" for name in PAGES), "images"}


def test_the_sdist_has_everything(packages: list[Path]) -> None:
    committed = subprocess.check_output(
        ["git", "ls-tree", "-r", "--name-only", "-z", "HEAD"], cwd=ROOT, text=True
    ).split("\0")
    with tarfile.open(packages[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names == {*committed, "PKG-INFO", "exporter/revision"} - {""}


def test_the_packages_know_their_commit(packages: list[Path], tmp_path: Path) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
    with zipfile.ZipFile(packages[1]) as wheel:
        assert wheel.read("exporter/revision").decode() == head
        assert wheel.read("exporter/py.typed") == b""
    with packages[0].open("rb") as sdist:
        dist.unpack(sdist, tmp_path)
    (source,) = tmp_path.iterdir()
    (again,) = built_by_pip(source, tmp_path / "wheels")
    with zipfile.ZipFile(again) as wheel:
        assert wheel.read("exporter/revision").decode() == head


def built_by_pip(source: Path, out: Path) -> list[Path]:
    """As ``pip install .`` builds it, but for the isolation: nothing is fetched."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, f"--wheel-dir={out}", str(source)], check=True, capture_output=True)
    return list(out.iterdir())


def test_a_checkout_knows_its_commit_when_it_is_installed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout, text=True)
    (built,) = built_by_pip(checkout, tmp_path / "wheels")
    with zipfile.ZipFile(built) as wheel:
        assert wheel.read("exporter/revision").decode() == head
    assert not (checkout / "exporter/revision").exists()


def test_the_readme_of_an_index_has_no_link_into_nowhere(packages: list[Path]) -> None:
    with zipfile.ZipFile(packages[1]) as wheel:
        metadata = wheel.read(f"ehpc_exporter-{__version__}.dist-info/METADATA").decode()
    assert "# ehpc-exporter\n" in metadata
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", metadata) == []


def test_the_readme_of_an_index_leads_to_the_project_once_it_has_an_address() -> None:
    text = (
        "![A picture](docs/a.png) of [this](docs/b.md#c), [that](https://d.example/e), [here](#f)"
    )
    assert for_index(text, "") == " of this, [that](https://d.example/e), [here](#f)"
    assert for_index(text, "https://project.example/") == (
        "![A picture](https://project.example/raw/HEAD/docs/a.png) of"
        " [this](https://project.example/blob/HEAD/docs/b.md#c), [that](https://d.example/e), [here](#f)"
    )


def test_a_build_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(place: Path) -> list[Path]:
        place.mkdir()
        (place / "a.whl").write_text(str(place))
        return [place / "a.whl"]

    monkeypatch.setattr(dist, "build", build)
    with pytest.raises(dist.DistError, match=r"a\.whl does not come out the same"):
        dist.make(tmp_path)


@pytest.mark.skipif(not os.environ.get("CI"), reason="installs all dependencies anew: CI only")
def test_an_installed_wheel_runs_and_is_listed(packages: list[Path], tmp_path: Path) -> None:
    bom = json.loads(dist.bill_of_materials(packages[1], tmp_path).read_text())
    read = (
        "from exporter.web.manual import Manual; print(Manual('').leaf('operations') is not None)"
    )
    python = tmp_path / "venv/bin/python"
    assert subprocess.check_output([python, "-c", read], cwd=tmp_path, text=True) == "True\n"
    assert bom["bomFormat"] == "CycloneDX"
    root = bom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("ehpc-exporter", __version__)
    listed = {component["name"].lower().replace("_", "-") for component in bom["components"]}
    assert {line.split("==")[0].lower() for line in floors()} <= listed
    assert not {"pip", "pytest", "setuptools"} & listed
    assert str(tmp_path) not in json.dumps(bom)


def test_checksums(packages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([packages, list(packages)])
    monkeypatch.setattr(dist, "build", lambda _: [tmp_path / f.name for f in next(made)])
    monkeypatch.setattr(dist, "bill_of_materials", lambda wheel, _: wheel.with_suffix(".json"))
    for file in packages:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / packages[1].with_suffix(".json").name).write_text("{}")
    *files, sums = dist.make(tmp_path)
    lines = sums.read_text().splitlines()
    assert lines == [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}" for f in files]
    assert len(lines) == 3
