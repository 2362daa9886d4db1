"""What pages prove about a server, and what they only may."""

import pytest
from exporter.sync.evidence import (
    after_page,
    by_last_change,
    changed_at,
    distinct_times,
    is_last,
    known_up_to_at,
    newest_first,
    submitted_at,
    unsorted,
)
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.records import Progress
from exporter.model import Job, Page
from tests.unit.sync.answers import AT, numbered


def page_of(length: int, total: int | None) -> Page:
    return Page(tuple(numbered(length)), total)


@pytest.mark.parametrize(
    ("newest_at", "last_success_at", "known"),
    [
        (None, None, None),
        (None, AT + 0.0, None),
        (AT, None, AT - 10),
        (AT, AT + 60.5, AT - 10),  # nothing has changed for a minute
        (AT + 10**8, AT + 60.5, AT + 50),  # a job from the future
        (AT - 28800, AT + 60.5, AT - 28810),  # stamps that lie behind the clock
    ],
)
def test_what_is_known_up_to(
    newest_at: int | None, last_success_at: float | None, known: int | None
) -> None:
    progress = Progress(newest_at=newest_at, last_success_at=last_success_at)
    assert known_up_to_at(progress) == known


class TestLastPage:
    """``page_cap`` is 10: a page of ten may be followed by another."""

    @pytest.mark.parametrize(
        ("length", "total", "offset", "filtered", "totals", "last"),
        [
            # The total counts this list.
            (10, 10, 0, False, "unknown", True),
            (10, 11, 0, False, "unknown", False),
            (5, 15, 10, False, "unknown", True),
            (5, 16, 10, False, "unknown", False),
            (0, 0, 0, False, "unknown", True),
            # It may count up to a limit only: then a page as long as was asked for proves nothing.
            (99, 99, 0, False, "unknown", True),
            (100, 100, 0, False, "unknown", False),
            (100, 199, 99, True, "filtered", False),
            (0, 7, 0, False, "unknown", False),
            (5, 15, 10, True, "filtered", True),
            (5, 16, 10, True, "filtered", False),
            (0, 0, 0, True, "filtered", True),
            # The total counts something else: a short page ends the list.
            (5, 500, 0, True, "unknown", True),
            (5, 500, 0, True, "whole", True),
            (10, 500, 0, True, "whole", False),
            (0, 500, 0, True, "whole", True),
            (5, 3, 0, False, "unknown", True),
            (10, 3, 0, False, "unknown", False),
            # There is no total.
            (5, None, 0, False, "missing", True),
            (10, None, 0, False, "missing", False),
            (0, None, 0, False, "missing", True),
            # A page beyond the end is no page of the list.
            (0, None, 20, False, "missing", False),
            (0, 20, 20, False, "unknown", True),
        ],
    )
    def test_table(
        self, length: int, total: int | None, offset: int, filtered: bool, totals: str, last: bool
    ) -> None:
        progress = Progress(page_cap=10, totals=totals)
        assert is_last(progress, page_of(length, total), offset=offset, filtered=filtered) is last

    @pytest.mark.parametrize("length", [1, 10, 99, 100])
    def test_without_a_total_the_first_page_ever_proves_nothing(self, length: int) -> None:
        page = page_of(length, None)
        progress = after_page(Progress(), page, 100)
        assert progress.page_cap == length
        assert not is_last(progress, page, offset=0, filtered=False)

    def test_a_page_longer_than_asked_for_teaches_nothing(self) -> None:
        assert after_page(Progress(page_cap=7), page_of(12, None), 10).page_cap == 7

    def test_a_shorter_page_teaches_nothing(self) -> None:
        progress = Progress(page_cap=7)
        assert after_page(progress, page_of(3, None), 10) is progress


class TestOrder:
    @pytest.mark.parametrize(
        ("times", "sorted_"),
        [
            ((), True),
            ((5,), True),
            ((5, 5, 5), True),
            ((5, 4, 4, 1), True),
            ((5, 4, 6), False),
            ((1, 2), False),
            ((5, None, None), True),
            ((None, 5), False),
        ],
    )
    def test_newest_first(self, times: tuple[int | None, ...], sorted_: bool) -> None:
        jobs = [
            job._replace(modified_at=at)
            for job, at in zip(numbered(len(times)), times, strict=True)
        ]
        assert newest_first(jobs) is sorted_

    @given(st.lists(st.integers(0, 5), max_size=6))
    def test_it_is_what_sorting_says(self, times: list[int]) -> None:
        jobs = [
            job._replace(modified_at=at, submitted_at=9)
            for job, at in zip(numbered(len(times)), times, strict=True)
        ]
        assert newest_first(jobs) == (times == sorted(times, reverse=True))
        assert newest_first(jobs, submitted_at)
        assert distinct_times(jobs) == len(set(times))

    def test_a_time_that_is_missing_is_the_oldest(self) -> None:
        job = Job("u", "running", "q", "v", 1, None, None, None)
        assert changed_at(job) == submitted_at(job) == 0
        assert changed_at(job._replace(modified_at=AT)) == AT


def test_queries() -> None:
    assert by_last_change(200, "pending").sort_key == "modified_time"
    assert by_last_change(200, "pending").descending
    assert (by_last_change(200, "pending").offset, by_last_change(200).status) == (200, None)
    assert unsorted(7, "running").sort_key is None
    assert (unsorted(7, "running").offset, unsorted(7, "running").status) == (7, "running")
