"""The rows of a metric, by group and user; keeps those that have not changed. Pure."""

from bisect import bisect_left
from collections.abc import Collection
from operator import attrgetter
from typing import Generic, Protocol, TypeVar


class OfUser(Protocol):
    """A row about a user."""

    @property
    def user(self) -> str:
        """The user's name."""
        ...


_Row = TypeVar("_Row", bound=OfUser)
Group = tuple[str, ...]
"""What the rows of a group have in common: their status and queue, or only their queue."""

_user = attrgetter("user")


class Rows(Generic[_Row]):
    """Groups whose rows have not changed stay the same objects from one snapshot to the next."""

    def __init__(self) -> None:
        self._groups: dict[Group, tuple[_Row, ...]] = {}
        """The rows of each group that has any, in order, as of the last call of ``groups``."""
        self._changed: dict[Group, dict[str, _Row | None]] = {}
        """What has changed since, by user; None if the row is gone."""

    def row(self, group: Group, user: str) -> _Row | None:
        """The row of a user; None if there is none."""
        changed = self._changed.get(group, {})
        if user in changed:
            return changed[user]
        rows = self._groups.get(group, ())
        place = bisect_left(rows, user, key=_user)
        return rows[place] if place < len(rows) and rows[place].user == user else None

    def put(self, group: Group, user: str, row: _Row | None) -> None:
        """Add or replace the row of a user, or remove it for None."""
        self._changed.setdefault(group, {})[user] = row

    def groups(self) -> Collection[tuple[_Row, ...]]:
        """The rows of each group that has any, in the order of groups and users."""
        new = self._changed.keys() - self._groups.keys()
        for group, changed in self._changed.items():
            rows = list(self._groups.get(group, ()))
            for user, row in changed.items():
                place = bisect_left(rows, user, key=_user)
                behind = place + (place < len(rows) and rows[place].user == user)
                rows[place:behind] = () if row is None else (row,)
            self._groups[group] = tuple(rows)
            if not rows:
                del self._groups[group]
        if new:
            self._groups = dict(sorted(self._groups.items()))
        self._changed.clear()
        return self._groups.values()
