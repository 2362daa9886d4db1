"""What a ledger remembers besides its jobs and counters: activity, and the values of labels that are shown."""

import sqlite3
from collections.abc import Mapping
from sys import intern

from exporter.ledger.proof import checked, proven


class Activity:
    """When each user last had an active job in each queue. Kept in memory, written at the end of a
    transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._touched: set[tuple[str, str]] = set()
        self._last_active_at = self._load()

    @property
    def last_active_at(self) -> Mapping[tuple[str, str], float]:
        """By (queue, user)."""
        return self._last_active_at

    def note(self, queue: str, user: str, at: float) -> None:
        """A user had an active job in a queue at this moment."""
        key = (queue, user)
        if at > self._last_active_at.get(key, 0.0):
            self._last_active_at[key] = at
            self._touched.add(key)

    def forget(self, before_at: float) -> None:
        """Drop the activity before a moment."""
        gone = [key for key, at in self._last_active_at.items() if at < before_at]
        for key in gone:
            del self._last_active_at[key]
            self._touched.add(key)

    def write(self) -> None:
        """Write what has changed, in the running transaction."""
        for queue, user in self._touched:
            at = self._last_active_at.get((queue, user))
            if at is None:
                self._connection.execute(
                    "DELETE FROM activity WHERE queue = ? AND user = ?", (queue, user)
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO activity VALUES (?, ?, ?, ?)",
                    proven((queue, user, float(at))),
                )

    def committed(self) -> None:
        """The transaction was committed."""
        self._touched.clear()

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        if self._touched:
            self._last_active_at = self._load()
            self._touched.clear()

    def _load(self) -> dict[tuple[str, str], float]:
        rows = self._connection.execute("SELECT queue, user, last_active_at, proof FROM activity")
        return {(intern(queue), intern(user)): at for queue, user, at, _ in checked(rows)}


class Shown:
    """Which values of each label have been shown under their own name. Kept in memory, too."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._values: dict[str, frozenset[str]] | None = None
        self._touched: set[str] = set()

    def values(self, label: str) -> frozenset[str]:
        """The shown values of a label."""
        return self.all().get(label, frozenset())

    def all(self) -> Mapping[str, frozenset[str]]:
        """All shown values, by label."""
        if self._values is None:
            found: dict[str, set[str]] = {}
            rows = self._connection.execute("SELECT label, value, proof FROM shown")
            for label, value, _ in checked(rows):
                found.setdefault(label, set()).add(value)
            self._values = {label: frozenset(values) for label, values in found.items()}
        return self._values

    def remember(self, label: str, values: frozenset[str]) -> None:
        """Set the shown values of a label, in the running transaction."""
        before = self.values(label)
        if values == before:
            return
        self._connection.executemany(
            "DELETE FROM shown WHERE label = ? AND value = ?",
            [(label, value) for value in before - values],
        )
        self._connection.executemany(
            "INSERT INTO shown VALUES (?, ?, ?)",
            [proven((label, value)) for value in values - before],
        )
        self._values = {**self.all(), label: values}
        self._touched.add(label)

    def changed(self) -> Mapping[str, frozenset[str]]:
        """The labels whose shown values have changed in this transaction."""
        return {label: self.values(label) for label in self._touched}

    def committed(self) -> None:
        """The transaction was committed."""
        self._touched.clear()

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        self._values = None
        self._touched.clear()
