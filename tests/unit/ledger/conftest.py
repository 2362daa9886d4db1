"""A ledger in a file, for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.ledger.store import Ledger, open_ledger
from tests.unit.ledger.made import WHOSE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "one.ledger"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """Open, and empty."""
    opened = open_ledger(path, WHOSE)
    yield opened
    opened.close()
