"""What users have used and how long they waited, by the names that are shown."""

from collections.abc import Iterable, Mapping
from functools import partial, reduce

from exporter.ledger.totals import Pair
from exporter.ledger.usage import USAGE_KINDS, Amount, Amounts, Usage, UsageKey
from exporter.publishing.counting import Counts
from exporter.publishing.naming import Names
from exporter.publishing.rows import Rows
from exporter.snapshot import Grouped
from exporter.snapshot import Usage as ShownUsage

ShownRows = Mapping[str, tuple[ShownUsage, ...]]
"""By kind; in the order of queue and user."""


class UsageRows:
    """The rows of one ledger. Only what has changed since the last snapshot is added up again."""

    def __init__(self) -> None:
        self._log: set[UsageKey] = set()
        self._queues: Names | None = None
        self._users: Names | None = None
        self._begin()

    def _begin(self) -> None:
        self._sources: dict[UsageKey, tuple[UsageKey, ...]] = {}
        """For each row, the series of the ledger that are added up in it, unless that is only its own."""
        self._rows: dict[str, Rows[ShownUsage]] = {kind: Rows() for kind in USAGE_KINDS}
        self._shown: ShownRows = dict.fromkeys(USAGE_KINDS, ())

    def show(self, usage: Usage, counts: Counts, queues: Names, users: Names) -> ShownRows:
        """Credit the series of users with what is owed to them, and return all rows."""
        log, self._log = self._log, set()  # if this fails, the next call starts anew
        live = counts.newly_live
        same = self._queues is queues and self._users is users
        if not same or not usage.is_logging_to(log):
            self._queues, self._users, log = queues, users, usage.start_log()
            self._begin()
            live = counts.live
        usage.credit(live, partial(_series, queues, users))
        self._add_up(usage.shown, log, queues, users)
        log.clear()
        self._log = log
        return self._shown

    def _add_up(
        self, amounts: Amounts, changed: Iterable[UsageKey], queues: Names, users: Names
    ) -> None:
        touched: dict[UsageKey, list[UsageKey]] = {}
        for key in changed:
            if queues.has(key.queue) and users.has(key.user):
                row = UsageKey(key.kind, queues[key.queue], users[key.user])
                touched.setdefault(row, []).append(key)
        for row, keys in touched.items():
            rows, group = self._rows[row.kind], (row.queue,)
            own = (row,) if rows.row(group, row.user) else ()
            sources = tuple(dict.fromkeys((*self._sources.get(row, own), *keys)))
            if sources != (row,):
                self._sources[row] = sources
            amount = reduce(Amount.plus, (amounts[key] for key in sources))
            rows.put(group, row.user, ShownUsage(*row[1:], *amount))
        for kind in {row.kind for row in touched}:
            self._shown = {**self._shown, kind: Grouped.of(self._rows[kind].groups())}


def _series(queues: Names, users: Names, queue: str, user: str) -> Pair | None:
    """The series that the usage of a queue and a user is added to; None while there is none."""
    into_queue, into_user = queues.series(queue), users.series(user)
    return None if into_queue is None or into_user is None else (into_queue, into_user)
