"""The rows of a metric, by group and user; keeps those that have not changed. Pure."""

from collections.abc import Collection
from typing import Generic, TypeVar

_Row = TypeVar("_Row")
Group = tuple[str, ...]
"""What the rows of a group have in common: their status and queue, or only their queue."""


class Rows(Generic[_Row]):
    """Groups whose rows have not changed stay the same objects from one snapshot to the next."""

    def __init__(self) -> None:
        self._rows: dict[Group, dict[str, _Row]] = {}
        self._groups: dict[Group, tuple[_Row, ...]] = {}
        """The same in order, as of the last call of ``groups``."""
        self._touched: set[Group] = set()
        self._grown: set[Group] = set()
        """Groups with new rows, which may not be in order."""

    def row(self, group: Group, user: str) -> _Row | None:
        """The row of a user; None if there is none."""
        return self._rows.get(group, {}).get(user)

    def put(self, group: Group, user: str, row: _Row) -> None:
        """Add or replace a row."""
        self._touched.add(group)
        rows = self._rows.setdefault(group, {})
        if user not in rows:
            self._grown.add(group)
        rows[user] = row

    def drop(self, group: Group, user: str) -> None:
        """Remove a row, if it is there."""
        if self.row(group, user) is not None:
            self._touched.add(group)
            del self._rows[group][user]

    def groups(self) -> Collection[tuple[_Row, ...]]:
        """The rows of each group that has any, in the order of groups and users."""
        new = self._touched - self._groups.keys()
        for group in self._touched:
            rows = self._rows[group]
            if group in self._grown:
                rows = self._rows[group] = dict(sorted(rows.items()))
            self._groups[group] = tuple(rows.values())
            if not rows:
                del self._rows[group], self._groups[group]
        if new:
            self._groups = dict(sorted(self._groups.items()))
        self._touched.clear()
        self._grown.clear()
        return self._groups.values()
