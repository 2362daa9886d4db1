"""The version stands in one place, what repeats it follows, and the changelog has its section."""

import re
from pathlib import Path

import pytest

from deploy import version
from deploy.version import PLACES, VersionError, notes, released, renewed, versions
from exporter import __version__
from tests.e2e.running import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

LOG = """\
# Changelog

## [Unreleased]

### Added

- A new thing.

## [0.1.0] - 2026-11-23

### Added

- The first thing.
"""


@pytest.mark.parametrize("name", PLACES)
def test_everything_that_repeats_it_follows(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert set(versions(name, text)) == {__version__}, "run make version"
    assert set(versions(name, renewed(name, text, "9.10.11"))) == {"9.10.11"}
    assert renewed(name, renewed(name, text, "9.10.11"), __version__) == text


def test_a_place_that_is_gone_is_told() -> None:
    with pytest.raises(VersionError, match=r"Chart\.yaml names no version"):
        versions("deploy/helm/ehpc-exporter/Chart.yaml", "version: 0.1.0\n")


def test_the_changelog_begins_with_what_is_next_and_goes_on_with_this_version() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert HEADINGS[1].startswith(f"[{__version__}] - ")
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in HEADINGS[1:])
    numbers = [tuple(map(int, re.findall(r"\d+", each)[:3])) for each in HEADINGS[1:]]
    assert numbers == sorted(set(numbers), reverse=True)
    assert set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE)) <= KINDS


def test_what_was_unreleased_becomes_the_version() -> None:
    text = released(LOG, "0.2.0", "2026-12-01")
    assert re.findall(r"^## .*", text, re.MULTILINE) == [
        "## [Unreleased]", "## [0.2.0] - 2026-12-01", "## [0.1.0] - 2026-11-23",
    ]  # fmt: skip
    assert notes(text, "0.2.0") == "### Added\n\n- A new thing.\n"
    assert notes(text, "0.1.0") == "### Added\n\n- The first thing.\n"
    with pytest.raises(VersionError, match="nothing under Unreleased"):
        released(text, "0.3.0", "2026-12-02")
    with pytest.raises(VersionError, match=r"section for 0\.1\.0 already"):
        released(LOG, "0.1.0", "2026-12-02")
    with pytest.raises(VersionError, match=r"no section for 0\.9\.0"):
        notes(text, "0.9.0")


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(LOG)
    monkeypatch.setattr(version, "ROOT", tmp_path)
    assert version.main(["set", "7.8.9"]) == 0
    assert version.main(["check", "v7.8.9"]) == 0
    assert version.main(["show"]) == 0
    assert capsys.readouterr().out == "7.8.9\n"
    assert version.main(["notes"]) == 0
    assert capsys.readouterr().out == "### Added\n\n- A new thing.\n"
    for wrong, said in (
        (["check", "v0.1.0"], "v0.1.0 is not the tag of version 7.8.9\n"),
        (["set", "8"], "'8' is no version such as 0.3.0\n"),
        (["set", "8.0.0"], "CHANGELOG.md has nothing under Unreleased\n"),
    ):
        assert version.main(wrong) == 1
        assert capsys.readouterr().err == said
    assert version.main([]) == 2
    assert version.present() == "7.8.9"
