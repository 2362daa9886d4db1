"""What room a window has for steady calls, and that it takes no long look."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exporter.api.window import slowdown, spare_calls
from tests.unit.api.budgets import PERIOD


class CountedReads(list[float]):
    """Numbers that count how many of them are read."""

    reads = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.reads += len(found) if isinstance(place, slice) else 1
        return found

    def __iter__(self) -> Iterator[float]:
        return map(self.__getitem__, range(len(self)))


def _plain_spare_calls(allowed: int, waits: list[float], rate: float) -> int:
    free = allowed - len(waits)
    steady = [int(rate * (wait + 0.01)) for wait in waits]
    return max(0, min((free + left - each for left, each in enumerate(steady)), default=free))


def _plain_slowdown(allowed: int, waits: list[float], rate: float) -> float:
    room = range(max(1, allowed - len(waits) + 1), allowed + 1)
    waits = waits[-allowed:]
    return max([1.0, *(rate * (wait + 0.01) / of for wait, of in zip(waits, room, strict=True))])


class TestSpareCalls:
    """What can be spent now without a steady rate ever finding the window full."""

    WAITS = st.lists(st.floats(0, PERIOD), max_size=60).map(sorted)

    def test_nothing_is_planned(self) -> None:
        assert spare_calls(100, [], 0.0) == 100
        assert spare_calls(100, [10.0] * 30, 0.0) == 70

    def test_calls_of_one_moment_come_back_in_one_moment(self) -> None:
        # Ninety seconds from one to the next: 39 are needed before the fifty leave the window.
        assert spare_calls(100, [3590.0] * 50, 40 / PERIOD) == 50 - 39

    def test_calls_in_a_steady_rhythm_make_room_for_those_that_follow(self) -> None:
        rhythm = [90.0 * place - 1 for place in range(1, 41)]  # a second after the last
        assert spare_calls(100, rhythm, 40 / PERIOD) == 60

    @given(
        allowed=st.integers(1, 60),
        waits=WAITS,
        interval=st.floats(30, PERIOD),
        spent=st.booleans(),
    )
    def test_once_it_is_spent_every_steady_call_finds_room(
        self, allowed: int, waits: list[float], interval: float, spent: bool
    ) -> None:
        """Unless it would not have found any had nothing been spent: then nothing is spare."""
        assume(allowed * interval > PERIOD)
        rate = 1 / interval
        spare = min(spare_calls(allowed, waits, rate), allowed - math.ceil(rate * PERIOD))
        if spare == 0:
            return
        leaving = sorted(waits + [PERIOD] * spare) if spent else waits
        made = 0
        while (made + 1) * interval < PERIOD:
            made += 1
            left = sum(wait < made * interval for wait in leaving)
            assert len(leaving) - left + made <= allowed

    @given(allowed=st.integers(1, 60), waits=WAITS, interval=st.floats(30, PERIOD))
    def test_slowed_down_every_steady_call_finds_room(
        self, allowed: int, waits: list[float], interval: float
    ) -> None:
        assume(allowed * interval > PERIOD)
        waits = waits[-allowed:]
        slower = slowdown(allowed, waits, 1 / interval)
        assert slower >= 1
        made = 0
        while (made + 1) * interval * slower < PERIOD:
            made += 1
            left = sum(wait < made * interval * slower for wait in waits)
            assert len(waits) - left + made <= allowed

    @given(
        allowed=st.integers(1, 9),
        waits=st.lists(st.sampled_from([0.0, 1800.0, 3000.0, PERIOD]), max_size=9).map(sorted),
        rate=st.floats(0, 12 / PERIOD),
    )
    @example(allowed=3, waits=[0.0, PERIOD, PERIOD], rate=2.5 / PERIOD)
    def test_they_are_what_looking_at_the_whole_window_gives(
        self, allowed: int, waits: list[float], rate: float
    ) -> None:
        assert spare_calls(allowed, waits, rate) == _plain_spare_calls(allowed, waits, rate)
        assert slowdown(allowed, waits, rate) == _plain_slowdown(allowed, waits, rate)

    @pytest.mark.parametrize("allowed", [100_000, 1_000])
    def test_they_look_at_no_more_of_a_long_window_than_steady_calls_can_come(
        self, allowed: int
    ) -> None:
        waits = CountedReads(PERIOD * place / 1_000 for place in range(1_000))
        spare_calls(allowed, waits, 60 / PERIOD)
        slowdown(allowed, waits, 60 / PERIOD)
        assert waits.reads <= 2 * (60 + 1)

    def test_a_share_that_became_smaller(self) -> None:
        waits = [60.0 * place for place in range(1, 61)]
        assert spare_calls(20, waits, 1 / 600) == 0
        assert 1 / 600 / slowdown(20, waits, 1 / 600) <= 1 / (41 * 60)
