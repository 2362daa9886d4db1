"""The door of the ledger: what is wanted, what is counted, what an audit has found."""

from collections.abc import Callable
from typing import Any

import pytest

from exporter.errors import SyncError
from exporter.ledger.counters import CounterKey
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import OUT_OF_WINDOW, Job, hidden
from exporter.snapshot import RECENT_SECONDS
from exporter.sync.intake import (
    LATE_SECONDS,
    PATIENCE_SECONDS,
    Intake,
    StaleRecords,
    older,
)
from tests.unit.ledger.made import AT, job, run_of, tallied

Take = Callable[..., None]


@pytest.fixture
def ledger() -> Ledger:
    return open_ledger(None, "whose")


def take(ledger: Ledger, jobs: list[Job], *, audit: bool = False, **how: object) -> Intake:
    """One sync takes these jobs in."""
    settings: dict[str, object] = {"began_at": AT - 1000.0, "now_at": AT + 100.0}
    intake = Intake(ledger, **(settings | how))  # type: ignore[arg-type]
    with ledger.transaction():
        intake.take(jobs, audit=audit)
    return intake


class TestCounting:
    def test_a_job_that_comes_twice_is_counted_once(self, ledger: Ledger) -> None:
        for _ in range(3):
            take(
                ledger,
                [
                    job(1),
                    job(2, "running", started_at=AT + 5),
                    job(2, "running", started_at=AT + 5),
                ],
            )
        assert {key: tally.times for key, tally in tallied(ledger).items()} == {
            CounterKey("submitted", "q", ""): 2,
            CounterKey("started", "q", ""): 1,
            CounterKey("waits", "q", ""): 1,
        }

    def test_what_was_undone_is_not_counted(self, ledger: Ledger) -> None:
        intake = Intake(ledger, AT - 1000.0, AT + 100.0)
        with pytest.raises(ValueError, match="stop"), ledger.transaction():  # noqa: PT012
            intake.take([job(1)])
            raise ValueError("stop")
        assert not tallied(ledger)
        take(ledger, [job(1)])
        assert tallied(ledger)[CounterKey("submitted", "q", "")].times == 1

    def test_before_the_ledger_has_begun_nothing_is(self, ledger: Ledger) -> None:
        take(ledger, [job(1), job(2, "finished", started_at=AT)], began_at=float("inf"))
        assert not tallied(ledger)
        assert ledger.size == 2

    def test_changes_are_told(self, ledger: Ledger) -> None:
        assert take(ledger, run_of(5)).changes == 5
        assert take(ledger, run_of(7)).changes == 2
        assert take(ledger, run_of(7)).changes == 0


class TestActivity:
    @pytest.mark.parametrize(
        ("ago", "noted"), [(0, True), (RECENT_SECONDS, True), (RECENT_SECONDS + 1, False)]
    )
    def test_who_ended_a_job_lately_was_active(
        self, ledger: Ledger, ago: float, noted: bool
    ) -> None:
        now_at = AT + 100.0
        ended = job(1, "finished", queue="a", user="b", modified_at=int(now_at - ago))
        take(ledger, [ended], now_at=now_at)
        assert dict(ledger.activity()) == ({("a", "b"): now_at - ago} if noted else {})

    def test_active_jobs_speak_for_themselves(self, ledger: Ledger) -> None:
        take(ledger, [job(1), job(2, "running")])
        assert not ledger.activity()


