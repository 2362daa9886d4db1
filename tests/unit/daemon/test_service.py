"""What the daemon says of itself."""

from pathlib import Path

import pytest

from exporter.daemon import service, watch
from exporter.web.connection import Limits


def test_the_revision_is_that_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_REVISION", tmp_path / "revision")
    assert service.revision() == "unknown"
    (tmp_path / "revision").write_text("0123abcd\n")
    assert service.revision() == "0123abcd"


def test_a_stop_keeps_its_promise_of_five_seconds_whatever_hangs() -> None:
    """The pollers are waited for first, then answers under way: each only for so long."""
    assert watch.STOP_SECONDS + Limits().stop_seconds <= 4
