"""What a ledger has counted and noted beside its jobs: transitions, activity, shown label values."""

import json
import sqlite3
from collections.abc import Mapping

from exporter.ledger.records import Tally, TallyKey


class Counters:
    """Counters of transitions. Kept in memory, written at the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._touched: set[TallyKey] = set()
        self._tallies = self._load()

    @property
    def tallies(self) -> Mapping[TallyKey, Tally]:
        """All of them."""
        return self._tallies

    def count(self, key: TallyKey, *, seconds: float, bucket: int | None) -> None:
        """Count one transition, and its duration where it has one."""
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        tally.count += 1
        tally.sum_seconds += seconds
        if bucket is not None:
            if len(tally.buckets) <= bucket:
                tally.buckets.extend([0] * (bucket + 1 - len(tally.buckets)))
            tally.buckets[bucket] += 1
        self._touched.add(key)

    def write(self) -> None:
        """Into the running transaction."""
        if not self._touched:
            return
        self._connection.executemany(
            "INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*key, tally.count, tally.sum_seconds, json.dumps(tally.buckets))
                for key in self._touched
                for tally in (self._tallies[key],)
            ],
        )

    def keep(self) -> None:
        """What was written stands."""
        self._touched.clear()

    def undo(self) -> None:
        """What was counted since ``keep`` does not."""
        if self._touched:
            self._tallies = self._load()
            self._touched.clear()

    def _load(self) -> dict[TallyKey, Tally]:
        rows = self._connection.execute(
            "SELECT kind, queue, status, count, sum_seconds, buckets FROM tallies"
        )
        return {
            TallyKey(kind, queue, status): Tally(count, sum_seconds, json.loads(buckets))
            for kind, queue, status, count, sum_seconds, buckets in rows
        }


class Activity:
    """When somebody was last known to have an active job. Kept in memory, written as above."""

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
        """Drop what lies before a moment."""
        gone = [key for key, at in self._last_active_at.items() if at < before_at]
        for key in gone:
            del self._last_active_at[key]
            self._touched.add(key)

    def write(self) -> None:
        """Into the running transaction."""
        for queue, user in self._touched:
            at = self._last_active_at.get((queue, user))
            if at is None:
                self._connection.execute(
                    "DELETE FROM activity WHERE queue = ? AND user = ?", (queue, user)
                )
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO activity VALUES (?, ?, ?)", (queue, user, at)
                )

    def keep(self) -> None:
        """What was written stands."""
        self._touched.clear()

    def undo(self) -> None:
        """What was noted since ``keep`` does not."""
        if self._touched:
            self._last_active_at = self._load()
            self._touched.clear()

    def _load(self) -> dict[tuple[str, str], float]:
        rows = self._connection.execute("SELECT queue, user, last_active_at FROM activity")
        return {(queue, user): at for queue, user, at in rows}
