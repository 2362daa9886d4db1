"""The counters of one cluster: what has happened in each queue, and to the jobs of each user.

People add counters up over months, and Prometheus takes one that falls for one that has begun anew at 0. So
none may jump or fall when a queue or a user is folded into ``_other``, left out, or gets a name again. What
happens is first *owed* to its queue, or to its queue and user. When it is published, it is *credited* to the
series of the name that these have at that moment, and stays there.

If a power cut has taken a ledger back to an earlier moment, it takes over what was published. What was
published of a queue or a user, under whatever name, is then a *debt*: it will be counted again, and must not
be shown a second time.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Set
from itertools import starmap, zip_longest
from operator import add, sub
from sys import intern
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from exporter.labels import OTHER
from exporter.ledger.proof import checked, proven

_MOST_SECONDS = 2**62
"""More than any machine can have used since 1970; larger numbers do not fit into the file."""
USER_KINDS = ("cores", "wait")
"""Of users: core seconds of runs that have ended; seconds between submission and start."""
HISTOGRAM_KINDS = ("waits", "runs")
"""Of queues: how long jobs have waited, and run. The other kinds are ``submitted``, ``started``, ``ended``."""


class CounterKey(NamedTuple):
    """The counter of one kind and queue."""

    kind: str
    queue: str
    of: str
    """The user, if the kind is one of ``USER_KINDS``; else the status. Empty where the kind has no status."""


class Amount(msgspec.Struct, frozen=True, gc=False):
    """How many events, how many seconds in all, and how many events in each bucket of a histogram. A ledger keeps
    hundreds: tuples would take twice the memory."""

    times: int = 0
    seconds: int = 0
    buckets: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[int | tuple[int, ...]]:
        return iter((self.times, self.seconds, self.buckets))

    def __bool__(self) -> bool:
        return bool(self.times or self.seconds or any(self.buckets))

    def with_each(self, other: "Amount", number: Callable[[int, int], int]) -> "Amount":
        """Made of the numbers of both, two at a time."""
        buckets: tuple[int, ...] = ()
        if self.buckets or other.buckets:
            pairs = zip_longest(self.buckets, other.buckets, fillvalue=0)
            buckets = tuple(starmap(number, pairs))
        seconds = min(number(self.seconds, other.seconds), _MOST_SECONDS)
        return Amount(number(self.times, other.times), seconds, buckets)

    def and_one(self, seconds: int, bucket: int | None) -> "Amount":
        """With one more event. The same as ``plus``, faster: each start and end of a job is one."""
        buckets = self.buckets
        if bucket is not None:
            buckets += (0,) * (bucket + 1 - len(buckets))
            buckets = (*buckets[:bucket], buckets[bucket] + 1, *buckets[bucket + 1 :])
        return Amount(self.times + 1, min(self.seconds + seconds, _MOST_SECONDS), buckets)

    def plus(self, other: "Amount") -> "Amount":
        """The sum of both."""
        return self.with_each(other, add)

    def minus(self, part: "Amount") -> "Amount":
        """The rest without a part."""
        return self.with_each(part, sub)


NOTHING = Amount()
Amounts = Mapping[CounterKey, Amount]


class _ByUser(MutableMapping[CounterKey, Amount]):
    """Counters by kind and queue, then by user: keys of all three would take more memory than the rest."""

    def __init__(self) -> None:
        self._users: dict[tuple[str, str], dict[str, Amount]] = {}

    def __getitem__(self, key: CounterKey) -> Amount:
        return self._users[key[:2]][key[2]]

    def __setitem__(self, key: CounterKey, amount: Amount) -> None:
        self._users.setdefault(key[:2], {})[key[2]] = amount

    def __delitem__(self, key: CounterKey) -> None:
        del self._users[key[:2]][key[2]]

    def __iter__(self) -> Iterator[CounterKey]:
        return (CounterKey(*key, user) for key, users in self._users.items() for user in users)

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))


Account = Literal["owed", "shown", "elsewhere", "debts"]
"""``shown`` is by the names under which it is shown. The others are by queue, and status or user: what is owed to
these, what of theirs is shown under ``_other``, and what was published and has to be counted again."""
ACCOUNTS: tuple[Account, ...] = get_args(Account)
"""In the order of their numbers in the file."""
PUBLISHED: tuple[Account, ...] = ("shown", "elsewhere")
"""The accounts that are also in the file of published counters."""


class Counters:
    """The counters of one ledger. Kept in memory, written at the end of a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._accounts: Mapping[Account, MutableMapping[CounterKey, Amount]] = {
            account: _ByUser() if account in PUBLISHED else {} for account in ACCOUNTS
        }
        self._before: dict[tuple[Account, CounterKey], Amount | None] = {}
        """The counters that this transaction has changed, as they were before."""
        self._due: set[CounterKey] = set()
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
            lacking = higher.minus(self[account].get(key, NOTHING))
            self._put(account, key, higher)
            if account == "elsewhere" or OTHER not in key:  # of `_other`, that tells whose it was
                self._put("debts", key, self["debts"].get(key, NOTHING).plus(lacking))
            self._settle(key)

    def changed(self, account: Account) -> Amounts:
        """The counters of an account that have changed in this transaction."""
        now = self[account]
        return {key: now[key] for each, key in self._before if each == account and key in now}

    def add(self, key: CounterKey, seconds: int, bucket: int | None) -> None:
        """Count one event, and how long it took, where it took a time. It is owed to its queue or user."""
        self._put("owed", key, self["owed"].get(key, NOTHING).and_one(seconds, bucket))
        self._due.add(key)
        if self["debts"]:
            self._settle(key)

    def reconsider(self) -> None:
        """Try again to credit what was not wanted before."""
        self._due = set(self["owed"])

    @property
    def due(self) -> Set[CounterKey]:
        """The owed counters that may be credited; those for which ``credit`` found no name wait for
        ``reconsider``."""
        return self._due

    def credit(
        self,
        live: Iterable[CounterKey],
        named: Callable[[CounterKey], CounterKey | None],
        is_seen: Callable[[CounterKey], bool],
    ) -> Amounts:
        """Add what is owed to the series that ``named`` gives. If it gives None, that is not wanted: it stays
        owed until ``reconsider``. Returns the series that this has changed, as they were before.

        A new series that ``is_seen`` is shown as 0 first, because Prometheus does not see the events that a
        counter has when it first appears. Each ``live`` counter gets its series even if nothing is owed to it.
        """
        into = {key: series for key in self._due if (series := named(key)) is not None}
        new = {series for key in live if (series := named(key)) is not None}
        new = {
            series
            for series in new.union(into.values())
            if series not in self.shown and is_seen(series)
        }
        self._due = {key for key, series in into.items() if series in new}
        before = dict.fromkeys(new, NOTHING)
        for key, series in into.items():
            if series not in new:
                owed, known = self["owed"][key], self.shown.get(series, NOTHING)
                before.setdefault(series, known)
                self._put("owed", key, NOTHING)
                self._put("shown", series, known.plus(owed))
                if OTHER in series:
                    self._put("elsewhere", key, self["elsewhere"].get(key, NOTHING).plus(owed))
        for series in new:
            self._put("shown", series, NOTHING)
        return before

    def catch_up(self) -> None:
        """Everything has been counted again; drop the debts that are left, as their jobs are gone."""
        for key in list(self["debts"]):
            self._put("debts", key, NOTHING)

    def write(self) -> None:
        """Write what has changed, in the running transaction."""
        self.proofs = self._kept_sum
        for (account, key), before in self._before.items():
            amount = self[account].get(key)
            if amount == before:
                continue
            if before is not None:
                self.proofs -= row_of(account, key, before)[-1]
            if amount is None:
                self._connection.execute(
                    "DELETE FROM counters WHERE account = ? AND kind = ? AND queue = ? AND of = ?",
                    (ACCOUNTS.index(account), *key),
                )
                continue
            row = row_of(account, key, amount)
            self._connection.execute(
                "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
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
    ) -> Iterator[tuple[Account, CounterKey, Amount]]:
        """Yields the counters of which more was published than is known, with the higher value of each
        field."""
        for account, amounts in published.items():
            for key, amount in amounts.items():
                known = self[account].get(key)
                higher = amount.with_each(known or NOTHING, max)
                if higher != known:
                    yield account, key, higher

    def _settle(self, key: CounterKey) -> None:
        """Cancel what is owed against a debt: it was shown before."""
        debt = self["debts"].get(key)
        if debt is not None and (owed := self["owed"].get(key)) is not None:
            both = owed.with_each(debt, min)
            self._put("owed", key, owed.minus(both))
            self._put("debts", key, debt.minus(both))

    def _put(self, account: Account, key: CounterKey, amount: Amount) -> None:
        amounts = self._accounts[account]
        self._before.setdefault((account, key), amounts.get(key))
        if amount or account == "shown":
            amounts[key] = amount
            return
        amounts.pop(key, None)
        if account == "owed":
            self._due.discard(key)

    def _load(self) -> int:
        proofs = 0
        rows = self._connection.execute(
            "SELECT account, kind, queue, of, times, seconds, buckets, proof FROM counters"
        )
        for account, kind, queue, of, times, seconds, buckets, proof in checked(rows):
            key = CounterKey(*map(intern, (kind, queue, of)))
            self._accounts[ACCOUNTS[account]][key] = Amount(
                times, seconds, _BUCKETS.decode(buckets)
            )
            proofs += proof
        return proofs


_BUCKETS = msgspec.json.Decoder(tuple[int, ...])


def row_of(account: Account, key: CounterKey, amount: Amount) -> tuple[Any, ...]:
    """A row of the table of counters, with its proof."""
    buckets = msgspec.json.encode(amount.buckets).decode()
    return proven((ACCOUNTS.index(account), *key, amount.times, amount.seconds, buckets))
