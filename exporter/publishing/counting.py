"""Jobs and cores by the names that are shown. Little changes from one snapshot to the next, and only
that is added up again. Pure."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping

from exporter.ledger.totals import GroupKey, Pair
from exporter.model import END_STATUSES
from exporter.publishing.naming import Changed
from exporter.publishing.rows import Rows
from exporter.snapshot import OTHER, Grouped, JobCount

ALWAYS_SHOWN = ("pending", "running")
STATUS_LIMIT = 50
"""How many statuses, beside the documented ones, are shown under their own names: any text may come."""


class Statuses(dict[str, str]):
    """The names under which statuses are shown; the first others beside those that are documented keep theirs."""

    def __init__(self) -> None:
        super().__init__({status: status for status in (*ALWAYS_SHOWN, *END_STATUSES)})
        self._most = len(self) + STATUS_LIMIT

    def __missing__(self, status: str) -> str:
        return OTHER if len(self) >= self._most else self.setdefault(status, status)


class Counts:
    """The rows of job counts; made anew when the names change."""

    def __init__(
        self, queues: Mapping[str, str], users: Mapping[str, str], statuses: Statuses
    ) -> None:
        self.names = (queues, users)
        self._statuses = statuses
        self._recent: frozenset[Pair] = frozenset()
        self.live: set[Pair] = set()
        """Each (queue, user) of the ledger that has an active job, or had one within the last hour."""
        self.newly_live: set[Pair] = set()
        """Those that have become so by the last ``take``."""
        self._shown_live: Counter[Pair] = Counter()  # by how many of them
        self._job_rows: Rows[JobCount] = Rows()
        self._shown: tuple[bool, bool] | None = None
        self._rows: Grouped[JobCount] | None = None

    def take(
        self, changes: Iterable[Changed], active: Container[Pair], recent: frozenset[Pair]
    ) -> None:
        """Take in what has changed. ``active`` are the pairs that have an active job, ``recent`` those that
        had one within the last hour."""
        touched = self._sums(changes)
        pairs = {change.key[1:] for change in changes} | (recent ^ self._recent)
        self._recent = recent
        self.newly_live = set()
        for pair in pairs:
            lives = pair in active or pair in recent
            if lives is not (pair in self.live):
                shown = self._set_live(pair, lives=lives)
                for status in ALWAYS_SHOWN:
                    touched.setdefault((status, *shown), (0, 0))
        self._write(touched)

    def rows(self, *, complete: bool, ended: bool) -> Grouped[JobCount]:
        """The rows in order: while the list is not ``complete``, only of pending and running jobs; later of all, also
        of those that have ``ended`` if they are wanted. If nothing has changed, it is the same object as before."""
        if self._rows is None or self._shown != (complete, ended):
            self._shown = (complete, ended)
            hidden = () if ended else END_STATUSES
            self._rows = Grouped.of(
                rows for rows in self._job_rows.groups()
                if rows[0].status in ALWAYS_SHOWN or (complete and rows[0].status not in hidden)
            )  # fmt: skip
        return self._rows

    def _sums(self, changes: Iterable[Changed]) -> dict[GroupKey, tuple[int, int]]:
        """For each row, how many jobs and cores have been added to it."""
        queues, users = self.names
        sums: dict[GroupKey, tuple[int, int]] = {}
        for (status, queue, user), before, now in changes:
            row = (self._statuses[status], queues[queue], users[user])
            jobs, cores = sums.get(row, (0, 0))
            sums[row] = (jobs + now.jobs - before.jobs, cores + now.cores - before.cores)
        return sums

    def _set_live(self, pair: Pair, *, lives: bool) -> Pair:
        queues, users = self.names
        shown = (queues[pair[0]], users[pair[1]])
        if lives:
            self.live.add(pair)
            self.newly_live.add(pair)
        else:
            self.live.remove(pair)
        self._shown_live[shown] += 1 if lives else -1
        if not self._shown_live[shown]:
            del self._shown_live[shown]
        return shown

    def _write(self, touched: Mapping[GroupKey, tuple[int, int]]) -> None:
        for (status, queue, user), (more_jobs, more_cores) in touched.items():
            known = self._job_rows.row((status, queue), user)
            jobs = more_jobs + (known.jobs if known else 0)
            cores = more_cores + (known.cores if known else 0)
            shown = jobs or (status in ALWAYS_SHOWN and (queue, user) in self._shown_live)
            row = JobCount(status, queue, user, jobs, cores) if shown else None
            self._job_rows.put((status, queue), user, row)
        if touched:
            self._rows = None
