"""Whatever is applied, suspected, undone and reopened: the ledger equals a plain dictionary."""

import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import exporter.ledger.jobs
import exporter.ledger.row_hints
import exporter.ledger.suspects
from exporter.ledger.jobs import TimeColumn
from exporter.ledger.records import Change, JobTotals
from exporter.ledger.store import open_ledger
from exporter.ledger.suspects import GONE_KEPT_SECONDS
from exporter.model import END_STATUSES, OUT_OF_WINDOW, Job
from tests.unit.ledger.made import AT

INFINITE = float("inf")
DAY = int(GONE_KEPT_SECONDS)
NOT_ACTIVE = END_STATUSES | {"", OUT_OF_WINDOW}
MOMENTS = st.one_of(st.none(), st.integers(AT, AT + 6))
JOBS = st.builds(
    Job,
    uuid=st.integers(0, 12).map(lambda number: f"hpcjob-{number}"),
    status=st.sampled_from(("pending", "running", "finished", "exited", "suspended", "")),
    queue=st.sampled_from(("q", "默认队列")),
    user=st.sampled_from(("u", 'v"\\\n')),
    cores=st.integers(0, 4),
    submitted_at=MOMENTS,
    started_at=MOMENTS,
    modified_at=MOMENTS,
)
BOUNDS = st.one_of(st.sampled_from((INFINITE, -INFINITE)), st.integers(AT - 1, AT + 7))

NOW = st.one_of(st.just(AT), st.integers(AT + DAY - 1, AT + DAY + 7))
"""When suspects are forgotten: those that changed within a day before are remembered."""


class UndoneError(Exception):
    """What undoes a transaction."""


