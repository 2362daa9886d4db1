"""What the README names is there."""

import re
from pathlib import Path

import pytest

from exporter import catalog
from exporter.cli import main
from exporter.cli.arguments import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


OTHERS = {"--strict", "--silent", "--cacert", "--user"}
"""Flags of mypy and curl."""


def test_its_flags_are_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
    known = set(re.findall(r"--[\w.-]+", capsys.readouterr().out))
    named = set(re.findall(r"(?<![\w-])--[a-z][\w.-]+", README)) - OTHERS
    assert len(named) > 5
    assert named <= known


def test_its_metrics_are_metrics() -> None:
    known = {metric.name for metric in vars(catalog).values() if isinstance(metric, catalog.Metric)}
    named = set(re.findall(r"\behpc_\w+", README))
    assert len(named) > 10
    assert named <= known


def test_its_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"^ {4}make (\w+)|`make (\w+)", README, re.MULTILINE))
    assert named
    assert {one or other for one, other in named} <= targets
