"""A damaged state: what is published is right or withheld, and nothing that is lost is silent."""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.clock import Instant
from exporter.errors import LedgerUnreadable, LedgerUnwritable, StateInUse
from exporter.ledger.counters import Amount, CounterKey
from exporter.ledger.directory import StateDirectory
from exporter.ledger.published import NOTHING, Published, read_published
from exporter.ledger.records import Progress
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import ClusterIdentity
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from tests.unit.ledger.damaging import WAYS, Original, play
from tests.unit.ledger.made import AT, WHOSE, job, run_of, tallied
from tests.unit.manual_clock import ManualClock

IDENTITY = ClusterIdentity("cfd", "ehpc-1", "jn1a", "default")
ENDPOINT = "https://cloud"
NOW = Instant(AT + 0.5, 1000.0)
CLOCK = ManualClock(NOW.at)
ENDED = CounterKey("ended", "q", "finished")
RUN = CounterKey("runs", "q", "finished")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_published_after_a_damage_is_right_or_withheld(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = Original(tmp_path, way)
    caplog.set_level(logging.CRITICAL)
    outcomes = {play(original, tmp_path / "damaged", seed).rpartition(": ")[2] for seed in range(9)}
    assert outcomes == {"kept", "begun anew"}


@pytest.mark.parametrize("seed", [219, 915, 2305])
def test_a_log_that_is_cut_while_it_is_open(
    seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was once read on as if it were whole."""
    caplog.set_level(logging.CRITICAL)
    outcome = play(Original(tmp_path, WAYS[seed % len(WAYS)]), tmp_path / "damaged", seed)
    assert outcome == "cut ledger, cut -wal while running: begun anew"


# -- counters ----------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def path(state: StateDirectory) -> Iterator[Path]:
    state.acquire()
    yield state.ledger_path(IDENTITY, ENDPOINT)
    state.release()


def opened(state: StateDirectory) -> Ledger:
    return state.ledger(IDENTITY, ENDPOINT, CLOCK)


def publish(ledger: Ledger, *first: CounterKey) -> None:
    """Under everybody's own name; the ``first`` ones are at 0 before anything of theirs is shown."""
    ledger.counters.credit(first, lambda key: key, lambda key: True)


def count(ledger: Ledger, times: int, synced_at: float, *, complete: bool = True) -> None:
    """A sync that sees so many jobs end."""
    with ledger.transaction():
        publish(ledger, ENDED, RUN)
        for _ in range(times):
            ledger.tally(ENDED)
            ledger.tally(RUN, seconds=31, bucket=1)
        publish(ledger)
        ledger.remember_shown("queue", frozenset({"q"}))
        ledger.progress = Progress(
            began_at=AT, synced_at=synced_at, known="all" if complete else "active"
        )


def wound_back(path: Path, state: StateDirectory, *, counted: int = 10, more: int = 5) -> None:
    """A ledger that has counted ``counted`` of what was published, ``more`` than it knows."""
    ledger = opened(state)
    count(ledger, counted, AT + 1.0)
    ledger.close()
    shutil.copy(path, path.with_name("kept"))
    ledger = opened(state)
    count(ledger, more, AT + 2.0)
    ledger.close()
    path.with_name("kept").replace(path)


def test_no_counter_is_lower_than_it_was_published(
    state: StateDirectory, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wound_back(path, state)
    ledger = opened(state)
    assert ledger.counters.behind
    assert ledger.counters.shown[ENDED] == Amount(15)
    assert ledger.counters.shown[RUN] == Amount(15, 15 * 31, (0, 15))
    (line,) = caplog.records
    assert line.levelname == "WARNING"
    assert "no counter is shown lower" in line.message
    count(ledger, 3, AT + 3.0, complete=False)  # of the five that it does not know
    assert ledger.counters.shown[ENDED] == Amount(15)
    count(ledger, 3, AT + 4.0)  # the others, and one more
    assert ledger.counters.shown[ENDED] == Amount(16)
    assert not ledger.counters.behind
    ledger.close()
    again = opened(state)
    assert again.counters.shown[ENDED] == Amount(16)
    again.close()
    assert len(caplog.records) == 1


def test_what_can_no_longer_be_counted_again_stays_counted(
    state: StateDirectory, path: Path
) -> None:
    """The jobs that ended have left the list."""
    wound_back(path, state)
    ledger = opened(state)
    count(ledger, 0, AT + 3.0)
    assert not ledger.counters.behind
    count(ledger, 1, AT + 4.0)
    assert ledger.counters.shown[ENDED] == Amount(16)
    assert ledger.counters.shown[RUN] == Amount(16, 16 * 31, (0, 16))
    ledger.close()


def test_what_a_kill_kept_from_being_written_beside_it_is_written_before_it_is_published(
    state: StateDirectory, path: Path
) -> None:
    """Else a power cut after the next start could take it back."""
    beside = path.with_name(path.name + ".published")
    ledger = opened(state)
    count(ledger, 10, AT + 1.0)
    before = beside.read_bytes()
    count(ledger, 5, AT + 2.0)
    ledger.close()
    beside.write_bytes(before)  # the kill came between the two
    opened(state).close()
    assert read_published(path).counters["shown"][ENDED] == Amount(15)
    written = beside.stat().st_mtime_ns
    opened(state).close()
    assert beside.stat().st_mtime_ns == written


def test_what_a_queue_has_added_to_the_others_stays_there(
    state: StateDirectory, path: Path
) -> None:
    """The ledger that is left is of a time when the queue had its name."""

    def published(queue_limit: int) -> dict[str, int]:
        publisher = Publisher(LabelRules(queue_limit=queue_limit))
        with ledger.transaction():
            snapshot = publisher.snapshot(ledger, AT)
        assert snapshot is not None
        return {tally.queue: tally.total for tally in snapshot.ended if tally.status == "finished"}

    ledger = opened(state)
    count(ledger, 0, AT + 1.0, complete=False)
    with ledger.transaction():
        publish(ledger, ENDED._replace(queue="a"))
    assert published(2) == {"a": 0, "q": 0}
    ledger.close()
    shutil.copy(path, path.with_name("kept"))
    ledger = opened(state)
    assert published(1) == {"_other": 0, "a": 0}
    with ledger.transaction():
        ledger.tally(ENDED)
    assert published(1) == {"_other": 1, "a": 0}
    ledger.close()
    path.with_name("kept").replace(path)
    ledger = opened(state)
    assert ledger.counters.behind
    assert published(1) == {"_other": 1, "a": 0}
    ledger.close()


def test_what_users_used_is_not_shown_twice_whatever_names_they_had_meanwhile(
    state: StateDirectory, path: Path
) -> None:
    """In the ledger that is left, another user has the name than when it was last published."""

    def used(rules: LabelRules) -> dict[str, int]:
        for _ in range(2):  # a new series is at 0 first
            with ledger.transaction():
                snapshot = Publisher(rules).snapshot(ledger, AT)
        assert snapshot is not None
        return {usage.user: usage.seconds for usage in snapshot.core_seconds}

    def use(**seconds: int) -> None:
        with ledger.transaction():
            for user, each in seconds.items():
                ledger.tally(CounterKey("cores", "q", user), each)

    one, both = LabelRules(user_limit=1), LabelRules()
    ledger = opened(state)
    with ledger.transaction():
        ledger.apply([job(n, user="ab"[n % 2]) for n in range(3)])
        ledger.progress = Progress(began_at=AT, synced_at=AT + 1.0, known="active")
    assert used(one) == {"a": 0, "_other": 0}
    use(a=1, b=2)
    ledger.close()
    shutil.copy(path, path.with_name("kept"))
    ledger = opened(state)
    assert used(one) == {"a": 1, "_other": 2}
    use(a=10, b=20)
    assert used(one) == {"a": 11, "_other": 22}
    with ledger.transaction():  # now b is far busier
        ledger.apply([job(n, user="b") for n in range(10, 40)])
    assert used(one) == {"b": 0, "_other": 22}
    use(a=100, b=200)
    assert used(one) == {"b": 200, "_other": 122}
    assert used(both) == {"a": 11, "b": 200, "_other": 122}
    ledger.close()
    path.with_name("kept").replace(path)
    for again in ({"a": 10, "b": 20}, {"b": 200}, {"a": 100 + 1000}):
        ledger = opened(state)
        assert ledger.counters.behind
        assert used(both) == {"a": 11, "b": 200, "_other": 122}
        use(**again)
        ledger.close()
    ledger = opened(state)
    assert used(both) == {"a": 1011, "b": 200, "_other": 122}
    count(ledger, 0, AT + 2.0)
    assert not ledger.counters.behind
    ledger.close()


def test_an_undone_sync_does_not_catch_up(state: StateDirectory, path: Path) -> None:
    wound_back(path, state)
    ledger = opened(state)
    for _ in range(2):
        with pytest.raises(KeyError), ledger.transaction():  # noqa: PT012
            ledger.tally(ENDED)
            publish(ledger)
            raise KeyError
        assert (ledger.counters.behind, ledger.counters.shown[ENDED]) == (True, Amount(15))
    ledger.close()


def test_one_that_knows_nothing_any_longer_counts_on_from_what_was_published(
    state: StateDirectory, path: Path
) -> None:
    """Its log was lost before any of it came into the file: nothing will be counted again."""
    opened(state).close()
    shutil.copy(path, path.with_name("kept"))
    ledger = opened(state)
    count(ledger, 15, AT + 1.0)
    ledger.close()
    path.with_name("kept").replace(path)
    ledger = opened(state)
    assert not ledger.counters.behind
    assert ledger.shown("queue") == {"q"}
    count(ledger, 1, AT + 2.0, complete=False)
    assert ledger.counters.shown[ENDED] == Amount(16)
    ledger.close()


def test_a_ledger_in_memory_keeps_what_was_published(state: StateDirectory, path: Path) -> None:
    wound_back(path, state)
    ledger = opened(state)
    copy = ledger.copied_to(None)
    assert copy.counters.shown[ENDED] == Amount(15)
    ledger.close()
    back = state.moved(copy, IDENTITY, ENDPOINT, CLOCK)
    assert back.counters.shown[ENDED] == Amount(15)
    copy.close()
    back.close()


@pytest.mark.parametrize("content", [b"", b"garbled", b"[[[],{}],1]", b"\xff" * 100, b'[[[["\xe4"'])
def test_a_damaged_record_of_what_was_published_is_told_of(
    state: StateDirectory, path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = opened(state)
    count(ledger, 10, AT + 1.0)
    ledger.close()
    path.with_name(f"{path.name}.published").write_bytes(content)
    ledger = opened(state)
    assert ledger.counters.shown[ENDED] == Amount(10)
    (line,) = caplog.records
    assert "is damaged" in line.__dict__["reason"]
    count(ledger, 1, AT + 2.0)
    ledger.close()
    assert read_published(path).counters["shown"][ENDED] == Amount(11)


def test_one_that_begins_anew_begins_at_0(state: StateDirectory, path: Path) -> None:
    """For Prometheus a restart; a little less than before would not be one."""
    ledger = opened(state)
    count(ledger, 10, AT + 1.0)
    ledger.close()
    path.write_bytes(b"no database at all" * 1000)
    ledger = opened(state)
    assert not tallied(ledger)
    ledger.close()
    assert read_published(path) == NOTHING


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE counters SET times = -1",
        "UPDATE counters SET seconds = -1",
        "UPDATE counters SET times = 'ten'",
        "UPDATE jobs SET cores = 'many'",
        "UPDATE jobs SET modified_at = 1.5",
        "INSERT INTO about VALUES (7, X'00', 'no proof')",
    ],
)
def test_no_such_value_can_be_written(ledger_on_disk: Ledger, statement: str) -> None:
    with pytest.raises(LedgerUnreadable, match=r"constraint failed|cannot store"):  # noqa: SIM117
        with ledger_on_disk.transaction():
            ledger_on_disk._connection.execute(statement)


@pytest.fixture
def ledger_on_disk(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(tmp_path / "one.ledger", WHOSE)
    with ledger.transaction():
        ledger.apply(run_of(3))
        ledger.tally(ENDED)
    yield ledger
    ledger.close()


# -- damage met while it is in use -------------------------------------------------------------


def test_one_that_is_damaged_while_in_use_is_not_opened_again(
    state: StateDirectory, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Though nothing is found when it is opened: else it would fail, and be opened, for ever."""
    ledger = opened(state)
    with ledger.transaction():
        ledger.apply(run_of(9))
    with pytest.raises(LedgerUnreadable), ledger.transaction():
        ledger._connection.execute("INSERT INTO about VALUES ('identity', 'x', 1)")
    ledger.close()
    again = opened(state)
    assert (again.size, again.in_memory) == (0, False)
    again.close()
    (line,) = caplog.records
    assert "UNIQUE constraint failed" in line.__dict__["reason"]
    assert "set aside" in line.message
    assert len(list(path.parent.glob("*.set-aside-*"))) >= 1
    third = opened(state)
    assert len(caplog.records) == 1
    third.close()


def test_a_row_that_changes_while_it_is_in_use_is_damage(state: StateDirectory, path: Path) -> None:
    ledger = opened(state)
    with ledger.transaction():
        ledger.apply(run_of(9))
    ledger._connection.execute("UPDATE jobs SET cores = cores + 1 WHERE rowid = 4")
    ledger._jobs._recent.clear()
    with pytest.raises(LedgerUnreadable, match="a row of it is damaged"), ledger.transaction():
        ledger.apply(run_of(9, "exited"))
    ledger.close()


@pytest.mark.parametrize("whole", [False, True], ids=["the file", "the directory"])
def test_one_that_is_removed_while_in_use_is_missed_and_written_anew(
    state: StateDirectory, path: Path, *, whole: bool
) -> None:
    ledger = opened(state)
    count(ledger, 10, AT + 1.0)
    if whole:
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    with pytest.raises(LedgerUnwritable, match="gone"), ledger.transaction():
        ledger.apply(run_of(3))
    copy = ledger.copied_to(None)  # as the poller does
    ledger.close()
    back = state.moved(copy, IDENTITY, ENDPOINT, CLOCK)
    copy.close()
    assert (back.in_memory, back.counters.shown[ENDED]) == (False, Amount(10))
    count(back, 1, AT + 2.0)
    back.close()
    assert read_published(path).counters["shown"][ENDED] == Amount(11)


def test_one_that_is_replaced_while_in_use_is_missed(state: StateDirectory, path: Path) -> None:
    ledger = opened(state)
    shutil.copy(path, path.with_name("other"))
    path.with_name("other").replace(path)
    with pytest.raises(LedgerUnwritable, match="replaced"), ledger.transaction():
        ledger.apply(run_of(3))
    ledger.close()


def test_a_directory_that_another_has_taken_by_then_is_left_to_it(
    state: StateDirectory, path: Path
) -> None:
    copy = open_ledger(None, f"{ENDPOINT} jn1a ehpc-1")
    shutil.rmtree(path.parent)
    other = StateDirectory(path.parent)
    other.acquire()
    with pytest.raises(StateInUse):
        state.moved(copy, IDENTITY, ENDPOINT, CLOCK)
    other.release()
    state.moved(copy, IDENTITY, ENDPOINT, CLOCK).close()
    copy.close()


@pytest.mark.parametrize("part", ["", ".published"])
def test_a_pipe_in_its_place_does_not_block(
    state: StateDirectory, path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(path.with_name(path.name + part))
    ledger = opened(state)
    assert not ledger.in_memory
    count(ledger, 1, AT + 1.0)
    ledger.close()
    assert "not a regular file" in caplog.records[0].__dict__["reason"]


# -- modes -------------------------------------------------------------------------------------


def modes(directory: Path) -> dict[str, int]:
    return {
        file.name: stat.S_IMODE(file.stat().st_mode) for file in (directory, *directory.iterdir())
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077, 0o177, 0o377, 0o777])
def test_nobody_else_reads_the_state_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        state = StateDirectory(tmp_path / "state")
        state.acquire()
        log = state.spending("default", NOW, 10)
        for _ in range(2):
            ledger = opened(state)
            count(ledger, 3, AT + 1.0)
            seen = modes(tmp_path / "state")
            ledger.close()
            state.ledger_path(IDENTITY, ENDPOINT).write_bytes(b"no database at all" * 1000)
        (tmp_path / "state" / "default.calls").write_bytes(b"garbled")
        with log.locked(NOW):
            pass
        log.close()  # type: ignore[attr-defined]
        seen |= modes(tmp_path / "state")
        state.release()
    finally:
        os.umask(before)
    assert seen.pop("state") == (0o750 if umask in (0o000, 0o022, 0o027) else 0o700)
    assert len(seen) > 8
    assert set(seen.values()) == {0o600}, seen


def test_files_that_an_earlier_version_left_readable_are_closed(
    state: StateDirectory, path: Path
) -> None:
    opened(state).close()
    others = [f"{path.name}{part}" for part in ("", "-wal", ".set-aside-1")] + ["default.calls"]
    for name in [*others, "somebody-elses"]:
        path.with_name(name).touch()
        path.with_name(name).chmod(0o644)
    state.release()
    state.acquire()
    found = modes(path.parent)
    assert {name for name in others if found[name] != 0o600} == set()
    assert found["somebody-elses"] == 0o644


def test_what_was_published_is_what_is_read(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "one.ledger", WHOSE)
    count(ledger, 3, AT + 1.0)
    assert read_published(tmp_path / "one.ledger") == Published(
        {"queue": frozenset({"q"})},
        {"shown": {ENDED: Amount(3), RUN: Amount(3, 93, (0, 3))}, "elsewhere": {}},
    )
    ledger.close()


def test_of_what_is_published_only_what_has_changed_is_written(
    state: StateDirectory, path: Path
) -> None:
    """Until that is as much as the whole."""
    beside = path.with_name(f"{path.name}.published")
    ledger = opened(state)
    keys = [ENDED._replace(queue=f"queue-{number}") for number in range(20)]
    with ledger.transaction():
        publish(ledger, *keys)
    sizes = [beside.stat().st_size]
    for _ in range(30):
        with ledger.transaction():
            ledger.tally(keys[7])
            publish(ledger)
        sizes.append(beside.stat().st_size)
        assert read_published(path).counters["shown"] == ledger.counters.shown
    assert sizes[1] - sizes[0] < sizes[0] / 10
    assert sizes != sorted(sizes)
    assert max(sizes) < 2 * sizes[-1] < 4 * sizes[0]
    ledger.close()


def test_a_new_file_is_in_its_directory_before_anything_is_published(
    state: StateDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the old one, or none."""
    done: list[str] = []
    replace = os.replace

    def note_sync(descriptor: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        if done[-1] == "directory":
            raise OSError(errno.EINVAL, "not on this file system")

    def note_replace(old: Path, new: Path) -> None:
        done.append("replaced")
        replace(old, new)

    ledger = opened(state)
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    count(ledger, 1, AT + 1.0)
    assert done == ["file", "replaced", "directory"]
    assert read_published(path).counters["shown"][ENDED] == Amount(1)
    ledger.close()


def test_a_line_that_was_not_written_to_its_end_was_not_published(
    state: StateDirectory, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = path.with_name(f"{path.name}.published")
    ledger = opened(state)
    count(ledger, 10, AT + 1.0)
    whole = beside.read_bytes()
    with ledger.transaction():
        ledger.tally(ENDED)
        publish(ledger)
    added = beside.read_bytes().removeprefix(whole)
    assert len(added) < len(whole)
    for cut in range(len(added)):
        beside.write_bytes(whole + added[:cut])
        assert read_published(path).counters["shown"][ENDED] == Amount(10)
    for cut in range(len(added) - 1):  # as long as it should be, but not all of it was written
        beside.write_bytes(whole + added[:cut].ljust(len(added) - 1, b"\0") + b"\n")
        assert read_published(path).counters["shown"][ENDED] == Amount(10)
    ledger.close()
    ledger = opened(state)
    with ledger.transaction():
        ledger.tally(ENDED)
        publish(ledger)  # behind what was cut short
    ledger.close()
    assert read_published(path).counters["shown"][ENDED] == Amount(12)
    assert not caplog.records


def test_a_bad_line_that_is_not_the_last_one_is_damage(state: StateDirectory, path: Path) -> None:
    """It was published, as others were added behind it."""
    beside = path.with_name(f"{path.name}.published")
    ledger = opened(state)
    with ledger.transaction():
        publish(ledger, ENDED, *(ENDED._replace(queue=f"queue-{number}") for number in range(20)))
    for _ in range(2):
        with ledger.transaction():
            ledger.tally(ENDED)
            publish(ledger)
    ledger.close()
    lines = beside.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    assert read_published(path).counters["shown"][ENDED] == Amount(2)
    for bad in range(2):
        beside.write_bytes(b"".join([*lines[:bad], b"garbled\n", *lines[bad + 1 :]]))
        with pytest.raises(LedgerUnreadable):
            read_published(path)
