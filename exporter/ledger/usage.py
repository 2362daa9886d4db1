"""What users have used and how long they have waited, by queue and user, as jobs start and end.

People add these counters up over months. So they must neither jump nor fall when a user is folded into
``_other``, or gets a name again. What happens is first *owed* to the user. When it is published, it is
*credited* to the series of the name that the user has at that moment, and stays there.

If a power cut has taken a ledger back to an earlier moment, it takes over what was published. What was
published of a user, under whatever name, is then that user's *debt*: it will be counted again, and must not
be shown a second time.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from sys import intern
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from exporter.ledger.proof import checked, proven
from exporter.ledger.totals import Pair

_MOST_SECONDS = 2**62
"""More than any machine can have used since 1970; larger numbers do not fit into the file."""
USAGE_KINDS = ("cores", "wait")
"""Core seconds of runs that have ended; seconds between submission and start."""


class UsageKey(NamedTuple):
    """The counter of one kind, queue and user."""

    kind: str
    queue: str
    user: str


class Amount(msgspec.Struct, frozen=True, gc=False):
    """How many events, and how many seconds in all. A ledger keeps hundreds: tuples would take twice the
    memory."""

    times: int = 0
    seconds: int = 0

    def __iter__(self) -> Iterator[int]:
        return iter((self.times, self.seconds))

    def plus(self, other: "Amount") -> "Amount":
        """The sum of both."""
        seconds = min(self.seconds + other.seconds, _MOST_SECONDS)
        return Amount(self.times + other.times, seconds)

    def minus(self, part: "Amount") -> "Amount":
        """The rest without a part."""
        return Amount(self.times - part.times, self.seconds - part.seconds)


Amounts = Mapping[UsageKey, Amount]


class _ByUser(MutableMapping[UsageKey, Amount]):
    """Counters by kind and queue, then by user: keys of all three would take more memory than the rest."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, str], dict[str, Amount]] = {}

    def __getitem__(self, key: UsageKey) -> Amount:
        return self._users[key[:2]][key[2]]

    def __setitem__(self, key: UsageKey, amount: Amount) -> None:
        self._users.setdefault(key[:2], {})[key[2]] = amount

    def __delitem__(self, key: UsageKey) -> None:
        del self._users[key[:2]][key[2]]

    def __iter__(self) -> Iterator[UsageKey]:
        return (UsageKey(*key, user) for key, users in self._users.items() for user in users)

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))


Account = Literal["owed", "shown", "elsewhere", "debts"]
"""``shown`` is by the names under which it is shown. The others are by queue and user: what is owed to them,
what of theirs is shown under other names, and what was published and has to be counted again."""
ACCOUNTS: tuple[Account, ...] = get_args(Account)
"""In the order of their numbers in the file."""
PUBLISHED: tuple[Account, ...] = ("shown", "elsewhere")
"""The accounts that are also in the file of published counters."""


class Usage:
    """The counters of one ledger. Kept in memory, written at the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._accounts = {name: _ByUser() for name in ACCOUNTS}
        self._before: dict[tuple[Account, UsageKey], Amount | None] = {}
        """The counters that this transaction has changed, as they were before."""
        self._due: set[UsageKey] = set()
        """The owed counters that may be credited; the others wait for ``reconsider``."""
        self._kept_sum = self.proofs = self._load()
        """The sum of the proofs of all rows."""
        self.reconsider()

    def __getitem__(self, account: Account) -> Amounts:
        """The counters of an account."""
        return self._accounts[account]

    @property
    def shown(self) -> Amounts:
        """The shown counters, by the names under which they are shown."""
        return self._accounts["shown"]

    @property
    def behind(self) -> bool:
        """Whether something that was published has yet to be counted again."""
        return bool(self["debts"])

    def lacks(self, published: Mapping[Account, Amounts]) -> bool:
        """Whether more was published than is known."""
        return any(True for _ in self._lacking(published))

    def take_over(self, published: Mapping[Account, Amounts]) -> None:
        """Take over what was published, so that nothing is shown lower."""
        for account, key, higher in list(self._lacking(published)):
            lacking = higher.minus(self[account].get(key, Amount()))
            self._put(account, key, higher)
            self._put("debts", key, self["debts"].get(key, Amount()).plus(lacking))
            self._settle(key)

    def changed(self, account: Account) -> Amounts:
        """The counters of an account that have changed in this transaction."""
        now = self[account]
        return {key: now[key] for each, key in self._before if each == account and key in now}

    def add(self, key: UsageKey, seconds: int) -> None:
        """Count one start or end of a job. It is owed to the user."""
        self._put("owed", key, self["owed"].get(key, Amount()).plus(Amount(1, seconds)))
        self._due.add(key)
        self._settle(key)

    def reconsider(self) -> None:
        """Try again to credit what was not wanted before."""
        self._due = set(self["owed"])

    @property
    def due_pairs(self) -> frozenset[Pair]:
        """The (queue, user) pairs that something is owed to, except those for which ``credit`` found no
        name."""
        return frozenset((key.queue, key.user) for key in self._due)

    def credit(
        self, live: Iterable[tuple[str, str]], named: Callable[[str, str], tuple[str, str] | None]
    ) -> Amounts:
        """Add what is owed to the series that ``named`` gives for a queue and a user. If it gives None,
        they are not wanted: it stays owed until ``reconsider``. Returns the series that this has changed, as
        they were before.

        A new series is shown as 0 first, because Prometheus does not see the events that a counter has
        when it first appears. Each ``live`` pair gets its series even if nothing is owed to it.
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
        before = dict.fromkeys(new, Amount())
        for key, series in into.items():
            if series not in new:
                owed = self["owed"][key]
                before.setdefault(series, self.shown[series])
                self._put("owed", key, Amount())
                self._put("shown", series, self.shown[series].plus(owed))
                if series != key:
                    self._put("elsewhere", key, self["elsewhere"].get(key, Amount()).plus(owed))
        for series in new:
            self._put("shown", series, Amount())
        return before

    def catch_up(self) -> None:
        """Everything has been counted again; drop the debts that are left, as their jobs are gone."""
        for key in list(self["debts"]):
            self._put("debts", key, Amount())

    def write(self) -> None:
        """Write what has changed, in the running transaction."""
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
        """The transaction was rolled back."""
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
        """Yields the counters of which more was published than is known, with the higher value of each
        field."""
        for account, amounts in published.items():
            for key, amount in amounts.items():
                known = self[account].get(key)
                higher = Amount(*map(max, zip(known or Amount(), amount, strict=True)))
                if higher != known:
                    yield account, key, higher

    def _settle(self, key: UsageKey) -> None:
        """Cancel what is owed against a debt: it was shown before."""
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
        if account == "owed" and key not in amounts:
            self._due.discard(key)

    def _load(self) -> int:
        proofs = 0
        rows = self._connection.execute(
            "SELECT shown, kind, queue, user, count, seconds, proof FROM usage"
        )
        for account, kind, queue, user, count, seconds, proof in checked(rows):
            amounts = self._accounts[ACCOUNTS[account]]
            key = UsageKey(*map(intern, (kind, queue, user)))
            amounts[key] = Amount(count, seconds)
            proofs += proof
        return proofs


def _row(account: Account, key: UsageKey, amount: Amount) -> tuple[Any, ...]:
    return proven((ACCOUNTS.index(account), *key, *amount))
