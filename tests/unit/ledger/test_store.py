"""One ledger: what it takes in, takes back, and still knows when it is opened again."""

import gc
import os
import resource
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.errors import LedgerUnreadable, LedgerUnwritable
from exporter.ledger.connection import connect
from exporter.ledger.counters import ACCOUNTS, CounterKey
from exporter.ledger.jobs import MOST_RECENT, CacheLimit
from exporter.ledger.published import NOTHING
from exporter.ledger.records import JobTotals
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import Job
from tests.unit.ledger.made import (
    AT,
    SUBMITTED,
    WHOSE,
    in_child,
    job,
    run_of,
    tallied,
    write_some_of_everything,
)

INFINITE = float("inf")


def state_of(ledger: Ledger) -> dict[str, object]:
    """Everything that can be asked of a ledger."""
    jobs = sorted(found for status in statuses_of(ledger) for found in ledger.in_status(status))
    return {
        "jobs": jobs,
        "size": ledger.size,
        "totals": ledger.totals(),
        "oldest": ledger.oldest_pending(),
        "counters": {
            (account, *key): tuple(amount)
            for account in ACCOUNTS
            for key, amount in ledger.counters[account].items()
        },
        "activity": dict(ledger.activity()),
        "shown": {label: ledger.shown(label) for label in ("queue", "user")},
        "progress": ledger.progress,
        "suspects": ledger.suspects,
    }


def statuses_of(ledger: Ledger) -> set[str]:
    return {status for status, _, _ in ledger.totals()}


def change_everything(ledger: Ledger) -> None:
    """What the transactions of ``write_some_of_everything`` wrote, changed in every way."""
    ledger.apply(
        [job(1, "finished", modified_at=AT + 9), job(3, "suspended", queue="new", user="w")]
    )
    ledger.suspect([job(2).uuid])
    ledger.tally(SUBMITTED)
    ledger.tally(CounterKey("ended", "new", "finished"), seconds=3, bucket=12)
    ledger.note_activity("q", "u", AT + 100.0)
    ledger.note_activity("new", "w", AT + 100.0)
    ledger.forget_activity(AT + 50.0)
    ledger.remember_shown("queue", frozenset({"new"}))
    ledger.progress = msgspec.structs.replace(ledger.progress, newest_at=AT + 9, known="active")


def test_the_log_beside_a_ledger_stays_small(tmp_path: Path) -> None:
    """Of three hundred, 16 MB each filled a disk that had room for their jobs many times."""
    path = tmp_path / "x.ledger"
    ledger = open_ledger(path, WHOSE)
    for turn in range(60):
        with ledger.transaction():
            ledger.apply([job(number, modified_at=AT + turn) for number in range(1000)])
    assert path.with_name("x.ledger-wal").stat().st_size < 2e6
    ledger.close()


