"""What users have used and waited, under the names that are shown."""

from collections.abc import Iterable

from exporter.ledger.usage import USAGE_KINDS, Amount, Amounts, Usage, UsageKey
from exporter.snapshot import Usage as ShownUsage
from exporter.sync.naming import Names

Rows = dict[str, tuple[ShownUsage, ...]]
"""By kind, in the order of queue and user."""


class UsedRows:
    """Of one ledger. Remembers the last rows, as from one snapshot to the next few change."""

    def __init__(self) -> None:
        self._rows: dict[UsageKey, ShownUsage] = {}

    def show(
        self, usage: Usage, live: Iterable[tuple[str, str]], queues: Names, users: Names
    ) -> Rows:
        """Add what has happened to the series of those whose it is, and give all that are shown."""
        usage.show(live, lambda queue, user: (queues.series(queue), users.series(user)))
        sums = _sums(usage.shown, queues, users)
        before = self._rows
        order = before if before.keys() == sums.keys() else sorted(sums)
        rows = {}
        for key in order:
            row, amount = before.get(key), sums[key]
            if row is None or row[2:] != amount:
                row = ShownUsage(key.queue, key.user, *amount)
            rows[key] = row
        self._rows = rows
        return {
            kind: tuple(row for key, row in rows.items() if key.kind == kind)
            for kind in USAGE_KINDS
        }


def _sums(amounts: Amounts, queues: Names, users: Names) -> dict[UsageKey, Amount]:
    sums: dict[UsageKey, Amount] = {}
    for (kind, queue, user), amount in amounts.items():
        if queues.has(queue) and users.has(user):
            key = UsageKey(kind, queues[queue], users[user])
            other = sums.get(key)
            sums[key] = amount if other is None else other.plus(amount)
    return sums
