"""Keeps counters from being shown lower than they were published, after a ledger has gone back. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Counter = TypeVar("Counter")


class Floors(Generic[Key, Counter]):
    """The floors of one kind of counters: the published values that are higher than the known ones. They are
    dropped once everything has been counted again."""

    def __init__(
        self,
        published: Mapping[Key, Counter],
        known: Mapping[Key, Counter],
        higher: Callable[[Counter | None, Counter], Counter],
    ) -> None:
        """``higher`` combines a known counter and its published value: the higher value of each
        field."""
        self._higher = higher
        self._floors = {
            key: floor
            for key, floor in published.items()
            if higher(known.get(key), floor) != known.get(key)
        }
        self._reached = False

    def __bool__(self) -> bool:
        return bool(self._floors)

    def over(self, known: Mapping[Key, Counter]) -> Mapping[Key, Counter]:
        """The known counters, none lower than it was published."""
        if not self._floors:
            return known
        return {**known, **self._raised(known)}

    def reach(self, known: Mapping[Key, Counter]) -> Iterable[tuple[Key, Counter]]:
        """Raise the counters that are still lower, because their jobs are gone; returns these."""
        self._reached = bool(self._floors)
        return self._raised(known).items()

    def committed(self) -> None:
        """The transaction was committed: floors that were reached are dropped."""
        if self._reached:
            self._floors, self._reached = {}, False

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        self._reached = False

    def _raised(self, known: Mapping[Key, Counter]) -> dict[Key, Counter]:
        return {key: self._higher(known.get(key), floor) for key, floor in self._floors.items()}
