"""States as they are published: how old their counts are, whatever becomes of the clock."""

from dataclasses import replace

import pytest

from exporter.clock import Instant
from exporter.snapshot import dated
from tests.unit.board_states import NOON_AT, good_state, new_state

NOW = Instant(NOON_AT + 20, 1020.0)
"""The counts were true twenty seconds ago."""


def test_counts_are_as_old_as_the_clock_says_when_they_come() -> None:
    assert dated(good_state(), None, NOW).taken_seconds == 1000.0


@pytest.mark.parametrize("jump", [-86400.0, 0.0, 86400.0])
def test_the_same_counts_stay_as_old_as_they_are(jump: float) -> None:
    """A sync has failed, or the history been read on."""
    before = dated(good_state(), None, NOW)
    assert before.snapshot is not None
    later = Instant(NOW.at + 100 + jump, NOW.seconds + 100)
    for after in (
        replace(good_state(), tried=False),
        replace(good_state(), snapshot=replace(before.snapshot, history_known=7)),
    ):
        state = dated(after, before, later)
        assert state.taken_seconds == 1000.0
        assert state.age_seconds(later) == max(120.0, 120.0 + jump)


def test_new_counts_are_new() -> None:
    before = dated(good_state(), None, NOW)
    later = Instant(NOW.at + 100, NOW.seconds + 100)
    state = dated(good_state(taken_at=NOON_AT + 115), before, later)
    assert state.taken_seconds == 1115.0
    assert state.age_seconds(later) == 5.0


def test_counts_of_the_future_are_of_now() -> None:
    """The clock was set back while they were taken."""
    state = dated(good_state(taken_at=NOON_AT + 3600), None, NOW)
    assert state.taken_seconds == NOW.seconds
    assert not state.is_withdrawn(Instant(NOW.at + 300, NOW.seconds + 300))
    assert state.is_withdrawn(Instant(NOW.at + 301, NOW.seconds + 301))


def test_where_there_are_no_counts_nothing_is_old() -> None:
    state = dated(new_state(), dated(good_state("new"), None, NOW), NOW)
    assert state == new_state()
    assert state.age_seconds(NOW) is None
    assert not state.is_withdrawn(NOW)
