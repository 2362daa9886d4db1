"""The door of the ledger: what is wanted, what is counted, what an audit has found."""

from collections.abc import Callable

import pytest

from exporter.ledger.records import TallyKey
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import Job
from exporter.sync.evidence import LATE_SECONDS
from exporter.sync.intake import RECENT_SECONDS, Intake
from tests.unit.ledger.made import AT, job, run_of

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
        assert {key: tally.count for key, tally in ledger.tallies().items()} == {
            TallyKey("submitted", "q", ""): 2,
            TallyKey("started", "q", ""): 1,
            TallyKey("wait", "q", ""): 1,
        }

    def test_what_was_undone_is_not_counted(self, ledger: Ledger) -> None:
        intake = Intake(ledger, AT - 1000.0, AT + 100.0)
        with pytest.raises(ValueError, match="stop"), ledger.transaction():  # noqa: PT012
            intake.take([job(1)])
            raise ValueError("stop")
        assert not ledger.tallies()
        take(ledger, [job(1)])
        assert ledger.tallies()[TallyKey("submitted", "q", "")].count == 1

    def test_before_the_ledger_has_begun_nothing_is(self, ledger: Ledger) -> None:
        take(ledger, [job(1), job(2, "finished", started_at=AT)], began_at=float("inf"))
        assert not ledger.tallies()
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
    FROM_AT = AT - 50.0

    def taken(self, ledger: Ledger, *jobs: Job) -> set[str]:
        take(ledger, list(jobs), window_from_at=self.FROM_AT)
        return {found.uuid for found in jobs if ledger.known([found.uuid])}

    def test_ended_jobs_from_before_are_not_wanted(self, ledger: Ledger) -> None:
        old, edge, new = (
            job(n, "finished", modified_at=AT - ago) for n, ago in ((1, 51), (2, 50), (3, 0))
        )
        assert self.taken(ledger, old, edge, new) == {edge.uuid, new.uuid}

    def test_active_jobs_are_however_old(self, ledger: Ledger) -> None:
        old = [
            job(n, status, modified_at=AT - 9999)
            for n, status in enumerate(("pending", "running", "held"))
        ]
        assert self.taken(ledger, *old) == {found.uuid for found in old}

    def test_a_job_that_is_known_is_followed_to_its_end(self, ledger: Ledger) -> None:
        self.taken(ledger, job(1, "running", started_at=AT - 5000, modified_at=AT - 5000))
        still = job(1, "finished", started_at=AT - 5000, modified_at=AT - 5000)
        take(ledger, [still], window_from_at=self.FROM_AT)
        assert ledger.known([still.uuid]) == {still.uuid: still}

    def test_an_ended_job_without_a_time_is_not_wanted(self, ledger: Ledger) -> None:
        assert self.taken(ledger, job(1, "finished", modified_at=None)) == set()


class TestAudit:
    NEWEST_AT = AT

    def corrections(self, ledger: Ledger, *jobs: Job, **how: object) -> dict[str, int]:
        settings: dict[str, object] = {
            "settled": True,
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
        "how", [{"audit": False}, {"settled": False}, {"known_up_to_at": None}]
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
