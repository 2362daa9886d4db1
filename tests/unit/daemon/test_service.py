"""What the daemon says of itself."""

import gc
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


def test_garbage_is_collected_more_rarely_than_by_default() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        service.collect_garbage_rarely()
        assert gc.get_threshold() == (10_000, 10, 10)
    finally:
        gc.set_threshold(*before)