class TestApply:
    def test_new_jobs_are_changes_from_nothing(self, ledger: Ledger) -> None:
        with ledger.transaction():
            changes = ledger.apply([job(1), job(2, "running", cores=8)])
        assert changes == [(None, job(1)), (None, job(2, "running", cores=8))]
        assert ledger.size == 2
        assert ledger.totals() == {
            ("pending", "q", "u"): JobTotals(1, 1),
            ("running", "q", "u"): JobTotals(1, 8),
        }

    def test_what_is_as_it_was_is_no_change(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply(run_of(100))
        with ledger.transaction():
            assert ledger.apply(run_of(100)) == []
        assert ledger.size == 100

    @pytest.mark.parametrize(
        "changed",
        [
            {"status": "running"},
            {"queue": "other"},
            {"user": "other"},
            {"cores": 2},
            {"submitted_at": AT + 1},
            {"submitted_at": None},
            {"started_at": AT + 1},
            {"modified_at": AT + 1},
            {"modified_at": None},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_every_field_counts_as_a_change(self, ledger: Ledger, changed: dict[str, Any]) -> None:
        new = job(1)._replace(**changed)
        with ledger.transaction():
            ledger.apply([job(1), job(2)])
        with ledger.transaction():
            assert ledger.apply([new, job(2)]) == [(job(1), new)]
        assert ledger.known([new.uuid]) == {new.uuid: new}
        assert sum(totals.cores for totals in ledger.totals().values()) == new.cores + 1

    def test_one_job_twice_in_a_batch_counts_once_as_it_came_last(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply([job(1), job(1, "running")])
        assert ledger.totals() == {("running", "q", "u"): JobTotals(1, 1)}

    def test_a_record_that_is_not_accepted_changes_nothing(self, ledger: Ledger) -> None:
        asked: list[tuple[Job, Job]] = []

        def accept(old: Job, new: Job) -> bool:
            asked.append((old, new))
            return new.uuid != job(1).uuid

        with ledger.transaction():
            ledger.apply(run_of(4))
            records = [job(1), job(2), *run_of(1), job(9)]
            changes = ledger.apply(records, accept)
        assert asked == [(run_of(4)[1], job(1)), (run_of(4)[2], job(2))]
        assert changes == [(run_of(4)[2], job(2)), (None, job(9))]
        assert ledger.known([job(1).uuid]) == {job(1).uuid: run_of(4)[1]}
        assert ledger.count_status("finished") == 3

    def test_empty_groups_leave_the_totals(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply([job(1)])
            ledger.apply([job(1, "finished")])
        assert ledger.totals() == {("finished", "q", "u"): JobTotals(1, 1)}
        assert ledger.active_statuses() == frozenset()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "\n",
            "'; DROP TABLE jobs; --",
            'q"uo\\te',
            "默认队列",
            "🚀\u202e",
            "x\0y",
            "%s{}",
        ],
    )
    def test_any_text_is_a_name(self, path: Path, text: str) -> None:
        hostile = job(1, text or "s", queue=text, user=text)
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            ledger.apply([hostile])
        ledger.close()
        ledger = open_ledger(path, WHOSE)
        assert ledger.known([hostile.uuid]) == {hostile.uuid: hostile}
        assert ledger.totals() == {(hostile.status, text, text): JobTotals(1, 1)}
        ledger.close()

    @pytest.mark.parametrize(
        "uuid",
        [
            "'quoted\"",
            "back\\slash",
            "默认",
            "123",
            "null",
            "[1]",
            "nul\0byte",
        ],
    )
    def test_any_text_is_an_identity(self, ledger: Ledger, uuid: str) -> None:
        with ledger.transaction():
            ledger.apply([job(uuid)])
            assert ledger.apply([job(uuid)]) == []
        assert ledger.size == 1
        with ledger.transaction():
            ledger.suspect([uuid])
            assert (ledger.size, ledger.suspects) == (0, 1)

    @pytest.mark.parametrize("gone", [False, True])
    def test_one_that_comes_back_with_a_record_that_is_not_accepted_is_as_it_was(
        self, ledger: Ledger, gone: bool
    ) -> None:
        with ledger.transaction():
            ledger.apply([job(1, "running"), job(2)])
            ledger.suspect([job(1).uuid])
            if gone:
                ledger.forget_suspects(AT)
            assert ledger.apply([job(1)], lambda old, new: False) == []
        assert ledger.known([job(1).uuid]) == {job(1).uuid: job(1, "running")}
        assert (ledger.size, ledger.suspects, ledger.count_status("running")) == (2, 0, 1)

    def test_one_that_was_suspected_when_the_process_ended_is_not_new(self, path: Path) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            ledger.apply([job(1, "running")])
            ledger.suspect([job(1).uuid])
        ledger.close()
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            assert ledger.apply([job(1)]) == [(job(1, "running"), job(1))]
        ledger.close()

    def test_more_than_memory_holds_are_found_and_changed(self, ledger: Ledger) -> None:
        many = MOST_RECENT + 2000
        with ledger.transaction():
            assert len(ledger.apply(run_of(many, "running"))) == many
        for status in ("running", "finished"):
            for first in range(0, many, 1000):
                with ledger.transaction():
                    changes = ledger.apply(run_of(1000, status, first=first))
                assert len(changes) == (0 if status == "running" else 1000)
        assert ledger.totals() == {("finished", "q", "u"): JobTotals(many, many)}

    def test_jobs_that_came_back_after_an_undone_growth_are_known(self, ledger: Ledger) -> None:
        """Where jobs are was noted anew while these were gone."""
        with ledger.transaction():
            ledger.apply(run_of(500))
        with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
            ledger.suspect([each.uuid for each in run_of(500)])
            ledger.apply(run_of(1000, first=500))
            raise KeyError
        with ledger.transaction():
            assert ledger.apply(run_of(500)) == []
        assert ledger.size == 500

    def test_oldest_pending_is_by_queue_and_only_of_pending_jobs(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply(
                [
                    job(1, submitted_at=AT + 5),
                    job(2, submitted_at=AT + 3),
                    job(3, submitted_at=None),
                    job(4, "running", submitted_at=AT),
                    job(5, queue="b", submitted_at=AT + 9),
                    job(6, queue="c", submitted_at=None),
                ]
            )
        assert ledger.oldest_pending() == {"q": AT + 3, "b": AT + 9}

    def test_count_between_includes_its_bounds(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply([*run_of(10), job(99, modified_at=None)])
        assert ledger.count_between(AT + 7, AT + 3) == 5
        assert ledger.count_between(INFINITE, AT + 9) == 1
        assert ledger.count_between(AT, -INFINITE) == 2
        assert ledger.count_between(INFINITE, -INFINITE) == 11
        assert ledger.count_between(AT + 2, AT + 3) == 0
        assert ledger.count_between(INFINITE, AT + 8, by="submitted_at") == 2


class TestSuspects:
    def test_they_are_not_counted_until_restored(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply(run_of(10))
            assert ledger.suspect_between(INFINITE, AT + 4, keep=[job(7).uuid]) == 5
            assert (ledger.size, ledger.suspects) == (5, 5)
            assert ledger.restore_suspects() == 5
            assert (ledger.size, ledger.suspects) == (10, 0)
            assert ledger.restore_suspects() == 0
        assert ledger.totals() == {("finished", "q", "u"): JobTotals(10, 10)}

    def test_forgotten_ones_are_gone_for_good(self, path: Path) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            ledger.apply(run_of(10))
            ledger.suspect([job(3).uuid, job(4).uuid, "unheard of"])
            assert ledger.forget_suspects(1e12) == 2
            assert ledger.forget_suspects(1e12) == 0
            assert ledger.restore_suspects() == 0
        ledger.close()
        ledger = open_ledger(path, WHOSE)
        assert ledger.size == 8
        assert not ledger.known([job(3).uuid])
        ledger.close()

    def test_one_that_is_seen_again_is_no_new_job(self, ledger: Ledger) -> None:
        """A job that moved while a search went on must not count as submitted once more."""
        moved = job(3, "exited", submitted_at=AT + 3, started_at=AT + 3, modified_at=AT + 50)
        with ledger.transaction():
            ledger.apply(run_of(10))
            ledger.suspect([job(3).uuid, job(4).uuid])
            assert ledger.apply([moved]) == [(run_of(1, first=3)[0], moved)]
            assert ledger.suspects == 1
            assert ledger.forget_suspects(1e12) == 1
        assert ledger.size == 9

    def test_one_that_is_seen_again_unchanged_keeps_its_past(self, ledger: Ledger) -> None:
        same = run_of(1, first=3)
        with ledger.transaction():
            ledger.apply(run_of(10))
            ledger.suspect([same[0].uuid])
            assert all(old is not None for old, _ in ledger.apply(same))
        assert (ledger.size, ledger.suspects) == (10, 0)

    def test_suspecting_twice_counts_once(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply(run_of(3))
            ledger.suspect([job(1).uuid])
            ledger.suspect([job(1).uuid])
            assert (ledger.size, ledger.suspects) == (2, 1)

    def test_what_a_walk_did_not_meet_is_suspected(self, ledger: Ledger) -> None:
        with ledger.transaction():
            ledger.apply(run_of(5))
            marks = ledger.marks()
            marks.add([job(1).uuid, job(2).uuid, job(2).uuid, "elsewhere"])
            assert marks.count == 3
            assert marks.has(job(1).uuid)
            assert not marks.has(job(0).uuid)
            assert ledger.drop_unmarked(marks) == 3
            marks.drop()
            marks.drop()
        assert ledger.size == 2


class TestTransaction:
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, sqlite3.DatabaseError])
    def test_an_error_undoes_all_that_it_wrote(
        self, ledger: Ledger, path: Path, error: type[BaseException]
    ) -> None:
        with ledger.transaction():
            write_some_of_everything(ledger)
        before = state_of(ledger)
        with pytest.raises((error, LedgerUnreadable)), ledger.transaction():  # noqa: PT012
            change_everything(ledger)
            assert state_of(ledger) != before
            raise error
        assert state_of(ledger) == before
        ledger.close()
        again = open_ledger(path, WHOSE)
        assert state_of(again) == before
        again.close()

    def test_what_was_undone_can_be_done_again(self, ledger: Ledger, path: Path) -> None:
        with ledger.transaction():
            write_some_of_everything(ledger)
        with pytest.raises(ValueError, match="stop"), ledger.transaction():  # noqa: PT012
            change_everything(ledger)
            raise ValueError("stop")
        with ledger.transaction():
            change_everything(ledger)
            ledger.forget_suspects(1e12)
        after = state_of(ledger)
        assert after["size"] == 2
        ledger.close()
        again = open_ledger(path, WHOSE)
        assert state_of(again) == after
        again.close()

    def test_marks_count_what_they_hold_after_an_undone_transaction(self, ledger: Ledger) -> None:
        """A long walk's marks outlive the transaction of a sync that fails."""
        with ledger.transaction():
            marks = ledger.marks()
            marks.add(["a", "b"])
        with pytest.raises(ValueError, match="stop"), ledger.transaction():  # noqa: PT012
            marks.add(["b", "c", "d"])
            raise ValueError("stop")
        assert not marks.has("c")
        assert marks.count == 2

    def test_a_ledger_that_begins_anew_empties_its_marks(self, ledger: Ledger) -> None:
        """Else a scan that is under way takes jobs for seen that are no longer known."""
        with ledger.transaction():
            ledger.apply(run_of(3))
            marks = ledger.marks()
            marks.add([job(1).uuid])
            ledger.clear()
            ledger.apply(run_of(2))
            assert (marks.count, marks.has(job(1).uuid)) == (0, False)
            assert ledger.drop_unmarked(marks) == 2

    def test_reopened_it_is_equal(self, path: Path) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            write_some_of_everything(ledger)
        before = state_of(ledger)
        ledger.close()
        again = open_ledger(path, WHOSE)
        assert state_of(again) == before
        again.close()

    @pytest.mark.parametrize("path_of_copy", [None, "copy.ledger"])
    def test_a_copy_is_equal_and_independent(
        self, ledger: Ledger, tmp_path: Path, path_of_copy: str | None
    ) -> None:
        with ledger.transaction():
            write_some_of_everything(ledger)
        copy = ledger.copied_to(tmp_path / path_of_copy if path_of_copy else None)
        before = state_of(ledger)
        assert state_of(copy) == before
        assert copy.in_memory is (path_of_copy is None)
        with copy.transaction():
            change_everything(copy)
        assert state_of(ledger) == before
        copy.close()

    def test_there_and_back_again(self, ledger: Ledger, path: Path) -> None:
        """Kept in memory for want of a disk, and then back over what stands in the file."""
        with ledger.transaction():
            write_some_of_everything(ledger)
        in_memory = ledger.copied_to(None)
        ledger.close()
        with in_memory.transaction():
            change_everything(in_memory)
            in_memory.forget_suspects(1e12)
        expected = state_of(in_memory)
        on_disk = in_memory.copied_to(path)
        in_memory.close()
        on_disk.close()
        again = open_ledger(path, WHOSE)
        assert state_of(again) == expected
        again.close()


def test_one_that_is_forgotten_closes_its_file(path: Path) -> None:
    open_ledger(path, WHOSE).close()
    connection = connect(path)
    forgotten = Ledger(connection, path, NOTHING, CacheLimit())
    forgotten.begin()
    del forgotten
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


class TestKilled:
    @pytest.mark.parametrize("times", [0, 1, 30])
    def test_in_mid_transaction_it_is_as_before(self, path: Path, times: int) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            write_some_of_everything(ledger)
        before = state_of(ledger)
        ledger.close()

        def die() -> None:
            dying = open_ledger(path, WHOSE)
            for number in range(times):  # so much that SQLite spills its cache to the disk
                dying.begin()
                change_everything(dying)
                dying.apply(run_of(2000, first=2000 * number))
                dying.rollback()
            dying.begin()
            change_everything(dying)
            dying.apply(run_of(2000))
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_child(die) == -signal.SIGKILL
        again = open_ledger(path, WHOSE)
        assert state_of(again) == before
        again.close()

    def test_after_a_commit_it_is_as_committed(self, path: Path) -> None:
        def die() -> None:
            dying = open_ledger(path, WHOSE)
            with dying.transaction():
                write_some_of_everything(dying)
            os._exit(7)

        assert in_child(die) == 7
        again = open_ledger(path, WHOSE)
        assert again.size == 2
        assert tallied(again)[SUBMITTED].times == 1
        assert again.progress.complete
        again.close()

    def test_suspects_of_a_killed_process_are_jobs_again(self, path: Path) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            ledger.apply(run_of(10))
        ledger.close()

        def die() -> None:
            dying = open_ledger(path, WHOSE)
            dying.begin()
            dying.suspect_between(INFINITE, -INFINITE, keep=[])
            os._exit(0)

        assert in_child(die) == 0
        again = open_ledger(path, WHOSE)
        assert again.size == 10
        again.close()


class TestFull:
    def test_the_transaction_is_undone_and_the_ledger_goes_on(self, ledger: Ledger) -> None:
        with ledger.transaction():
            write_some_of_everything(ledger)
        before = state_of(ledger)
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(LedgerUnwritable), ledger.transaction():  # noqa: PT012
            change_everything(ledger)
            ledger.apply(run_of(2000))
        assert state_of(ledger) == before
        copy = ledger.copied_to(None)
        assert state_of(copy) == before
        with copy.transaction():
            copy.apply(run_of(2000))
        copy.close()
        ledger._connection.execute("PRAGMA max_page_count = 100000")
        with ledger.transaction():
            ledger.apply(run_of(2000))
        assert ledger.size == 2002 - 2  # jobs 1 and 2 are among them

    def test_no_room_for_the_log_of_a_transaction(self, path: Path) -> None:
        """A limit of the operating system, as a full disk is one."""

        def write() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            ledger = open_ledger(path, WHOSE)
            with ledger.transaction():
                write_some_of_everything(ledger)
            before = state_of(ledger)
            wal = path.with_name(path.name + "-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size + 5000,) * 2)
            for _ in range(2):
                try:
                    with ledger.transaction():
                        change_everything(ledger)
                        ledger.apply(run_of(2000))
                except LedgerUnwritable:
                    pass
                else:
                    os._exit(1)
                if state_of(ledger) != before:
                    os._exit(2)
            copy = ledger.copied_to(None)
            os._exit(0 if state_of(copy) == before else 3)

        assert in_child(write) == 0
        again = open_ledger(path, WHOSE)
        assert again.size == 2
        again.close()

    def test_another_process_holds_the_file(self, ledger: Ledger, path: Path) -> None:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ledger._connection.execute("PRAGMA busy_timeout = 1")
        with pytest.raises(LedgerUnwritable), ledger.transaction():
            pass
        other.execute("ROLLBACK")
        other.close()
        with ledger.transaction():
            ledger.apply([job(1)])
        assert ledger.size == 1


class TestDamagedWhileOpen:
    @pytest.mark.parametrize("deed", ["apply", "suspect_between", "leave"])
    def test_it_is_said_to_be_unreadable(self, path: Path, deed: str) -> None:
        ledger = open_ledger(path, WHOSE)
        with ledger.transaction():
            write_some_of_everything(ledger)
            ledger.apply(run_of(3000, "running"))
        ledger.close()
        ledger = open_ledger(path, WHOSE)
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        ledger._connection.execute("PRAGMA shrink_memory")
        acts: dict[str, Callable[[], object]] = {
            "apply": lambda: ledger.apply(run_of(3000, "finished")),
            "suspect_between": lambda: ledger.suspect_between(INFINITE, -INFINITE, keep=[]),
            "set_aside": lambda: ledger.set_aside("running", lambda uuid: False),
        }
        with pytest.raises(LedgerUnreadable), ledger.transaction():
            acts[deed]()
        ledger.close()


def test_what_cannot_be_told_to_the_end_of_a_transaction_undoes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = open_ledger(None, WHOSE)

    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(ledger._shown, "changed", fail)
        with pytest.raises(LedgerUnreadable), ledger.transaction():
            ledger.apply([job(1)])
    with ledger.transaction():
        assert ledger.size == 0
