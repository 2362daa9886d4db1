"""When and how often a failed call is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api.retry import Allowance, RetryPolicy

JITTER = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("retry", "jitter", "seconds"), [(1, 0.0, 1.0), (1, 0.5, 1.5), (2, 0.0, 3.0), (2, 0.5, 4.5)]
)
def test_waits_grow(retry: int, jitter: float, seconds: float) -> None:
    assert RetryPolicy().wait_seconds(retry, jitter) == pytest.approx(seconds)


@given(st.lists(JITTER, min_size=2, max_size=2))
def test_all_waits_of_one_sync_fit_into_eight_seconds(jitters: list[float]) -> None:
    policy = RetryPolicy()
    assert policy.retries == len(jitters)
    waits = [policy.wait_seconds(number, jitter) for number, jitter in enumerate(jitters, 1)]
    assert 0 < sum(waits) <= 8
    assert waits == sorted(waits)


def test_an_allowance_is_spent() -> None:
    full = Allowance.of(RetryPolicy(retries=2))
    assert [full.left, full.spent().left, full.spent().spent().left] == [2, 1, 0]


@pytest.mark.parametrize(
    ("spent", "successes", "left"),
    [(0, 1000, 2), (1, 19, 1), (1, 20, 2), (2, 19, 0), (2, 20, 1), (2, 39, 1), (2, 40, 2)],
)
def test_successes_earn_retries_back_but_no_more_than_at_first(
    spent: int, successes: int, left: int
) -> None:
    allowance = Allowance.of(RetryPolicy())
    for _ in range(spent):
        allowance = allowance.spent()
    for _ in range(successes):
        allowance = allowance.succeeded()
    assert allowance.left == left


@given(st.lists(st.sampled_from(["call", "fault"]), max_size=400))
def test_retries_are_never_more_than_two_and_one_in_twenty_calls(events: list[str]) -> None:
    allowance = Allowance.of(RetryPolicy())
    retries = calls = 0
    for event in events:
        if event == "call":
            allowance, calls = allowance.succeeded(), calls + 1
        elif allowance.left:
            allowance, retries = allowance.spent(), retries + 1
    assert retries <= 2 + calls // 20
    assert 0 <= allowance.left <= 2