class LedgerMachine(RuleBasedStateMachine):
    """A ledger in a file, and what a dictionary says it must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "one.ledger"
        self.ledger = open_ledger(self.path, "whose")
        self.jobs: dict[str, Job] = {}
        self.suspects: dict[str, Job] = {}
        self.gone: dict[str, Job] = {}
        """Jobs that were forgotten within a day of their last change."""

    def teardown(self) -> None:
        self.ledger.close()
        self.directory.cleanup()

    @rule(batch=st.lists(JOBS, max_size=8))
    def apply(self, batch: list[Job]) -> None:
        with self.ledger.transaction():
            changes = self.ledger.apply(batch)
        self._apply(batch, changes)

    @rule(batch=st.lists(JOBS, max_size=8), newest=BOUNDS, oldest=BOUNDS)
    def fail(self, batch: list[Job], newest: float, oldest: float) -> None:
        """All of it, undone. (Suspects do not outlive a transaction of a sync that fails.)"""
        self.restore()
        try:
            with self.ledger.transaction():
                self.ledger.suspect_between(newest, oldest, keep=[])
                self.ledger.apply(batch)
                self.ledger.forget_suspects(1e12)
                self.ledger.hide_before(INFINITE)
                raise UndoneError  # noqa: TRY301
        except UndoneError:
            pass

    @rule(
        batch=st.lists(JOBS, max_size=8),
        newest=BOUNDS,
        oldest=BOUNDS,
        forgotten=st.booleans(),
        now_at=NOW,
    )
    def look(
        self, batch: list[Job], newest: float, oldest: float, forgotten: bool, now_at: int
    ) -> None:
        """As a sync does it: suspect, apply, and forget or restore, in one transaction."""
        self.restore()
        with self.ledger.transaction():
            found = self.ledger.suspect_between(newest, oldest, keep=[job.uuid for job in batch])
            before = len(self.jobs)
            self._suspect(newest, oldest, {job.uuid for job in batch})
            assert found == before - len(self.jobs)
            self._apply(batch, self.ledger.apply(batch))
            if forgotten:
                self._forget(now_at)
            else:
                assert self.ledger.restore_suspects() == len(self.suspects)
                self.jobs |= self.suspects
                self.suspects.clear()

    @rule(newest=BOUNDS, oldest=BOUNDS, by_submit=st.booleans())
    def suspect(self, newest: float, oldest: float, by_submit: bool) -> None:
        by: TimeColumn = "submitted_at" if by_submit else "modified_at"
        with self.ledger.transaction():
            self.ledger.suspect_between(newest, oldest, keep=[], by=by)
        self._suspect(newest, oldest, set(), by)

    @rule()
    def restore(self) -> None:
        with self.ledger.transaction():
            assert self.ledger.restore_suspects() == len(self.suspects)
        self.jobs |= self.suspects
        self.suspects.clear()

    @rule(now_at=NOW)
    def forget(self, now_at: int) -> None:
        with self.ledger.transaction():
            self._forget(now_at)

    @rule(before_at=BOUNDS)
    def hide_before(self, before_at: float) -> None:
        if before_at in (INFINITE, -INFINITE):
            return
        with self.ledger.transaction():
            self.ledger.hide_before(before_at)
        self.jobs |= {
            uuid: job._replace(status=OUT_OF_WINDOW)
            for uuid, job in self.jobs.items()
            if job.status in END_STATUSES and (job.modified_at or 0) < before_at
        }

    @rule(status=st.sampled_from(("pending", "running", "suspended")), stay=st.integers(0, 12))
    def set_aside(self, status: str, stay: int) -> None:
        with self.ledger.transaction():
            left = self.ledger.set_aside(status, lambda job: job.uuid == f"hpcjob-{stay}")
        gone = [
            job
            for job in self.jobs.values()
            if job.status == status and job.uuid != f"hpcjob-{stay}"
        ]
        assert left == len(gone)
        self.jobs |= {job.uuid: job._replace(status="") for job in gone}

    @rule()
    def reopen(self) -> None:
        """The process ends. What it suspected may come back."""
        self.gone |= self.suspects
        self.suspects.clear()
        self.ledger.close()
        self.ledger = open_ledger(self.path, "whose")

    @invariant()
    def totals_are_equal(self) -> None:
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        for job in self.jobs.values():
            groups[job.status, job.queue, job.user][0] += 1
            groups[job.status, job.queue, job.user][1] += job.cores
        assert self.ledger.totals() == {key: JobTotals(*group) for key, group in groups.items()}
        assert self.ledger.size == len(self.jobs)
        assert self.ledger.suspects == len(self.suspects)

    @invariant()
    def questions_are_answered_alike(self) -> None:
        jobs = self.jobs.values()
        by_status = Counter(job.status for job in jobs)
        for status in ("pending", "running", "finished", "", OUT_OF_WINDOW):
            assert self.ledger.count_status(status) == by_status[status]
            assert {job.uuid for job in self.ledger.in_status(status)} == {
                job.uuid for job in jobs if job.status == status
            }
        assert self.ledger.active_statuses() == by_status.keys() - NOT_ACTIVE
        oldest: dict[str, int] = {}
        for job in jobs:
            if job.status == "pending" and job.submitted_at:
                oldest[job.queue] = min(job.submitted_at, oldest.get(job.queue, job.submitted_at))
        assert self.ledger.oldest_pending() == oldest
        active = {job.uuid for job in jobs if job.status not in NOT_ACTIVE}
        for by in ("modified_at", "submitted_at"):
            found = self.ledger.active_jobs(by)
            moments = [getattr(job, by) or 0 for job in found]
            assert moments == sorted(moments, reverse=True)
            assert {job.uuid for job in found} == active

    @invariant()
    def ranks_are_equal(self) -> None:
        for newest, oldest in ((INFINITE, AT + 3), (AT + 2, -INFINITE), (AT + 4, AT + 2)):
            for by in ("modified_at", "submitted_at"):
                within = sum(
                    oldest <= (getattr(job, by) or 0) <= newest for job in self.jobs.values()
                )
                assert self.ledger.count_between(newest, oldest, by=by) == within

    def _forget(self, now_at: int) -> None:
        assert self.ledger.forget_suspects(now_at) == len(self.suspects)
        if self.suspects:
            self.gone |= self.suspects
            self.gone = {
                uuid: job
                for uuid, job in self.gone.items()
                if (job.modified_at or 0) >= now_at - DAY
            }
        self.suspects.clear()

    def _suspect(
        self, newest: float, oldest: float, keep: set[str], by: str = "modified_at"
    ) -> None:
        for uuid, job in list(self.jobs.items()):
            if oldest <= (getattr(job, by) or 0) <= newest and uuid not in keep:
                self.suspects[uuid] = self.jobs.pop(uuid)

    def _apply(self, batch: list[Job], changes: list[Change]) -> None:
        new = {job.uuid: job for job in batch}
        expected = {
            uuid: (self.jobs.get(uuid) or self.suspects.get(uuid) or self.gone.get(uuid), job)
            for uuid, job in new.items()
            if self.jobs.get(uuid) != job
        }
        assert {change[1].uuid: change for change in changes} == expected
        self.jobs |= new
        for uuid in new:
            self.suspects.pop(uuid, None)
            self.gone.pop(uuid, None)


class CrampedLedgerMachine(LedgerMachine):
    """The same where memory holds two jobs, a batch is two, and the table of places is full again and again."""

    def __init__(self) -> None:
        self.patches = [
            patch.object(exporter.ledger.jobs, "MOST_RECENT", 2),
            patch.object(exporter.ledger.jobs, "BATCH", 2),
            patch.object(exporter.ledger.suspects, "BATCH", 2),
            patch.object(exporter.ledger.row_hints, "_SMALLEST", 4),
        ]
        for each in self.patches:
            each.start()
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        for each in self.patches:
            each.stop()


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=35, stateful_step_count=12)
TestCrampedLedger = CrampedLedgerMachine.TestCase
TestCrampedLedger.settings = settings(max_examples=35, stateful_step_count=12)
