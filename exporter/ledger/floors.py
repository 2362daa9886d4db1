"""Counters that were published higher than the ledger has them: none is shown lower than that. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key")
Counter = TypeVar("Counter")


class Floors(Generic[Key, Counter]):
    """Of the counters of one kind. They are dropped once all that happened has been counted again."""

    def __init__(
        self,
        published: Mapping[Key, Counter],
        known: Mapping[Key, Counter],
        higher: Callable[[Counter | None, Counter], Counter],
    ) -> None:
        """``higher`` gives, of a counter as it is known and as it was published, the higher one in
        every part."""
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
        """Counters as they are known, but none lower than it was published."""
        if not self._floors:
            return known
        return {**known, **self._raised(known)}

    def reach(self, known: Mapping[Key, Counter]) -> Iterable[tuple[Key, Counter]]:
        """The counters that are still lower, because their jobs are gone, raised to what was published."""
        self._reached = bool(self._floors)
        return self._raised(known).items()

    def committed(self) -> None:
        """What ``reach`` has given stands."""
        if self._reached:
            self._floors, self._reached = {}, False

    def rolled_back(self) -> None:
        """What ``reach`` has given since ``committed`` does not."""
        self._reached = False

    def _raised(self, known: Mapping[Key, Counter]) -> dict[Key, Counter]:
        return {key: self._higher(known.get(key), floor) for key, floor in self._floors.items()}
