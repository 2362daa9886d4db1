"""What users have used and how long they have waited, by queue and user, as jobs start and end.

A counter that people add up over months must neither jump nor fall when a name is folded into the
others or gets one of its own again. So what happens is first *owed* to the user; when it is shown, it
is added to the series of the name that the user then has, and stays there.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from exporter.ledger.floors import Floors
from exporter.ledger.proof import checked, proven
from exporter.ledger.totals import Pair

_MOST_SECONDS = 2**62
"""Of cores that no machine has, held since 1970; more do not fit into the file."""
USAGE_KINDS = ("cores", "wait")
"""Core seconds of the runs that ended; seconds waited until a start."""


class UsageKey(NamedTuple):
    """One counter, by the names of its queue and its user."""

    kind: str
    queue: str
    user: str


class Amount(NamedTuple):
    """How often, and how many seconds in all."""

    times: int = 0
    seconds: int = 0

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        seconds = min(self.seconds + other.seconds, _MOST_SECONDS)
        return Amount(self.times + other.times, seconds)


Amounts = Mapping[UsageKey, Amount]


class Usage:
    """The counters of one ledger. Kept in memory, written at the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection, published: Amounts) -> None:
        """None that is shown is ever lower than in ``published``."""
        self._connection = connection
        self._shown: dict[UsageKey, Amount] = {}
        self._owed: dict[UsageKey, Amount] = {}
        self._before: dict[tuple[bool, UsageKey], Amount | None] = {}
        """Of each that has changed since ``committed``, what it was."""
        self._log: set[UsageKey] = set()
        self._due: set[UsageKey] = set()
        """Those of which is owed something that may be shown; the others wait for ``reconsider``."""
        self._kept_sum = self.proofs = self._load()
        """The sum of the proofs of all that is written."""
        self._floors = Floors(published, self._shown, _higher)
        self.reconsider()

    @property
    def shown(self) -> Amounts:
        """By the names under which they are shown, none lower than it was published."""
        return self._floors.over(self._shown)

    @property
    def behind(self) -> bool:
        """Whether some are lower than they were published."""
        return bool(self._floors)

    def changed(self) -> Amounts:
        """What is shown of those that have changed since ``committed``."""
        return {key: self._shown[key] for is_shown, key in self._before if is_shown}

    def start_log(self) -> set[UsageKey]:
        """A log of what changes from now on of what is shown, in which all is new that there is. Its one
        follower clears it. Whoever followed before is not told any more, nor is anybody once a
        transaction was undone."""
        self._log = set(self.shown)
        return self._log

    def is_logging_to(self, log: set[UsageKey]) -> bool:
        """Whether changes go to this log."""
        return log is self._log

    def add(self, key: UsageKey, seconds: int) -> None:
        """Count one start or end of a job, under the user's own name."""
        before = self._owed.get(key)
        self._before.setdefault((False, key), before)
        self._owed[key] = (before or Amount()).plus(Amount(1, seconds))
        self._due.add(key)

    def reconsider(self) -> None:
        """What was not wanted until now may be wanted from now on."""
        self._due = set(self._owed)

    @property
    def due_pairs(self) -> frozenset[Pair]:
        """The queues and users to which something is owed, but for those of which ``credit`` was told that
        they are not wanted."""
        return frozenset((key.queue, key.user) for key in self._due)

    def credit(
        self, live: Iterable[tuple[str, str]], named: Callable[[str, str], tuple[str, str] | None]
    ) -> None:
        """Add what is owed to the series that ``named`` gives for a queue and a user. Where it gives
        none, it stays owed: it is not wanted now, and is asked for again after ``reconsider``.

        One that is new, also of a ``live`` pair to which nothing is owed, is shown at 0 first: nobody
        sees the first events of a counter that is born with them.
        """
        pairs = {pair for each in live if (pair := named(*each)) is not None}
        into = {
            key: UsageKey(key.kind, *pair)
            for key in self._due
            if (pair := named(key.queue, key.user)) is not None
        }
        new = {UsageKey(kind, *pair) for pair in pairs for kind in USAGE_KINDS}
        shown = self.shown
        new = {series for series in new.union(into.values()) if series not in shown}
        self._due = {key for key, series in into.items() if series in new}
        for key, series in into.items():
            if series not in new:
                owed = self._owed.pop(key)
                self._before.setdefault((False, key), owed)
                self._show(series, self._shown.get(series, Amount()).plus(owed))
        for series in new:
            self._show(series, Amount())

    def catch_up(self) -> None:
        """All that happened has been counted again. A counter that is still lower has lost its jobs."""
        for key, amount in self._floors.reach(self._shown):
            self._show(key, amount)

    def write(self) -> None:
        """Into the running transaction."""
        self.proofs = self._kept_sum
        for (is_shown, key), before in self._before.items():
            if before is not None:
                self.proofs -= _row(is_shown, key, before)[-1]
            amount = (self._shown if is_shown else self._owed).get(key)
            if amount is None:
                self._connection.execute(
                    "DELETE FROM usage WHERE shown = ? AND kind = ? AND queue = ? AND user = ?",
                    (is_shown, *key),
                )
                continue
            row = _row(is_shown, key, amount)
            self._connection.execute(
                "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
            self.proofs += row[-1]

    def committed(self) -> None:
        """The transaction was committed."""
        self._before.clear()
        self._kept_sum = self.proofs
        self._floors.committed()

    def rolled_back(self) -> None:
        """What was counted since ``committed`` does not."""
        self._floors.rolled_back()
        if self._before:
            self._log = set()
        for (is_shown, key), before in self._before.items():
            amounts = self._shown if is_shown else self._owed
            if before is None:
                amounts.pop(key, None)
            else:
                amounts[key] = before
        self.reconsider()
        self._before.clear()
        self.proofs = self._kept_sum

    def _show(self, series: UsageKey, amount: Amount) -> None:
        self._before.setdefault((True, series), self._shown.get(series))
        self._shown[series] = amount
        self._log.add(series)

    def _load(self) -> int:
        proofs = 0
        rows = self._connection.execute(
            "SELECT shown, kind, queue, user, count, seconds, proof FROM usage"
        )
        for is_shown, kind, queue, user, count, seconds, proof in checked(rows):
            key = UsageKey(kind, queue, user)
            (self._shown if is_shown else self._owed)[key] = Amount(count, seconds)
            proofs += proof
        return proofs


def _row(is_shown: bool, key: UsageKey, amount: Amount) -> tuple[Any, ...]:
    return proven((int(is_shown), *key, *amount))


def _higher(known: Amount | None, floor: Amount) -> Amount:
    """The higher one in each part."""
    return Amount(*map(max, zip(known or Amount(), floor, strict=True)))
