"""What users have used and how long they have waited, by queue and user, as jobs start and end.

A counter that people add up over months must neither jump nor fall when a name is folded into the
others or gets one of its own again. So what happens is first *owed* to the user; when it is shown, it
is added to the series of the name that the user then has, and stays there.

A ledger that a power cut has wound back takes over what was published. What of it was somebody's, under
whatever name, is then that user's *debt*: it is going to be counted again, and not shown a second time.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

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

    def minus(self, part: "Amount") -> "Amount":
        """What is left of it without a part."""
        return Amount(self.times - part.times, self.seconds - part.seconds)


Amounts = Mapping[UsageKey, Amount]
Account = Literal["owed", "shown", "elsewhere", "debts"]
"""``shown`` is by the names under which it is shown, the others are by queue and user: what is owed to them,
what of theirs is shown under other names, and what was shown before it is counted again."""
ACCOUNTS: tuple[Account, ...] = get_args(Account)
"""By the numbers that the file has for them."""
PUBLISHED: tuple[Account, ...] = ("shown", "elsewhere")
"""What is written down of what was published."""


class Usage:
    """The counters of one ledger. Kept in memory, written at the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._accounts: dict[Account, dict[UsageKey, Amount]] = {name: {} for name in ACCOUNTS}
        self._before: dict[tuple[Account, UsageKey], Amount | None] = {}
        """Of each that has changed since ``committed``, what it was."""
        self._log: set[UsageKey] = set()
        self._due: set[UsageKey] = set()
        """Those of which is owed something that may be shown; the others wait for ``reconsider``."""
        self._kept_sum = self.proofs = self._load()
        """The sum of the proofs of all that is written."""
        self.reconsider()

    def __getitem__(self, account: Account) -> Amounts:
        """What is in one of the accounts."""
        return self._accounts[account]

    @property
    def shown(self) -> Amounts:
        """By the names under which they are shown."""
        return self._accounts["shown"]

    @property
    def behind(self) -> bool:
        """Whether something that was published has not been counted again yet."""
        return bool(self["debts"])

    def lacks(self, published: Mapping[Account, Amounts]) -> bool:
        """Whether more was published than is known."""
        return any(True for _ in self._lacking(published))

    def take_over(self, published: Mapping[Account, Amounts]) -> None:
        """Show no less than was published."""
        for account, key, higher in list(self._lacking(published)):
            lacking = higher.minus(self[account].get(key, Amount()))
            self._put(account, key, higher)
            self._put("debts", key, self["debts"].get(key, Amount()).plus(lacking))
            self._settle(key)

    def changed(self, account: Account) -> Amounts:
        """What is in one of the accounts of those that have changed since ``committed``."""
        now = self[account]
        return {key: now[key] for each, key in self._before if each == account and key in now}

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
        self._put("owed", key, self["owed"].get(key, Amount()).plus(Amount(1, seconds)))
        self._due.add(key)
        self._settle(key)

    def reconsider(self) -> None:
        """What was not wanted until now may be wanted from now on."""
        self._due = set(self["owed"])

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
        new = {series for series in new.union(into.values()) if series not in self.shown}
        self._due = {key for key, series in into.items() if series in new}
        for key, series in into.items():
            if series not in new:
                owed = self["owed"][key]
                self._put("owed", key, Amount())
                self._put("shown", series, self.shown[series].plus(owed))
                if series != key:
                    self._put("elsewhere", key, self["elsewhere"].get(key, Amount()).plus(owed))
        for series in new:
            self._put("shown", series, Amount())

    def catch_up(self) -> None:
        """All that happened has been counted again. What was not has lost its jobs."""
        for key in list(self["debts"]):
            self._put("debts", key, Amount())

    def write(self) -> None:
        """Into the running transaction."""
        self.proofs = self._kept_sum
        for (account, key), before in self._before.items():
            if before is not None:
                self.proofs -= _row(account, key, before)[-1]
            amount = self[account].get(key)
            if amount is None:
                self._connection.execute(
                    "DELETE FROM usage WHERE shown = ? AND kind = ? AND queue = ? AND user = ?",
                    (ACCOUNTS.index(account), *key),
                )
                continue
            row = _row(account, key, amount)
            self._connection.execute(
                "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
            self.proofs += row[-1]

    def committed(self) -> None:
        """The transaction was committed."""
        self._before.clear()
        self._kept_sum = self.proofs

    def rolled_back(self) -> None:
        """What was counted since ``committed`` does not."""
        if self._before:
            self._log = set()
        for (account, key), before in self._before.items():
            if before is None:
                self._accounts[account].pop(key, None)
            else:
                self._accounts[account][key] = before
        self.reconsider()
        self._before.clear()
        self.proofs = self._kept_sum

    def _lacking(
        self, published: Mapping[Account, Amounts]
    ) -> Iterator[tuple[Account, UsageKey, Amount]]:
        """Of which more was published than is known, and the higher one in each part."""
        for account, amounts in published.items():
            for key, amount in amounts.items():
                known = self[account].get(key)
                higher = Amount(*map(max, zip(known or Amount(), amount, strict=True)))
                if higher != known:
                    yield account, key, higher

    def _settle(self, key: UsageKey) -> None:
        """What is owed was shown before, as far as there is a debt."""
        owed, debt = self["owed"].get(key), self["debts"].get(key)
        if owed is not None and debt is not None:
            both = Amount(*map(min, zip(owed, debt, strict=True)))
            self._put("owed", key, owed.minus(both))
            self._put("debts", key, debt.minus(both))

    def _put(self, account: Account, key: UsageKey, amount: Amount) -> None:
        amounts = self._accounts[account]
        self._before.setdefault((account, key), amounts.get(key))
        if amount != Amount() or account == "shown":
            amounts[key] = amount
        else:
            amounts.pop(key, None)
        if account == "shown":
            self._log.add(key)
        elif account == "owed" and key not in amounts:
            self._due.discard(key)

    def _load(self) -> int:
        proofs = 0
        rows = self._connection.execute(
            "SELECT shown, kind, queue, user, count, seconds, proof FROM usage"
        )
        for account, kind, queue, user, count, seconds, proof in checked(rows):
            amounts = self._accounts[ACCOUNTS[account]]
            amounts[UsageKey(kind, queue, user)] = Amount(count, seconds)
            proofs += proof
        return proofs


def _row(account: Account, key: UsageKey, amount: Amount) -> tuple[Any, ...]:
    return proven((ACCOUNTS.index(account), *key, *amount))
