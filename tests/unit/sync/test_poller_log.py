"""What the pollers say, and how often."""

import logging

import pytest

from tests.unit.sync.test_poller import polled


def test_a_history_of_hours_is_told_now_and_then_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    cloud = polled(8_000)
    cloud.call_seconds = 8.0  # some pages between two syncs, so that it takes a quarter of an hour
    cloud.run(3600)
    told = [record.message for record in caplog.records]
    progress = told.count("reading the history")
    shown = {state.snapshot.history_known for state in cloud.published if state.snapshot}
    assert 2 <= progress < len(shown) / 3
    assert told.count("the history is complete") == 1
    assert "reading the history" not in told[told.index("the history is complete") :]


def test_nothing_is_told_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    cloud = polled()
    cloud.clock.stop_at = cloud.clock.now + 4 * 3600
    begun_at = cloud.clock.now
    told_before = 0
    caplog.set_level(logging.INFO, "exporter")
    publish = cloud.board.publish

    def watched(state: object) -> None:
        nonlocal told_before
        if cloud.clock.now - begun_at < 1800:
            told_before = len(caplog.records)
        publish(state)  # type: ignore[arg-type]

    cloud.board.publish = watched  # type: ignore[method-assign,assignment]
    cloud.poller._run()
    steady = [record.message for record in caplog.records[told_before:]]
    assert len(cloud.sync_times) > 200
    assert steady == []
