"""What the README and the walk name is there, the README is short, and its configuration is one."""

import re
from pathlib import Path

import pytest

from exporter import catalog
from exporter.cli import main
from exporter.cli.arguments import COMMANDS
from exporter.config import load_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = (ROOT / "docs/walk.md").read_text(encoding="utf-8")
OTHERS = {"--silent", "--cacert", "--user"}
"""Flags of curl."""


def test_it_is_short_and_begins_with_its_pictures() -> None:
    beginning, _ = README.split("\n## ", 1)
    assert beginning.count("![") == 2
    for name in ("README.md", "README.zh-CN.md"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) < 200


def test_its_configuration_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"config\.yaml <<'EOF'\n(.*?)^EOF$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "config.yaml").write_text(text)
    environ = {"EHPC_ACCESS_KEY_ID": "KEY", "EHPC_SECRET_ACCESS_KEY": "secret"}
    assert load_config(tmp_path / "config.yaml", environ).accounts[0].discovery is not None


def test_its_flags_are_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w.-]+", README + WALK)) - OTHERS
    assert len(named) > 5
    assert named <= known


def test_its_metrics_are_metrics() -> None:
    known = {metric.name for metric in vars(catalog).values() if isinstance(metric, catalog.Metric)}
    named = set(re.findall(r"\behpc_\w+", README))
    assert len(named) > 10
    assert named <= known


def test_its_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "docs/release.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE)
        assert named
        assert set(named) <= targets, name
