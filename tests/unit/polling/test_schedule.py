"""Who is due when. Times of syncs, from nothing but values."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.schedule import (
    first_wait_seconds,
    next_due_at,
    offset_part,
    retry_wait_seconds,
)

NAMES = st.text(max_size=20)
INTERVALS = st.floats(1, 86400)
MOMENTS = st.floats(1e9, 4e9)


@given(name=NAMES)
def test_the_offset_is_a_part_and_the_same_each_time(name: str) -> None:
    assert 0 <= offset_part(name) < 1
    assert offset_part(name) == offset_part(name)


def test_the_offsets_spread() -> None:
    parts = sorted(offset_part(f"cluster-{number}") for number in range(40))
    assert len({int(part * 8) for part in parts}) == 8


@given(name=NAMES, interval=INTERVALS)
def test_the_first_sync_is_soon(name: str, interval: float) -> None:
    assert 0 <= first_wait_seconds(name, interval) <= min(5, interval)


@given(name=NAMES, interval=INTERVALS, now_at=MOMENTS)
def test_the_next_is_neither_at_once_nor_late(name: str, interval: float, now_at: float) -> None:
    wait = next_due_at(name, interval, now_at + interval / 2) - now_at
    assert interval * 0.4999 <= wait <= interval * 1.5001


@given(name=NAMES, interval=INTERVALS, now_at=MOMENTS, took=st.floats(0, 0.49))
def test_syncs_that_are_quick_enough_keep_their_beat(
    name: str, interval: float, now_at: float, took: float
) -> None:
    due_at = next_due_at(name, interval, now_at + interval / 2)
    for _ in range(5):
        ended_at = due_at + took * interval
        following_at = next_due_at(name, interval, ended_at + interval / 2)
        assert abs(following_at - due_at - interval) < 0.001
        due_at = following_at


@given(failures=st.integers(1, 10**6), interval=INTERVALS)
def test_a_failed_sync_is_tried_again_within_the_contract(failures: int, interval: float) -> None:
    wait = retry_wait_seconds(failures, interval)
    assert min(interval, 30) <= wait <= max(30, 3 * interval)
    assert wait <= retry_wait_seconds(failures + 1, interval)


def test_waits_grow() -> None:
    assert [retry_wait_seconds(failures, 60) for failures in (1, 2, 3, 4)] == [60, 120, 180, 180]
    assert [retry_wait_seconds(failures, 1) for failures in (1, 2, 5, 6, 7)] == [1, 2, 16, 30, 30]
