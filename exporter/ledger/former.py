"""The counters as ledgers kept them before format 6: those of queues apart from those of users.

Of a queue, there was a whole counter for everything that had happened. Once a queue had been folded or had lost
its name, there were also two parts of it, with kinds of their own: what was shown under the queue's own name, and
what was added to ``_other``.
"""

import json
import sqlite3
from collections.abc import Mapping

from exporter.errors import LedgerUnreadable
from exporter.labels import OTHER
from exporter.ledger.counters import ACCOUNTS, NOTHING, Account, Amount, CounterKey, row_of
from exporter.ledger.proof import checked
from exporter.ledger.remembered import Shown

_KINDS = {
    "submitted": "submitted", "started": "started", "ended": "ended", "wait": "waits", "run": "runs"
}  # fmt: skip
"""The kinds of whole counters, and as they are called now."""
COUNTED = "counted"
"""The label under which the queues were noted whose counters had been shown."""


def join_counters(connection: sqlite3.Connection, version: int) -> None:
    """Move the counters of a ledger of a format before 6 to its new table, within a transaction. Raises
    ``sqlite3.Error`` or ``LedgerUnreadable``."""
    proof = ", proof" if version > 2 else ""
    tallies = connection.execute(
        f"SELECT kind, queue, status, count, sum_seconds, buckets{proof} FROM tallies"
    )
    try:
        accounts = accounts_of(
            {
                CounterKey(*row[:3]): Amount(row[3], int(row[4]), tuple(json.loads(row[5])))
                for row in (checked(tallies) if proof else tallies)
            },
            Shown(connection).all(),
        )
    except (TypeError, ValueError) as error:  # format 2 would have taken it
        raise LedgerUnreadable("a counter of it is damaged") from error
    rows = [
        row_of(account, *counter)
        for account, amounts in accounts.items()
        for counter in amounts.items()
    ]
    if version > 3:
        users = connection.execute(
            "SELECT shown, kind, queue, user, count, seconds, proof FROM usage"
        )
        rows += [
            row_of(ACCOUNTS[row[0]], CounterKey(*row[1:4]), Amount(*row[4:6]))
            for row in checked(users)
        ]
    connection.executemany("INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute("DELETE FROM shown WHERE label = ?", (COUNTED,))
    connection.execute("DROP TABLE tallies")
    connection.execute("DROP TABLE IF EXISTS usage")


def accounts_of(
    tallies: Mapping[CounterKey, Amount], names: Mapping[str, frozenset[str]]
) -> dict[Account, dict[CounterKey, Amount]]:
    """What was owed to queues, shown of them, and added to ``_other``, by their counters as they were kept.
    ``names`` are the values of labels that were shown. Pure."""
    accounts: dict[Account, dict[CounterKey, Amount]] = {"owed": {}, "shown": {}, "elsewhere": {}}
    shown = accounts["shown"]
    all_counted = COUNTED not in names and "queue" in names  # the first versions showed all
    for former, whole in tallies.items():
        if former.kind not in _KINDS:
            continue
        own = tallies.get(former._replace(kind=f"own {former.kind}"))
        other = tallies.get(former._replace(kind=f"other {former.kind}"), NOTHING)
        if own is None and not other:
            if former.queue not in names.get("queue", ()):
                other = whole if all_counted else other
            elif all_counted or former.queue in names.get(COUNTED, ()):
                own = whole
        if own is not None and former.queue == OTHER:  # really called so
            other = other.plus(own)
            own = None
        key = former._replace(kind=_KINDS[former.kind])
        if own is not None:
            shown[key] = own.plus(shown.get(key, NOTHING))
        if other:
            into = key._replace(queue=OTHER)
            shown[into] = other.plus(shown.get(into, NOTHING))
            accounts["elsewhere"][key] = other
        parts = other.plus(own or NOTHING)
        if owed := whole.with_each(parts, max).minus(parts):
            accounts["owed"][key] = owed
    return accounts