class TestWindow:
    """Ended jobs from before a moment are known, and neither shown nor counted."""

    FROM_AT = AT - 50.0

    def shown(self, ledger: Ledger, *jobs: Job) -> set[str]:
        take(ledger, list(jobs), window_from_at=self.FROM_AT)
        known = ledger.known([each.uuid for each in jobs])
        assert len(known) == len(jobs)
        return {uuid for uuid, each in known.items() if not hidden(each.status)}

    def test_ended_jobs_from_before_are_not_shown(self, ledger: Ledger) -> None:
        old, edge, new = (
            job(n, "finished", modified_at=AT - ago) for n, ago in ((1, 51), (2, 50), (3, 0))
        )
        assert self.shown(ledger, old, edge, new) == {edge.uuid, new.uuid}

    def test_active_jobs_are_however_old(self, ledger: Ledger) -> None:
        old = [
            job(n, status, modified_at=AT - 9999)
            for n, status in enumerate(("pending", "running", "held"))
        ]
        assert self.shown(ledger, *old) == {each.uuid for each in old}

    def test_an_ended_job_without_a_time_is_not_shown(self, ledger: Ledger) -> None:
        assert self.shown(ledger, job(1, "finished", modified_at=None)) == set()

    def test_the_end_of_a_job_that_was_seen_to_run_is_counted_however_late_it_is_seen(
        self, ledger: Ledger
    ) -> None:
        """The program was away for longer than ended jobs are shown."""
        ran = job(1, "running", submitted_at=AT - 900, started_at=AT - 800, modified_at=AT - 800)
        self.shown(ledger, ran)
        assert not self.shown(ledger, ran._replace(status="finished", modified_at=AT - 90))
        assert tallied(ledger)[CounterKey("ended", "q", "finished")].times == 1

    def test_what_ages_is_not_counted_and_back_again_it_is_no_new_job(self, ledger: Ledger) -> None:
        ended = job(1, "finished", submitted_at=AT - 90, started_at=AT - 90, modified_at=AT)
        take(ledger, [ended])
        before = {key: tally.times for key, tally in tallied(ledger).items()}
        with ledger.transaction():
            Intake(ledger, 0.0, 0.0, window_from_at=AT + 1.0).hide_out_of_window()
        assert ledger.count_status("finished") == 0
        assert {key: tally.times for key, tally in tallied(ledger).items()} == before
        take(ledger, [ended._replace(status="pending", modified_at=AT + 9)])
        assert {key: tally.times for key, tally in tallied(ledger).items()} == before


