"""Promises that the sync does not keep yet: ``owed.txt`` names their tests, which may fail.

Whoever makes one of them pass takes its line out.
"""

from pathlib import Path

import pytest

OWED = Path(__file__).with_name("owed.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that are named there fail without failing all."""
    owed = {
        line.split("::", 1)[1].strip() for line in OWED.read_text().splitlines() if "::" in line
    }
    for item in items:
        if item.nodeid.split("::", 1)[-1] in owed:
            item.add_marker(pytest.mark.xfail(reason="owed.txt names it", strict=False))
