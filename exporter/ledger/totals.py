"""How many jobs there are by status, queue and user, without counting them anew each time."""

from collections.abc import Iterable, Sequence

from exporter.ledger.records import JobTotals
from exporter.model import END_STATUSES, Job, hidden

GroupKey = tuple[str, str, str]
"""(status, queue, user)"""
Move = tuple[Job | None, Job | None]
"""What a job was, None for one that was not there, and what it is, None for one that is gone."""


class Totals:
    """Jobs and cores of every group that has a job. Remembers how to undo a transaction."""

    def __init__(self, groups: Iterable[tuple[GroupKey, int, int]]) -> None:
        """Start from what was counted: (group, jobs, cores) of each."""
        self._groups = {key: [jobs, cores] for key, jobs, cores in groups}
        self.size = sum(jobs for jobs, _ in self._groups.values())
        self._kept_size = self.size
        self._before: dict[GroupKey, tuple[int, int]] = {}  # of each group that was touched since

    def move(self, moves: Sequence[Move]) -> None:
        """Count jobs where they are now, and no longer where they were."""
        groups, before = self._groups, self._before
        for old, new in moves:
            if new is not None:
                key = new[1:4]  # status, queue, user
                group = groups.get(key)
                if group is None:
                    group = groups[key] = [0, 0]
                if key not in before:
                    before[key] = (group[0], group[1])
                group[0] += 1
                group[1] += new.cores
                self.size += 1
            if old is not None:
                key = old[1:4]
                group = groups[key]
                if key not in before:
                    before[key] = (group[0], group[1])
                group[0] -= 1
                group[1] -= old.cores
                if not group[0]:
                    del groups[key]
                self.size -= 1

    def keep(self) -> None:
        """What was counted since stands."""
        self._kept_size = self.size
        self._before.clear()

    def undo(self) -> None:
        """What was counted since ``keep`` does not."""
        for key, (jobs, cores) in self._before.items():
            if jobs:
                self._groups[key] = [jobs, cores]
            else:
                self._groups.pop(key, None)
        self.size = self._kept_size
        self._before.clear()

    def by_group(self) -> dict[GroupKey, JobTotals]:
        """Only groups in which there is a job."""
        return {key: JobTotals(jobs, cores) for key, (jobs, cores) in self._groups.items()}

    def in_status(self, status: str) -> int:
        """How many jobs are in a status."""
        return sum(jobs for key, (jobs, _) in self._groups.items() if key[0] == status)

    def active_statuses(self) -> frozenset[str]:
        """The statuses, other than end statuses, that some job is in."""
        statuses = {status for status, _, _ in self._groups} - END_STATUSES
        return frozenset(status for status in statuses if not hidden(status))
