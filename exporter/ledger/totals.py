"""How many jobs and cores there are by status, queue and user, without counting again each time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from exporter.ledger.records import JobTotals
from exporter.model import END_STATUSES, Job, hidden

GroupKey = tuple[str, str, str]
"""(status, queue, user)"""
Pair = tuple[str, str]
"""(queue, user)"""
Move = tuple[Job | None, Job | None]
"""A job before (None: it was not there) and now (None: it is gone)."""

EMPTY = JobTotals(0, 0)


class Log(dict[GroupKey, JobTotals]):
    """The groups that have changed since the log was last cleared, with their totals at that time. It has
    one reader, who clears it."""


class _Group(msgspec.Struct, gc=False):
    """Jobs and cores of one group. Changed in place, because every job of every page changes one."""

    jobs: int = 0
    cores: int = 0

    def now(self) -> JobTotals:
        """The current totals."""
        return JobTotals(self.jobs, self.cores)


class Totals:
    """Jobs and cores of every group that has a job. A transaction can be rolled back."""

    def __init__(self, groups: Iterable[tuple[GroupKey, int, int]]) -> None:
        """Start with the given jobs and cores of each group."""
        self._groups: dict[tuple[str, str], dict[str, _Group]] = defaultdict(dict)
        """By status and queue, then by user."""
        self._by_status: dict[str, int] = defaultdict(int)
        self._idle: set[Pair] = set()
        self._before: dict[GroupKey, tuple[int, int]] = {}
        """Jobs and cores before the transaction, of each group that it has changed."""
        self.log = Log()
        """The current log."""
        for key, jobs, cores in groups:
            self._set(key, jobs, cores)
        self._kept_idle: frozenset[Pair] = frozenset()

    def move(self, moves: Sequence[Move]) -> None:
        """Move jobs from the group in which they were to the one in which they are now."""
        groups, by_status, before, log = self._groups, self._by_status, self._before, self.log
        for old, new in moves:
            if new is not None:
                key = new[1:4]  # status, queue, user
                group = groups[key[:2]].get(key[2]) or self._begin(key)
                if key not in before:
                    before[key] = (group.jobs, group.cores)
                if key not in log:
                    log[key] = group.now()
                group.jobs += 1
                group.cores += new.cores
                by_status[key[0]] += 1
            if old is not None:
                key = old[1:4]
                group = groups[key[:2]][key[2]]
                if key not in before:
                    before[key] = (group.jobs, group.cores)
                if key not in log:
                    log[key] = group.now()
                group.jobs -= 1
                group.cores -= old.cores
                by_status[key[0]] -= 1
                if not group.jobs:
                    self._end(key)

    def committed(self) -> None:
        """The transaction was committed."""
        self._kept_idle = frozenset(self._idle)
        self._before.clear()

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        for key, group in self._before.items():
            self.log.setdefault(key, self.group(key))
            self._set(key, *group)
        self._idle = set(self._kept_idle)
        self._before.clear()

    def start_log(self) -> Log:
        """Start a log of changes, in which all current groups are new. There is one log at a time: an
        earlier one ends."""
        self.log = Log(dict.fromkeys(self.by_group(), EMPTY))
        return self.log

    def group(self, key: GroupKey) -> JobTotals:
        """The totals of one group; ``EMPTY`` if it has no jobs."""
        status, queue, user = key
        group = self._groups.get((status, queue), {}).get(user)
        return EMPTY if group is None else group.now()

    def by_group(self) -> dict[GroupKey, JobTotals]:
        """The totals of all groups that have a job."""
        return {
            (*key, user): group.now()
            for key, users in self._groups.items()
            for user, group in users.items()
        }

    @property
    def size(self) -> int:
        """How many jobs there are."""
        return sum(self._by_status.values())

    def in_status(self, status: str) -> int:
        """How many jobs are in a status."""
        return self._by_status.get(status, 0)

    def active_statuses(self) -> frozenset[str]:
        """The statuses of active jobs."""
        return frozenset(
            status for status, jobs in self._by_status.items() if jobs and _is_active(status)
        )

    def active_groups(self, pair: Pair) -> int:
        """In how many statuses a (queue, user) pair has active jobs."""
        queue, user = pair
        return sum(
            user in self._groups.get((status, queue), ()) and _is_active(status)
            for status in self._by_status
        )

    def take_idle_pairs(self) -> frozenset[Pair]:
        """The pairs that had an active job since the last call, and have none now."""
        idle, self._idle = self._idle, set()
        return frozenset(pair for pair in idle if not self.active_groups(pair))

    def _set(self, key: GroupKey, jobs: int, cores: int) -> None:
        group = self._groups[key[:2]].get(key[2]) or self._begin(key)
        self._by_status[key[0]] += jobs - group.jobs
        group.jobs, group.cores = jobs, cores
        if not jobs:
            self._end(key)

    def _begin(self, key: GroupKey) -> _Group:
        group = self._groups[key[:2]][key[2]] = _Group()
        return group

    def _end(self, key: GroupKey) -> None:
        users = self._groups[key[:2]]
        del users[key[2]]
        if not users:
            del self._groups[key[:2]]
        if _is_active(key[0]):
            self._idle.add(key[1:])


def _is_active(status: str) -> bool:
    return status not in END_STATUSES and not hidden(status)
