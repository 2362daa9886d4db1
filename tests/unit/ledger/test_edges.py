"""A ledger at its edges: plans of statements, memory, row numbers, damage met while it is open."""

import multiprocessing
import os
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

import exporter.ledger.jobs
import exporter.ledger.suspects
from exporter.errors import LedgerUnreadable, LedgerUnwritable
from exporter.ledger.directory import StateDirectory
from exporter.ledger.row_hints import MOST_ROW_NUMBER
from exporter.ledger.store import Ledger, open_ledger, read_ledger
from exporter.ledger.suspects import GONE_KEPT_SECONDS
from exporter.model import OUT_OF_WINDOW, ClusterIdentity
from tests.unit.ledger.made import AT, WHOSE, job, run_of
from tests.unit.manual_clock import ManualClock

INFINITE = float("inf")


# -- what every sync asks ----------------------------------------------------------------------

EVERY_SYNC: dict[str, Callable[[Ledger], object]] = {
    "known": lambda ledger: ledger.known([job(number).uuid for number in range(100)]),
    "apply": lambda ledger: ledger.apply(run_of(20, "running") + run_of(5, first=900)),
    "suspect_between": lambda ledger: ledger.suspect_between(INFINITE, AT + 200, keep=["x"]),
    "count_between": lambda ledger: ledger.count_between(INFINITE, AT + 200),
    "oldest_pending": lambda ledger: ledger.oldest_pending(),
    "active_jobs": lambda ledger: list(ledger.active_jobs()),
    "in_status": lambda ledger: ledger.in_status("running"),
    "age": lambda ledger: ledger.hide_before(AT + 5),
    "suspect": lambda ledger: ledger.suspect([job(7).uuid]),
    "totals": lambda ledger: ledger.totals(),
}


@pytest.mark.parametrize("name", EVERY_SYNC)
def test_no_statement_of_every_sync_reads_the_whole_table(ledger: Ledger, name: str) -> None:
    with ledger.transaction():
        ledger.apply([*run_of(300), *run_of(9, "running", first=300), job(999)])
    ledger._jobs._recent.clear()
    asked: list[str] = []
    ledger._connection.set_trace_callback(asked.append)
    with ledger.transaction():
        EVERY_SYNC[name](ledger)
    ledger._connection.set_trace_callback(None)
    for statement in asked:
        if statement.startswith(("BEGIN", "COMMIT", "--")):
            continue
        plan = ledger._connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        steps = {row[3] for row in plan}
        assert not {step for step in steps if step.startswith("SCAN jobs")}, statement


