"""Which unit tests need the simulated cloud: all others take no time, and are what ``make test-fast`` runs."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_IMPORTS = re.compile(r"^ *from ((?:exporter\.simulator|tests\.)[\w.]*) import", re.MULTILINE)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark the tests of files that let clusters live in the simulated cloud."""
    for item in items:
        if item.path.is_relative_to(HERE) and needs_the_cloud(item.path):
            item.add_marker("simulated_cloud")


@cache
def needs_the_cloud(path: Path) -> bool:
    """Whether a file takes anything from the simulated cloud, itself or by what tests share."""
    for module in _IMPORTS.findall(path.read_text(encoding="utf-8")):
        if module.startswith("exporter.simulator"):
            return True
        shared = ROOT / f"{module.replace('.', '/')}.py"
        if shared.exists() and needs_the_cloud(shared):
            return True
    return False
