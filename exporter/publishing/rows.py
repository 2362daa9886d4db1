"""Rows that are shown, by group and user, of which little changes from one snapshot to the next. Pure."""

from collections.abc import Collection
from typing import Generic, TypeVar

_Row = TypeVar("_Row")
Group = tuple[str, ...]
"""What its rows have in common: status and queue, or queue."""


class Rows(Generic[_Row]):
    """Of those that have not been touched since, the groups stay the same objects."""

    def __init__(self) -> None:
        self._rows: dict[Group, dict[str, _Row]] = {}
        self._groups: dict[Group, tuple[_Row, ...]] = {}
        """The same, all in order, but for those that have been touched."""
        self._touched: set[Group] = set()
        self._grown: set[Group] = set()
        """Those whose last rows are perhaps not in order."""

    def row(self, group: Group, user: str) -> _Row | None:
        """None where there is none."""
        return self._rows.get(group, {}).get(user)

    def put(self, group: Group, user: str, row: _Row) -> None:
        """Add a row, or replace one."""
        self._touched.add(group)
        rows = self._rows.setdefault(group, {})
        if user not in rows:
            self._grown.add(group)
        rows[user] = row

    def drop(self, group: Group, user: str) -> None:
        """Take a row away, if it is there."""
        if self.row(group, user) is not None:
            self._touched.add(group)
            del self._rows[group][user]

    def groups(self) -> Collection[tuple[_Row, ...]]:
        """Those that have rows, in order, and the rows of each by user."""
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
