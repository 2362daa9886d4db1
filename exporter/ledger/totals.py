"""How many jobs and cores there are by status, queue and user, without counting again each time."""

from collections import defaultdict
from collections.abc import Iterable, KeysView, Sequence

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


class _Group:
    """Jobs and cores of one group. Changed in place, because every job of every page changes one."""

    __slots__ = ("cores", "jobs", "noted")

    def __init__(self) -> None:
        self.jobs = self.cores = 0
        self.noted: object = None
        """The ``_noting`` of its ``Totals`` when its totals were noted."""

    def now(self) -> JobTotals:
        """The current totals."""
        return JobTotals(self.jobs, self.cores)


class Totals:
    """Jobs and cores of every group that has a job. A transaction can be rolled back."""

    def __init__(self, groups: Iterable[tuple[GroupKey, int, int]]) -> None:
        """Start with the given jobs and cores of each group."""
        self._groups: dict[GroupKey, _Group] = {}
        self._by_status: dict[str, int] = defaultdict(int)
        self._active: dict[Pair, int] = {}  # in how many groups
        self._idle: set[Pair] = set()
        self._before: dict[GroupKey, tuple[int, int]] = {}
        """Jobs and cores before the transaction, of each group that it has changed."""
        self.log = Log()
        """The current log."""
        self._noting = object()
        """Replaced when the totals of groups must be noted again before they change."""
        for key, jobs, cores in groups:
            self._set(key, jobs, cores)
        self._kept_idle: frozenset[Pair] = frozenset()

    def move(self, moves: Sequence[Move]) -> None:
        """Move jobs from the group in which they were to the one in which they are now."""
        if not self.log:  # it may have been cleared
            self._noting = object()
        groups, by_status, noting = self._groups, self._by_status, self._noting
        for old, new in moves:
            if new is not None:
                key = new[1:4]  # status, queue, user
                group = groups.get(key) or self._begin(key)
                if group.noted is not noting:
                    self._note(key, group)
                group.jobs += 1
                group.cores += new.cores
                by_status[key[0]] += 1
            if old is not None:
                key = old[1:4]
                group = groups[key]
                if group.noted is not noting:
                    self._note(key, group)
                group.jobs -= 1
                group.cores -= old.cores
                by_status[key[0]] -= 1
                if not group.jobs:
                    self._end(key)

    def committed(self) -> None:
        """The transaction was committed."""
        self._kept_idle = frozenset(self._idle)
        self._before.clear()
        self._noting = object()

    def rolled_back(self) -> None:
        """The transaction was rolled back."""
        for key, group in self._before.items():
            self.log.setdefault(key, self.group(key))
            self._set(key, *group)
        self._idle = set(self._kept_idle)
        self._before.clear()
        self._noting = object()

    def start_log(self) -> Log:
        """Start a log of changes, in which all current groups are new. There is one log at a time: an
        earlier one ends."""
        self.log = Log(dict.fromkeys(self._groups, EMPTY))
        self._noting = object()
        return self.log

    def group(self, key: GroupKey) -> JobTotals:
        """The totals of one group; ``EMPTY`` if it has no jobs."""
        group = self._groups.get(key)
        return EMPTY if group is None else group.now()

    def by_group(self) -> dict[GroupKey, JobTotals]:
        """The totals of all groups that have a job."""
        return {key: group.now() for key, group in self._groups.items()}

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

    def active_pairs(self) -> KeysView[Pair]:
        """The (queue, user) pairs that have an active job."""
        return self._active.keys()

    def take_idle_pairs(self) -> frozenset[Pair]:
        """The pairs that had an active job since the last call, and have none now."""
        idle, self._idle = self._idle, set()
        return frozenset(idle - self._active.keys())

    def _set(self, key: GroupKey, jobs: int, cores: int) -> None:
        group = self._groups.get(key) or self._begin(key)
        self._by_status[key[0]] += jobs - group.jobs
        group.jobs, group.cores = jobs, cores
        if not jobs:
            self._end(key)

    def _note(self, key: GroupKey, group: _Group) -> None:
        """Note the totals of a group that is about to change."""
        self._before.setdefault(key, (group.jobs, group.cores))
        if key not in self.log:
            self.log[key] = group.now()
        group.noted = self._noting

    def _begin(self, key: GroupKey) -> _Group:
        if _is_active(key[0]):
            pair = key[1:]
            self._active[pair] = self._active.get(pair, 0) + 1
        group = self._groups[key] = _Group()
        return group

    def _end(self, key: GroupKey) -> None:
        del self._groups[key]
        pair = key[1:]
        if _is_active(key[0]):
            self._active[pair] -= 1
            if not self._active[pair]:
                del self._active[pair]
                self._idle.add(pair)


def _is_active(status: str) -> bool:
    return status not in END_STATUSES and not hidden(status)
