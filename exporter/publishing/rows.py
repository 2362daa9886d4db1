"""The rows of metrics, by the names that are shown: jobs and cores of users, and the counters. Little changes
from one snapshot to the next: only that is added up again, and other rows stay the same objects. Pure."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection

from exporter.labels import FirstNames
from exporter.ledger.counters import HISTOGRAM_KINDS, USER_KINDS, Amount, Amounts, CounterKey
from exporter.ledger.totals import Pair
from exporter.model import END_STATUSES
from exporter.publishing.naming import Changed, Label
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    Columns,
    DurationTally,
    Group,
    Grouped,
    JobCount,
    Tally,
    Usage,
)

ALWAYS_SHOWN = ("pending", "running")
STATUS_LIMIT = 50
"""How many statuses, beside the documented ones, are shown under their own names: any text may come."""

_NOBODY: Columns = ((), (), ())


class Rows:
    """Two numbers of each user of a group, in columns. Those of a group that has not changed stay the
    same object."""

    def __init__(self) -> None:
        self._groups: dict[Group, Columns] = {}
        """Of each group that has any users, in order, as of the last call of ``groups``."""
        self._changed: dict[Group, dict[str, tuple[int, int] | None]] = {}
        """What has changed since, by user; None for those that are gone."""

    def numbers(self, group: Group, user: str) -> tuple[int, int] | None:
        """Those of a user; None if there are none."""
        changed = self._changed.get(group, {})
        if user in changed:
            return changed[user]
        users, ones, others = self._groups.get(group, _NOBODY)
        place = bisect_left(users, user)
        there = place < len(users) and users[place] == user
        return (ones[place], others[place]) if there else None

    def put(self, group: Group, user: str, numbers: tuple[int, int] | None) -> None:
        """Add or replace the numbers of a user, or remove them for None."""
        self._changed.setdefault(group, {})[user] = numbers

    def groups(self) -> dict[Group, Columns]:
        """Each group that has any users, in the order of groups and users."""
        new = self._changed.keys() - self._groups.keys()
        for group, changed in self._changed.items():
            users, *_ = columns = [list(column) for column in self._groups.get(group, _NOBODY)]
            for user, numbers in changed.items():
                place = bisect_left(users, user)
                behind = place + (place < len(users) and users[place] == user)
                row = _NOBODY if numbers is None else ((user,), numbers[:1], numbers[1:])
                for column, cell in zip(columns, row, strict=True):
                    column[place:behind] = cell
            self._groups[group] = tuple(map(tuple, columns))
            if not users:
                del self._groups[group]
        if new:
            self._groups = dict(sorted(self._groups.items()))
        self._changed.clear()
        return dict(self._groups)


class JobRows:
    """Jobs and cores. Each (queue, user) that is *live*, because it has an active job or had one within the
    last hour, has rows of pending and running jobs, also of none."""

    def __init__(self, statuses: FirstNames, queues: Label, users: Label) -> None:
        self._statuses = statuses
        self._queues = queues
        self._users = users
        self._recent: frozenset[Pair] = frozenset()
        self._shown_live: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """How many live pairs there are under each name of a queue and of a user."""
        self._rows = Rows()

    def take(
        self, changes: Collection[Changed], active: Callable[[Pair], int], recent: frozenset[Pair]
    ) -> set[Pair]:
        """Take in what has changed. ``active`` tells in how many statuses a pair has active jobs, ``recent`` are
        those that had one within the last hour. Returns those that have become live."""
        more: Counter[Pair] = Counter()
        """Than before, in how many statuses the pair has active jobs."""
        for key, before, now in changes:
            if key[0] not in END_STATUSES:
                more[key[1:]] += bool(now.jobs) - bool(before.jobs)
        recent_before, self._recent = self._recent, recent
        turned: dict[Pair, bool] = {}
        """The pairs that are live now and were not, or the other way round."""
        for pair in more.keys() | (recent ^ recent_before):
            statuses = active(pair)
            is_live = pair in recent or statuses > 0
            if is_live is not (pair in recent_before or statuses > more[pair]):
                turned[pair] = is_live
        for (queue, user), is_live in turned.items():
            self._shown_live[self._queues[queue]][self._users[user]] += 1 if is_live else -1
        for key, before, now in changes:
            self._add(*key, now.jobs - before.jobs, now.cores - before.cores)
        for pair in turned:
            for status in ALWAYS_SHOWN:
                self._add(status, *pair, 0, 0)
        return {pair for pair, is_live in turned.items() if is_live}

    def rows(self, *, ended: bool, others: bool) -> Grouped[JobCount]:
        """The rows in order: of pending and running jobs, of those that have ``ended``, and of ``others``."""
        return Grouped(JobCount, {
            group: columns for group, columns in self._rows.groups().items()
            if group[0] in ALWAYS_SHOWN or (ended if group[0] in END_STATUSES else others)
        })  # fmt: skip

    def _add(self, status: str, queue: str, user: str, jobs: int, cores: int) -> None:
        status, queue, user = self._statuses[status], self._queues[queue], self._users[user]
        if known := self._rows.numbers((status, queue), user):
            jobs, cores = jobs + known[0], cores + known[1]
        shown = jobs or (status in ALWAYS_SHOWN and self._shown_live[queue][user])
        self._rows.put((status, queue), user, (jobs, cores) if shown else None)


class CounterRows:
    """What has happened in queues, and what users have used and how long they waited."""

    def __init__(self, queues: Label, users: Label) -> None:
        self._queues = queues
        self._users = users
        self._by_user = {kind: Rows() for kind in USER_KINDS}
        self._tallies: dict[str, dict[CounterKey, Tally]] = defaultdict(dict)
        self._durations: dict[str, dict[CounterKey, DurationTally]] = defaultdict(dict)

    def has(self, key: CounterKey) -> bool:
        """Whether a series of the ledger is shown."""
        return self._queues.has(key.queue) and (
            key.kind not in USER_KINDS or self._users.has(key.of)
        )

    def take(self, before: Amounts, now: Amounts) -> None:
        """Take in the series of the ledger that have changed; ``before`` has them as they were."""
        for key, then in before.items():
            if not self.has(key):
                continue
            if key.kind in USER_KINDS:
                self._add(key, now[key].minus(then))
            elif key.kind in HISTOGRAM_KINDS:
                amount = now[key]
                rest = (0,) * (len(WAIT_BUCKETS_SECONDS) + 1 - len(amount.buckets))
                self._durations[key.kind][key] = DurationTally(
                    key.queue, key.of, amount.buckets + rest, float(amount.seconds)
                )
            else:
                self._tallies[key.kind][key] = Tally(key.queue, key.of, now[key].times)

    def usage(self, kind: str) -> Grouped[Usage]:
        """The rows of one kind of users, in order."""
        return Grouped(Usage, self._by_user[kind].groups())

    def totals(self, kind: str) -> tuple[Tally, ...]:
        """The counters of one kind of queues, in order."""
        return tuple(sorted(self._tallies[kind].values()))

    def durations(self, kind: str) -> tuple[DurationTally, ...]:
        """The histograms of one kind, in order."""
        return tuple(sorted(self._durations[kind].values()))

    def _add(self, key: CounterKey, more: Amount) -> None:
        group, user = (self._queues[key.queue],), self._users[key.of]
        times, seconds = self._by_user[key.kind].numbers(group, user) or (0, 0)
        self._by_user[key.kind].put(group, user, (times + more.times, seconds + more.seconds))