class TestOlderRecords:
    """Time does not run backwards: an older record is an answer from the past, until it has stood."""

    RUNNING = job(1, "running", started_at=AT + 5, modified_at=AT + 5)
    ENDED = job(1, "finished", started_at=AT + 5, modified_at=AT + 60)

    @pytest.mark.parametrize(
        ("old", "new", "is_older"),
        [
            (RUNNING, ENDED, False),
            (ENDED, RUNNING, True),
            (RUNNING, job(1), True),
            # Of the same second: by the life of a job.
            (job(1), job(1, "running"), False),
            (job(1, "running"), job(1), True),
            (job(1, "running"), job(1, "suspended"), False),
            (job(1, "suspended"), job(1, "running"), False),
            (job(1, "finished"), job(1, "running"), True),
            (job(1, "finished"), job(1, "exited"), False),
            (job(1, "finished"), job(1), True),
            (job(1, OUT_OF_WINDOW), job(1, "running"), True),
            # A requeue that is stamped.
            (job(1, "finished"), job(1, modified_at=AT + 1), False),
            # Where a moment is missing, nothing is older.
            (job(1, "finished", modified_at=None), job(1), False),
            (job(1, "finished"), job(1, modified_at=None), False),
            # A job that was set aside may be as it was, and no other than before that.
            (job(1, ""), job(1), False),
            (job(1, ""), job(1, modified_at=AT - 9), True),
        ],
    )
    def test_table(self, old: Job, new: Job, is_older: bool) -> None:
        assert older(old, new) is is_older

    def test_it_changes_and_counts_nothing(self, ledger: Ledger) -> None:
        """However long answers of two ages take turns: it does not stand if it is contradicted."""
        take(ledger, [self.ENDED])
        before = {key: tally.times for key, tally in tallied(ledger).items()}
        stale_records = StaleRecords()
        for seconds in range(0, 400, 5):
            for record in (self.RUNNING, self.ENDED):
                intake = take(
                    ledger, [record], stale_records=stale_records, now_at=AT + 100.0 + seconds
                )
                assert intake.changes == 0
        assert ledger.known([self.ENDED.uuid]) == {self.ENDED.uuid: self.ENDED}
        assert {key: tally.times for key, tally in tallied(ledger).items()} == before

    def test_it_tells_how_far_the_answers_are_behind(self, ledger: Ledger) -> None:
        take(ledger, [self.ENDED])
        assert take(ledger, [self.RUNNING], now_at=AT + 80.0).stale_seconds == 20.0

    @pytest.mark.parametrize(
        ("stamped_at", "stale_seconds"),
        [
            (AT + 1, 0.0),
            (AT - LATE_SECONDS, 0.0),
            (AT - 11, 11.0),
            (AT - 300, 300.0),
            (AT - 301, 0.0),
        ],
    )
    def test_and_how_late_changes_are_stamped(
        self, ledger: Ledger, stamped_at: int, stale_seconds: float
    ) -> None:
        """If later ones were known before; a job of long ago was not stamped late, but left out."""
        known: Any = {"known_up_to_at": AT - LATE_SECONDS, "was_complete": True}
        late = [job(2, modified_at=stamped_at)]
        assert take(ledger, late, **known, by_change=True).stale_seconds == stale_seconds
        take(ledger, [job(3, modified_at=AT - 30)])
        still = [job(3, "running", modified_at=AT - 30)]
        assert take(ledger, still, **known, by_change=True).stale_seconds == 0.0
        assert take(ledger, [job(4, modified_at=AT - 30)], **known).stale_seconds == 0.0

    @pytest.mark.parametrize("patience_seconds", [PATIENCE_SECONDS, 60.0])
    def test_one_that_stands_is_believed(self, ledger: Ledger, patience_seconds: float) -> None:
        """As of a job that was queued again without a stamp."""
        take(ledger, [self.ENDED])
        again, stale_records = self.RUNNING._replace(status="pending"), StaleRecords()
        for seconds, changes in ((0.0, 0), (patience_seconds - 1, 0), (patience_seconds, 1)):
            now_at = AT + 100.0 + seconds
            intake = take(
                ledger,
                [again],
                stale_records=stale_records,
                now_at=now_at,
                patience_seconds=patience_seconds,
            )
            assert intake.changes == changes
        assert ledger.known([again.uuid]) == {again.uuid: again}
        assert not stale_records.since

    def test_also_one_that_lies_outside_the_wanted_history(self, ledger: Ledger) -> None:
        """As of a job that was queued again in a database that was restored since then."""
        take(ledger, [self.RUNNING])
        stale_records, ended = StaleRecords(), self.ENDED._replace(modified_at=AT - 9000)
        for seconds in (0.0, PATIENCE_SECONDS):
            how: Any = {"window_from_at": AT - 5000.0, "now_at": AT + 100.0 + seconds}
            assert take(ledger, [ended], stale_records=stale_records, **how).changes == bool(
                seconds
            )

    def test_one_that_differs_from_the_last_begins_to_stand_anew(self, ledger: Ledger) -> None:
        take(ledger, [self.ENDED])
        stale_records = StaleRecords()
        for seconds, record in ((0, self.RUNNING), (50, job(1)), (135, job(1)), (140, job(1))):
            intake = take(
                ledger, [record], stale_records=stale_records, now_at=AT + 100.0 + seconds
            )
            assert intake.changes == (1 if seconds == 140 else 0)

    def test_what_a_replica_shows_that_is_a_minute_behind_does_not_stand(
        self, ledger: Ledger
    ) -> None:
        """Once at the end of a sync of 20 s, and once at the begin of the next."""
        take(ledger, [self.ENDED])
        stale_records = StaleRecords()
        for seconds in (0.0, 80.0):
            intake = take(
                ledger, [self.RUNNING], stale_records=stale_records, now_at=AT + 100.0 + seconds
            )
            assert intake.changes == 0

    def test_a_newer_one_in_between_ends_the_doubt(self, ledger: Ledger) -> None:
        stale_records = StaleRecords()
        take(ledger, [self.ENDED])
        take(ledger, [self.RUNNING], stale_records=stale_records, now_at=AT + 100.0)
        take(ledger, [self.ENDED._replace(modified_at=AT + 70)], stale_records=stale_records)
        assert not stale_records.since

    def test_that_of_a_job_that_seems_to_be_gone_stands_too(self, ledger: Ledger) -> None:
        """Each sync takes it for gone again: it is not where its newer record says."""
        take(ledger, [self.ENDED])
        stale_records = StaleRecords()
        for seconds in (0.0, 45.0, PATIENCE_SECONDS):
            now_at = AT + 100.0 + seconds
            took = take(ledger, [self.RUNNING], stale_records=stale_records, now_at=now_at)
            believed = seconds == PATIENCE_SECONDS
            assert ledger.known([self.ENDED.uuid]) == {
                self.ENDED.uuid: self.RUNNING if believed else self.ENDED
            }
            assert took.changes == believed
            if not believed:
                ledger.suspect([self.ENDED.uuid])
                ledger.forget_suspects(now_at)
        assert not stale_records.since

    def test_that_of_an_unknown_job_is_forgotten_once_the_whole_list_was_read(
        self, ledger: Ledger
    ) -> None:
        take(ledger, [self.ENDED])
        stale_records = StaleRecords()
        take(ledger, [self.RUNNING], stale_records=stale_records, now_at=AT + 100.0)
        stale_records.drop_unknown(ledger)
        assert stale_records.since
        ledger.suspect([self.ENDED.uuid])
        stale_records.drop_unknown(ledger)
        assert not stale_records.since

    def test_a_server_whose_clock_is_a_little_behind_does_not_make_one_stand(
        self, ledger: Ledger
    ) -> None:
        take(ledger, [self.ENDED])
        stale_records = StaleRecords()
        for now_at in (AT + 100.0, AT + 97.0):
            intake = take(ledger, [self.RUNNING], stale_records=stale_records, now_at=now_at)
            assert intake.changes == 0

    def test_a_clock_that_was_set_back_makes_none_stand_for_ever(self, ledger: Ledger) -> None:
        stale_records = StaleRecords()
        take(ledger, [self.ENDED])
        take(ledger, [self.RUNNING], stale_records=stale_records, now_at=AT + 9e6)
        assert (
            take(ledger, [self.RUNNING], stale_records=stale_records, now_at=AT + 100.0).changes
            == 1
        )

    def test_those_that_have_stood_are_worth_a_look(self) -> None:
        stale_records = StaleRecords()
        for n, now_at in ((1, AT), (2, AT + 30)):
            assert not stale_records.is_confirmed(job(n), now_at, 45.0)
        assert stale_records.due(AT + 44, 45.0) == []
        assert stale_records.due(AT + 45, 45.0) == [job(1)]
        assert stale_records.due(AT + 75, 45.0) == [job(1), job(2)]

    def test_a_list_that_has_gone_back_goes_on_from_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So some of the many are always younger than the patience."""
        monkeypatch.setattr("exporter.sync.intake.MOST_STALE_RECORDS", 10)
        stale_records = StaleRecords()
        for n in range(10):
            assert not stale_records.is_confirmed(job(n), AT if n < 6 else AT + 60, 45.0)
        with pytest.raises(SyncError):
            stale_records.is_confirmed(job(10), AT + 60, 45.0)
        assert not stale_records.show_that_list_went_back(AT + 44, 45.0)
        assert stale_records.show_that_list_went_back(AT + 60, 45.0)


class TestAudit:
    NEWEST_AT = AT

    def corrections(self, ledger: Ledger, *jobs: Job, **how: object) -> dict[str, int]:
        settings: dict[str, object] = {
            "was_complete": True,
            "known_up_to_at": self.NEWEST_AT - LATE_SECONDS,
            "audit": True,
        }
        return take(ledger, list(jobs), **(settings | how)).corrections  # type: ignore[arg-type]

    def test_what_a_delta_ought_to_have_brought_is_a_correction(self, ledger: Ledger) -> None:
        take(ledger, [job(1, modified_at=AT - 100)])
        found = self.corrections(
            ledger,
            job(1, "running", modified_at=AT - 100),
            job(2, modified_at=AT - LATE_SECONDS - 1),
        )
        assert found == {"changed": 1, "missing": 1}

    def test_what_changed_just_now_is_none(self, ledger: Ledger) -> None:
        take(ledger, [job(1, modified_at=AT - 100)])
        assert not self.corrections(
            ledger, job(1, "running", modified_at=AT + 1), job(2, modified_at=AT - LATE_SECONDS)
        )

    def test_what_is_as_it_was_known_is_none(self, ledger: Ledger) -> None:
        take(ledger, run_of(5))
        assert not self.corrections(ledger, *run_of(5))

    def test_what_was_known_to_have_changed_is_none(self, ledger: Ledger) -> None:
        take(ledger, [job(1, "", modified_at=AT - 100)])
        assert not self.corrections(ledger, job(1, "finished", modified_at=AT - 50))

    @pytest.mark.parametrize(
        "how", [{"audit": False}, {"was_complete": False}, {"known_up_to_at": None}]
    )
    def test_none_can_be_told_before_all_is_known(
        self, ledger: Ledger, how: dict[str, object]
    ) -> None:
        assert not self.corrections(ledger, job(1, modified_at=AT - 100), **how)

    def test_nothing_put_right_is_no_correction(self, ledger: Ledger) -> None:
        intake = Intake(ledger, 0.0, 0.0)
        intake.correct("deleted", 0)
        intake.correct("deleted", 2)
        intake.correct("deleted", 3)
        assert intake.corrections == {"deleted": 5}


def test_a_scan_in_the_background_has_met_what_a_sync_sees(ledger: Ledger) -> None:
    with ledger.transaction():
        marks = ledger.marks()
    take(
        ledger,
        [*run_of(3), job(9, "finished", modified_at=1)],
        also_mark=marks,
        window_from_at=100.0,
    )
    assert marks.count == 4
    assert ledger.drop_unmarked(marks) == 0
    assert not marks.has(job(2).uuid), "that does not tell where the scan has got to"
    marks.add([job(2).uuid, job(8).uuid])
    assert marks.count == 5
    assert marks.has(job(2).uuid)