def test_a_span_of_both_parts_is_suspected_whole(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.apply([*run_of(5), *run_of(5, "running", first=5)])
        assert ledger.suspect_between(AT + 6, AT + 3, keep=[]) == 4
        assert ledger.known([job(n).uuid for n in range(10)]).keys() == {
            job(n).uuid for n in (0, 1, 2, 7, 8, 9)
        }


def test_what_is_as_old_as_the_bound_is_still_shown(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.apply([*run_of(5), job(9, "running", modified_at=AT - 99)])
        for _ in range(2):
            ledger.hide_before(AT + 2)
    assert {found.uuid for found in ledger.in_status("finished")} == {
        job(number).uuid for number in (2, 3, 4)
    }
    assert {found.uuid for found in ledger.in_status(OUT_OF_WINDOW)} == {job(0).uuid, job(1).uuid}
    assert ledger.size == 6
    assert ledger.active_statuses() == {"running"}


def test_jobs_of_a_status_come_newest_change_first(ledger: Ledger) -> None:
    moments = (AT + 4, AT + 9, None, AT + 1)
    with ledger.transaction():
        for status in ("running", "", "finished"):
            ledger.apply(
                [job(f"{status}-{at}", status, modified_at=at, submitted_at=AT) for at in moments]
            )
    newest_first = [AT + 9, AT + 4, AT + 1, None]
    for status in ("running", "", "finished"):
        assert [found.modified_at for found in ledger.in_status(status)] == newest_first
    assert [found.modified_at for found in ledger.active_jobs()] == newest_first


def test_a_hint_to_the_row_of_another_job_is_not_believed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when half a hash of two identities is equal."""
    with ledger.transaction():
        ledger.apply(run_of(5))
    ledger._jobs._recent.clear()
    monkeypatch.setattr(ledger._jobs._row_hints, "hints", lambda _: [1, 2, 3, 4, 5, 99])
    assert ledger.known([job(1).uuid, "other"]).keys() == {job(1).uuid}
    with ledger.transaction():
        ledger.suspect([job(1).uuid, "other"])
        assert (ledger.size, ledger.suspects) == (4, 1)


# -- memory ------------------------------------------------------------------------------------


def test_few_jobs_are_kept_in_memory_however_many_come_at_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, many = 1_000, 3_000
    monkeypatch.setattr(exporter.ledger.jobs, "MOST_RECENT", most)
    with ledger.transaction():
        ledger.apply(run_of(many))
        assert len(ledger._jobs._recent) <= most
        ledger.suspect_between(INFINITE, -INFINITE, keep=[])
        assert ledger.restore_suspects() == many
        assert len(ledger._jobs._recent) <= most
        assert ledger.apply(run_of(many)) == []


def test_however_many_are_taken_out_or_put_back_few_are_in_memory_at_a_time(
    ledger: Ledger,
) -> None:
    many = 6_000
    with ledger.transaction():
        ledger.apply(run_of(many))
    acts: dict[str, Callable[[], object]] = {
        "suspect": lambda: ledger.suspect_between(INFINITE, -INFINITE, keep=[]),
        "restore": ledger.restore_suspects,
        "unmarked": lambda: ledger.drop_unmarked(ledger.marks()),
        "again": ledger.restore_suspects,
    }
    ledger._jobs._recent.clear()
    with (
        patch.object(exporter.ledger.jobs, "MOST_RECENT", 50),
        patch.object(exporter.ledger.jobs, "BATCH", 250),
        patch.object(exporter.ledger.suspects, "BATCH", 250),
        ledger.transaction(),
    ):
        for name, act in acts.items():
            tracemalloc.start()
            assert act() == many, name
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 100 * many, name  # a list of them would take five times as much
        tracemalloc.start()
        ledger.hide_before(INFINITE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100 * many
    assert ledger.count_status(OUT_OF_WINDOW) == ledger.size == many


def test_the_jobs_that_changed_last_are_the_ones_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter.ledger.jobs, "MOST_RECENT", 4)
    with ledger.transaction():
        ledger.apply(run_of(4))
        ledger.apply(run_of(1, "exited"))
        ledger.apply(run_of(1, first=4))
    assert list(ledger._jobs._recent) == [job(number).uuid for number in (2, 3, 0, 4)]


def test_what_is_kept_in_memory_is_never_older_than_the_file(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter.ledger.jobs, "MOST_RECENT", 4)
    with ledger.transaction():
        ledger.apply(run_of(9, "running"))
        ledger.apply(run_of(9)[::-1])
        assert ledger.known([job(8).uuid])[job(8).uuid].status == "finished"
        assert ledger.apply(run_of(9)) == []


# -- suspects and transactions -----------------------------------------------------------------


def test_a_temporary_database_is_there_only_for_suspects_and_marks(ledger: Ledger) -> None:
    """It takes 100 kB of memory: of hundreds of ledgers that is much."""

    def databases() -> list[str]:
        ledger.rest()
        return [name for _, name, _ in ledger._connection.execute("PRAGMA database_list")]

    assert databases() == ["main"]
    with ledger.transaction():
        ledger.apply(run_of(10))
        ledger.suspect([job(3).uuid])
    assert databases() == ["main", "temp"]
    with ledger.transaction():
        assert ledger.restore_suspects() == 1
    assert databases() == ["main"]
    with ledger.transaction():
        marks = ledger.marks()
        marks.add([job(4).uuid])
    assert databases() == ["main", "temp"]
    assert marks.has(job(4).uuid)
    del marks
    assert databases() == ["main"]


def test_suspects_of_a_kept_transaction_outlive_one_that_is_undone(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.apply(run_of(10))
        ledger.suspect([job(3).uuid, job(4).uuid])
    with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
        ledger.suspect([job(5).uuid])
        ledger.apply([job(3)])
        raise KeyError
    assert (ledger.size, ledger.suspects) == (8, 2)
    with ledger.transaction():
        assert ledger.restore_suspects() == 2
        assert ledger.apply(run_of(10)) == []
    assert ledger.size == 10


def test_suspects_that_were_seen_again_are_not_put_back_as_well(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.apply(run_of(4))
        ledger.suspect([job(number).uuid for number in range(4)])
        ledger.apply(run_of(2))
        assert ledger.suspects == 2
        assert ledger.restore_suspects() == 2
        assert ledger.size == 4
    rows = ledger._connection.execute("SELECT uuid FROM jobs").fetchall()
    assert sorted(rows) == [(each.uuid,) for each in run_of(4)]


def test_what_an_undone_transaction_added_can_be_added_again(ledger: Ledger) -> None:
    """Its row numbers are not used twice, though the rows are gone."""
    with ledger.transaction():
        ledger.apply(run_of(10))
    for _ in range(3):
        with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
            ledger.apply(run_of(10, first=10))
            raise KeyError
    with ledger.transaction():
        ledger.suspect([job(9).uuid])
        ledger.forget_suspects(1e12)
        assert len(ledger.apply(run_of(11, first=9))) == 11
    ledger._jobs._recent.clear()
    with ledger.transaction():
        assert ledger.apply(run_of(20)) == []
    assert ledger.size == 20


def test_jobs_are_found_in_a_ledger_that_has_grown(ledger: Ledger) -> None:
    jobs = run_of(3000)
    for first in range(0, len(jobs), 100):
        with ledger.transaction():
            ledger.apply(jobs[first : first + 100])
        with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
            ledger.apply([job._replace(uuid=f"not-{job.uuid}") for job in jobs[:100]])
            raise KeyError
    ledger._jobs._recent.clear()
    with ledger.transaction():
        assert ledger.apply(jobs) == []


def test_jobs_that_come_and_go_do_not_make_the_hints_grow(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.apply(run_of(100))
    for _ in range(20):
        with ledger.transaction():
            ledger.suspect_between(INFINITE, -INFINITE, keep=[])
            ledger.restore_suspects()
    assert ledger._jobs._row_hints.is_small_for(600)
    with ledger.transaction():
        assert ledger.apply(run_of(100)) == []


def test_a_job_that_comes_and_goes_leaves_few_traces(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter.ledger.jobs, "MOST_STALE_HINTS", 10)
    with ledger.transaction():
        ledger.apply(run_of(10))
    for number in range(100):
        ledger._jobs._recent.clear()
        with ledger.transaction():
            ledger.suspect([job(3).uuid, job(4).uuid])
            ledger.restore_suspects()
        if number % 7 == 0:
            with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
                ledger.suspect_between(INFINITE, -INFINITE, keep=[])
                ledger.apply(run_of(10))
                raise KeyError
    assert len(ledger._jobs._row_hints.hints([job(3).uuid, job(4).uuid])) <= 20
    with ledger.transaction():
        assert ledger.apply(run_of(10)) == []


def test_one_that_was_gone_for_less_than_a_day_is_no_new_job(path: Path) -> None:
    """Also after a restart; and once it has been seen, it is not gone any longer."""
    day = int(GONE_KEPT_SECONDS)
    ledger = open_ledger(path, WHOSE)
    with ledger.transaction():
        ledger.apply(run_of(4))
        ledger.suspect([job(number).uuid for number in range(4)])
        assert ledger.forget_suspects(AT + day + 1) == 4
    ledger.close()
    ledger = open_ledger(path, WHOSE)
    with ledger.transaction():
        old = {new.uuid: old for old, new in ledger.apply(run_of(3))}
        jobs = run_of(4)
        assert old == {jobs[0].uuid: None, jobs[1].uuid: jobs[1], jobs[2].uuid: jobs[2]}
        ledger.suspect([jobs[1].uuid])
        assert ledger.forget_suspects(AT + day + 4) == 1
        assert [old for old, _ in ledger.apply(jobs[1:])] == [None, None]
        assert ledger._connection.execute("SELECT COUNT(*) FROM gone").fetchone() == (0,)
    ledger.close()


# -- row numbers -------------------------------------------------------------------------------


def test_row_numbers_that_no_hint_can_hold_make_it_unreadable(path: Path) -> None:
    ledger = open_ledger(path, WHOSE)
    with ledger.transaction():
        ledger.apply(run_of(2))
        ledger._connection.execute(
            "UPDATE jobs SET rowid = ? WHERE rowid = 2", (MOST_ROW_NUMBER - 2,)
        )
    ledger.close()
    ledger = open_ledger(path, WHOSE)
    with ledger.transaction():
        assert ledger.apply(run_of(2)) == []
        ledger.apply(run_of(1, first=2))
    with pytest.raises(LedgerUnreadable), ledger.transaction():
        ledger.apply(run_of(5, first=3))
    ledger.close()


@pytest.mark.parametrize("number", [-1, 0, MOST_ROW_NUMBER + 1, 2**62])
def test_a_file_with_impossible_row_numbers_is_unreadable(path: Path, number: int) -> None:
    ledger = open_ledger(path, WHOSE)
    with ledger.transaction():
        ledger.apply(run_of(2))
        ledger._connection.execute("UPDATE jobs SET rowid = ? WHERE rowid = 2", (number,))
    ledger.close()
    with pytest.raises(LedgerUnreadable):
        open_ledger(path, WHOSE)


# -- disks that cannot be written --------------------------------------------------------------


def test_what_a_killed_process_left_in_the_log_is_read_as_well(path: Path) -> None:
    def die() -> None:
        dying = open_ledger(path, WHOSE)
        for number in range(3):
            with dying.transaction():
                dying.apply(run_of(10, first=10 * number))
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=die)
    child.start()
    child.join()
    assert path.with_name(path.name + "-wal").stat().st_size
    copy = read_ledger(path, WHOSE)
    assert copy.in_memory
    with copy.transaction():
        assert copy.apply(run_of(30)) == []
    copy.close()


def test_a_bad_file_is_set_aside_before_a_ledger_returns_to_its_place(tmp_path: Path) -> None:
    state, identity = StateDirectory(tmp_path), ClusterIdentity("c", "ehpc-1", "zone", "account")
    path = state.ledger_path(identity, "https://cloud")
    path.write_bytes(b"\xa5" * 8192)
    kept = open_ledger(None, "https://cloud zone ehpc-1")
    with kept.transaction():
        kept.apply(run_of(3))
    clock = ManualClock(AT)
    state.moved(kept, identity, "https://cloud", clock).close()
    kept.close()
    again = state.ledger(identity, "https://cloud", clock)
    assert (again.size, again.in_memory) == (3, False)
    again.close()
    assert [each.read_bytes()[:1] for each in tmp_path.glob("*set-aside*")] == [b"\xa5"]


# -- damage ------------------------------------------------------------------------------------

READS: dict[str, Callable[[Ledger], object]] = {
    "known": lambda ledger: ledger.known([job(1).uuid]),
    "apply": lambda ledger: ledger.apply([job(1, "finished")]),
    "suspect": lambda ledger: ledger.suspect([job(1).uuid]),
    "suspect_between": lambda ledger: ledger.suspect_between(INFINITE, -INFINITE, keep=[]),
    "set_aside": lambda ledger: ledger.set_aside("pending", lambda job: False),
    "active_jobs": lambda ledger: list(ledger.active_jobs()),
    "oldest_pending": lambda ledger: ledger.oldest_pending(),
}


@pytest.mark.parametrize("name", READS)
def test_a_row_that_names_nothing_is_damage(ledger: Ledger, name: str) -> None:
    with ledger.transaction():
        ledger.apply([job(1), job(2, "odd")])
    column = "status" if name == "active_jobs" else "queue"
    ledger._connection.execute(f"UPDATE jobs SET {column} = 77")
    if name == "oldest_pending":
        ledger._connection.execute("UPDATE jobs SET status = 4")
    ledger._jobs._recent.clear()
    with pytest.raises(LedgerUnreadable), ledger.transaction():
        READS[name](ledger)


def test_what_cannot_be_read_back_is_damage(ledger: Ledger) -> None:
    with ledger.transaction():
        ledger.note_activity("q", "u", AT)
    ledger._connection.execute("UPDATE activity SET last_active_at = 7")
    with pytest.raises(LedgerUnreadable, match="a row of it"), ledger.transaction():  # noqa: PT012
        ledger.note_activity("q", "u", AT + 1)
        raise sqlite3.DatabaseError


def test_no_copy_over_a_file_that_is_no_database(ledger: Ledger, tmp_path: Path) -> None:
    """The copy's own connection is closed again, and the ledger goes on."""
    other = tmp_path / "other.ledger"
    other.write_bytes(b"\xa5" * 8192)
    with ledger.transaction():
        ledger.apply(run_of(3))
    try:
        copy = ledger.copied_to(other)
    except (LedgerUnreadable, LedgerUnwritable):
        assert other.read_bytes() == b"\xa5" * 8192
    else:
        assert copy.size == 3
        copy.close()
    with ledger.transaction():
        assert ledger.apply(run_of(3)) == []
