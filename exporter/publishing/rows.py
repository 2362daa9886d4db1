"""The rows of metrics about users, by the names that are shown: jobs and cores, and what users have used.
Little changes from one snapshot to the next: only that is added up again, and other rows stay the same
objects. Pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Container, Mapping
from operator import attrgetter
from typing import Generic, TypeVar

from exporter.labels import FirstNames
from exporter.ledger.totals import Pair
from exporter.ledger.usage import USAGE_KINDS, Amounts
from exporter.model import END_STATUSES
from exporter.publishing.naming import Changed, Label
from exporter.snapshot import Grouped, JobCount
from exporter.snapshot import Usage as ShownUsage

ALWAYS_SHOWN = ("pending", "running")
STATUS_LIMIT = 50
"""How many statuses, beside the documented ones, are shown under their own names: any text may come."""


_Row = TypeVar("_Row", JobCount, ShownUsage)
Group = tuple[str, ...]
"""What the rows of a group have in common: their status and queue, or only their queue."""

_user = attrgetter("user")


class Rows(Generic[_Row]):
    """Rows by group and user. A group that has not changed stays the same object."""

    def __init__(self) -> None:
        self._groups: dict[Group, tuple[_Row, ...]] = {}
        """The rows of each group that has any, in order, as of the last call of ``groups``."""
        self._changed: dict[Group, dict[str, _Row | None]] = {}
        """What has changed since, by user; None if the row is gone."""

    def row(self, group: Group, user: str) -> _Row | None:
        """The row of a user; None if there is none."""
        changed = self._changed.get(group, {})
        if user in changed:
            return changed[user]
        rows = self._groups.get(group, ())
        place = bisect_left(rows, user, key=_user)
        return rows[place] if place < len(rows) and rows[place].user == user else None

    def put(self, group: Group, user: str, row: _Row | None) -> None:
        """Add or replace the row of a user, or remove it for None."""
        self._changed.setdefault(group, {})[user] = row

    def groups(self) -> Collection[tuple[_Row, ...]]:
        """The rows of each group that has any, in the order of groups and users."""
        new = self._changed.keys() - self._groups.keys()
        for group, changed in self._changed.items():
            rows = list(self._groups.get(group, ()))
            for user, row in changed.items():
                place = bisect_left(rows, user, key=_user)
                behind = place + (place < len(rows) and rows[place].user == user)
                rows[place:behind] = () if row is None else (row,)
            self._groups[group] = tuple(rows)
            if not rows:
                del self._groups[group]
        if new:
            self._groups = dict(sorted(self._groups.items()))
        self._changed.clear()
        return self._groups.values()


class JobRows:
    """Jobs and cores. Each (queue, user) that is *live*, because it has an active job or had one within the
    last hour, has rows of pending and running jobs, also of none."""

    def __init__(self, statuses: FirstNames, queues: Label, users: Label) -> None:
        self._statuses = statuses
        self._queues = queues
        self._users = users
        self._recent: frozenset[Pair] = frozenset()
        self._live: set[Pair] = set()
        self._shown_live: Counter[Pair] = Counter()
        """How many live pairs there are under each pair of names."""
        self._rows: Rows[JobCount] = Rows()

    def take(
        self, changes: Collection[Changed], active: Container[Pair], recent: frozenset[Pair]
    ) -> set[Pair]:
        """Take in what has changed. ``active`` are the pairs that have an active job, ``recent`` those that
        had one within the last hour. Returns those that have become live."""
        pairs = {change.key[1:] for change in changes} | (recent ^ self._recent)
        self._recent = recent
        turned = {
            pair for pair in pairs
            if (pair in active or pair in recent) is not (pair in self._live)
        }  # fmt: skip
        self._live ^= turned
        for queue, user in turned:
            more = 1 if (queue, user) in self._live else -1
            self._shown_live[self._queues[queue], self._users[user]] += more
        for key, before, now in changes:
            self._add(*key, now.jobs - before.jobs, now.cores - before.cores)
        for pair in turned:
            for status in ALWAYS_SHOWN:
                self._add(status, *pair, 0, 0)
        return turned & self._live

    def rows(self, *, complete: bool, ended: bool) -> Grouped[JobCount]:
        """The rows in order: while the list is not ``complete``, only of pending and running jobs; later of all, also
        of those that have ``ended`` if they are wanted."""
        hidden = () if ended else END_STATUSES
        return Grouped(
            rows for rows in self._rows.groups()
            if rows[0].status in ALWAYS_SHOWN or (complete and rows[0].status not in hidden)
        )  # fmt: skip

    def _add(self, status: str, queue: str, user: str, jobs: int, cores: int) -> None:
        status, queue, user = self._statuses[status], self._queues[queue], self._users[user]
        if known := self._rows.row((status, queue), user):
            jobs, cores = jobs + known.jobs, cores + known.cores
        shown = jobs or (status in ALWAYS_SHOWN and self._shown_live[queue, user])
        row = JobCount(status, queue, user, jobs, cores) if shown else None
        self._rows.put((status, queue), user, row)


class UsageRows:
    """What users have used and how long they waited."""

    def __init__(self, queues: Label, users: Label) -> None:
        self._queues = queues
        self._users = users
        self._rows: Mapping[str, Rows[ShownUsage]] = {kind: Rows() for kind in USAGE_KINDS}

    def take(self, before: Amounts, now: Amounts) -> None:
        """Take in the series of the ledger that have changed; ``before`` has them as they were."""
        for key, then in before.items():
            if self._queues.has(key.queue) and self._users.has(key.user):
                queue, user = self._queues[key.queue], self._users[key.user]
                times, seconds = now[key].minus(then)
                rows = self._rows[key.kind]
                if known := rows.row((queue,), user):
                    times, seconds = times + known.times, seconds + known.seconds
                rows.put((queue,), user, ShownUsage(queue, user, times, seconds))

    def rows(self, kind: str) -> Grouped[ShownUsage]:
        """The rows of one kind, in order."""
        return Grouped(self._rows[kind].groups())
