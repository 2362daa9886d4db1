"""Hints to rows: whatever was added is found again, however full and unlucky the table is."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.row_hints import RowHints


class Colliding(str):
    """An identity whose hash is chosen."""

    chosen: int

    def __new__(cls, text: str, chosen: int) -> "Colliding":
        self = super().__new__(cls, text)
        self.chosen = chosen
        return self

    def __hash__(self) -> int:
        return self.chosen

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)


HASHES = st.one_of(
    st.sampled_from([0, -1, 1, 1023, 1 << 32, -(1 << 32), 2**61 - 2, -(2**61) + 2]),
    st.integers(-(2**61) + 1, 2**61 - 2),
)


def identities(hashes: list[int]) -> list[str]:
    return [Colliding(f"job-{number}", chosen) for number, chosen in enumerate(hashes)]


@given(st.lists(HASHES, max_size=60))
def test_what_was_added_is_among_the_hints(hashes: list[int]) -> None:
    row_hints = RowHints()
    uuids = identities(hashes)
    row_hints.add((uuid, row_number) for row_number, uuid in enumerate(uuids, 1))
    for row_number, uuid in enumerate(uuids, 1):
        assert row_number in row_hints.hints([uuid])
    assert set(row_hints.hints(uuids)) == set(range(1, len(uuids) + 1))


@given(st.lists(HASHES, min_size=1, max_size=60))
def test_the_same_job_in_another_row_has_both_hints(hashes: list[int]) -> None:
    row_hints = RowHints()
    uuids = identities(hashes)
    row_hints.add((uuid, 7) for uuid in uuids)
    row_hints.add((uuid, 2**32 - 1) for uuid in uuids)
    for uuid in uuids:
        assert {7, 2**32 - 1} <= set(row_hints.hints([uuid]))


def test_jobs_that_were_not_added_have_hardly_a_hint() -> None:
    row_hints = RowHints()
    row_hints.add((f"job-{number}", number) for number in range(1, 601))
    assert len(row_hints.hints(f"other-{number}" for number in range(10_000))) < 10


def test_a_full_table_says_so_and_a_new_one_has_room_for_more() -> None:
    row_hints = RowHints()
    entries = [(f"job-{number}", number) for number in range(1, 5001)]
    assert not row_hints.has_room(len(entries))

    def once() -> Iterator[tuple[str, int]]:
        yield from entries

    row_hints.refill(len(entries), once())
    assert row_hints.has_room(len(entries) // 5)
    assert set(row_hints.hints(uuid for uuid, _ in entries)) >= set(range(1, 5001))
    row_hints.refill(0, [])
    assert row_hints.hints(uuid for uuid, _ in entries) == []


@given(st.lists(HASHES, max_size=60))
def test_a_table_that_has_grown_has_the_same_hints_and_twice_the_room(hashes: list[int]) -> None:
    hints = RowHints()
    uuids = identities(hashes)
    hints.add((uuid, row_number) for row_number, uuid in enumerate(uuids, 1))
    most = max(jobs for jobs in range(1000) if hints.has_room(jobs))
    hints.grow()
    assert hints.has_room(2 * most)
    for row_number, uuid in enumerate(uuids, 1):
        assert row_number in hints.hints([uuid])
    hints.add((uuid, 10_000) for uuid in uuids)
    assert set(hints.hints(uuids)) == {*range(1, len(uuids) + 1), *([10_000] if uuids else [])}


def test_a_table_is_small_for_jobs_for_which_refill_makes_it_larger() -> None:
    hints = RowHints()
    hints.refill(491, [])
    assert not hints.has_room(615)
    assert not hints.is_small_for(491)
    assert hints.is_small_for(492)
    hints.refill(492, [])
    assert hints.has_room(615)


@pytest.mark.parametrize("jobs", [0, 1, 491, 492, 614, 615, 1228, 1229, 5000])
def test_after_a_new_start_there_is_room_for_a_fifth_more_however_often(jobs: int) -> None:
    row_hints = RowHints()
    for _ in range(4):
        row_hints.refill(jobs, ((f"job-{number}", number) for number in range(1, jobs + 1)))
        assert row_hints.has_room(jobs // 5)
        assert not row_hints.has_room(4 * jobs + 1000)


@pytest.mark.parametrize("jobs", [1_000, 5_000, 10_000, 17_000])
def test_a_new_start_takes_no_more_slots_than_it_needs(jobs: int) -> None:
    """Doubled until it was enough, it took up to four slots a job; of hundreds of ledgers that is much."""
    row_hints = RowHints()
    row_hints.refill(jobs, [])
    assert len(row_hints._slots) < 2.2 * jobs
