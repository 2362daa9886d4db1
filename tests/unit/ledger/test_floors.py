"""Counters of which more was published than is known: none is shown lower, until all is counted again."""

from exporter.ledger.floors import Floors

PUBLISHED = {"a": 5, "b": 3, "gone": 2}


def higher(known: int | None, floor: int) -> int:
    return max(known or 0, floor)


def test_only_what_is_lower_is_raised() -> None:
    known = {"a": 4, "b": 3, "new": 1}
    floors = Floors(PUBLISHED, known, higher)
    assert floors.over(known) == {"a": 5, "b": 3, "gone": 2, "new": 1}
    known["a"] = 6
    assert floors.over(known) == {"a": 6, "b": 3, "gone": 2, "new": 1}


def test_where_nothing_is_lower_nothing_is_copied() -> None:
    known = {"a": 5, "b": 4, "gone": 2}
    floors = Floors(PUBLISHED, known, higher)
    assert not floors
    assert floors.over(known) is known


def test_what_was_reached_stands_once_it_is_kept() -> None:
    known = {"a": 4, "b": 3, "gone": 2}
    floors = Floors(PUBLISHED, known, higher)
    assert dict(floors.reach(known)) == {"a": 5}
    floors.rolled_back()
    floors.committed()
    assert floors
    assert dict(floors.reach(known)) == {"a": 5}
    floors.committed()
    assert not floors
    assert floors.over(known) is known
