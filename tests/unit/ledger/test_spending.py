"""An account's calls on disk: what a kill, a full disk, a wrong clock or another process does."""

import logging
import os
import resource
import shutil
import signal
import stat
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import Instant
from exporter.errors import StateError
from exporter.ledger import spending
from exporter.ledger.spending import FileSpendingLog, MemorySpendingLog
from exporter.model import Pause
from tests.unit.ledger.made import in_child, without_descriptors

AT = 1_700_000_000.0
START = Instant(AT, 1000.0)
ALLOWED = 40


def about(seconds: float) -> Any:
    return pytest.approx(seconds)


def after(seconds: float, *, ahead: float = 0.0) -> Instant:
    """So long after ``START``, by a clock that has been set ``ahead`` meanwhile."""
    return Instant(AT + seconds + ahead, 1000.0 + seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.calls"


@pytest.fixture
def another_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is started anew for every log that is opened."""
    starts = iter(range(1000))
    monkeypatch.setattr(spending, "boot_id", lambda: f"start-{next(starts)}")


MUCH_LATER = after(3000)


def opened(path: Path, now: Instant = START) -> FileSpendingLog:
    return FileSpendingLog(path, now, ALLOWED)


def spend(log: MemorySpendingLog, *seconds: float) -> None:
    """Calls so many seconds after ``START``."""
    for each in seconds:
        with log.locked(after(each)):
            log.add_call(after(each).seconds)


def calls_of(log: MemorySpendingLog, now: Instant = MUCH_LATER) -> list[float]:
    """How long after ``START`` the calls were made."""
    with log.locked(now):
        return [round(seconds - 1000.0, 4) for seconds in log.calls_since(float("-inf"))]


def reopened(path: Path, now: Instant = MUCH_LATER) -> list[float]:
    log = opened(path, now)
    try:
        return calls_of(log, now)
    finally:
        log.close()


def test_calls_since_a_moment_include_that_moment() -> None:
    log = MemorySpendingLog()
    spend(log, 0, 1, 1, 2)
    assert log.calls_since(1001.0) == [1001.0, 1001.0, 1002.0]
    assert log.calls_since(1002.5) == []


def test_calls_survive_a_kill(path: Path) -> None:
    def die() -> None:
        log = opened(path)
        spend(log, 0, 1.25, 2)
        with log.locked(after(2)):
            log.set_pause(Pause(1300.0, 1))
        with log.locked(after(3)):
            log.add_call(1003.0)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL
    log = opened(path, after(10))
    assert calls_of(log) == [0, 1.25, 2, 3]
    assert log.pause() == Pause(about(1300.0), 1)
    log.close()


def test_a_killed_process_does_not_keep_the_lock(path: Path) -> None:
    def die() -> None:
        log = opened(path)
        with log.locked(START):
            os._exit(0)

    assert in_child(die) == 0
    log = opened(path)
    spend(log, 0)
    log.close()


def test_two_logs_of_one_file_see_each_other(path: Path) -> None:
    one, other = opened(path), opened(path)
    spend(one, 0)
    spend(other, 1)
    spend(one, 2)
    assert calls_of(one) == calls_of(other) == [0, 1, 2]
    with other.locked(after(3)):
        other.set_pause(Pause(1300.0, 2))
    with one.locked(after(3)):
        assert one.pause() == Pause(about(1300.0), 2)
    one.close()
    other.close()


def test_writing_anew_keeps_what_matters_and_the_other_follows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "LEAST_KEPT_CALLS", 10)
    monkeypatch.setattr(spending, "boot_id", lambda: "start")
    one, other = FileSpendingLog(path, START, 10), FileSpendingLog(path, START, 10)
    with one.locked(START):
        one.set_pause(Pause(900.0, 1))
        one.set_pause(Pause(905.0, 2))
    for number in range(50):
        spend((one, other)[number % 2], number)
        now = after(number)
        assert calls_of(one, now)[-10:] == calls_of(other, now)[-10:]
        assert calls_of(one, now)[-1] == number
    assert len(path.read_text().splitlines()) <= 24
    assert not list(path.parent.glob("*.new"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert reopened(path)[-10:] == list(range(40, 50))
    with other.locked(after(50)):
        assert other.pause() == Pause(about(905.0), 2)
    one.close()
    other.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_as_many_calls_are_kept_as_a_big_quota_allows(path: Path, in_memory: bool) -> None:
    """50,000 requests a day with a share of a half: none of 25,000 calls may be forgotten."""
    log = MemorySpendingLog(25_000) if in_memory else FileSpendingLog(path, START, 25_000)
    for number in range(25_000):
        log.add_call(1000.0 + number * 0.01)
    with log.locked(after(250)):
        pass  # the moment at which a long file is written anew
    assert len(log.calls_since(1000.0)) == 25_000
    if isinstance(log, FileSpendingLog):
        log.close()
        log = FileSpendingLog(path, after(251), 25_000)
        assert len(log.calls_since(999.0)) == 25_000
        log.close()


@pytest.mark.usefixtures("another_start")
def test_a_file_of_the_version_before_this_is_read(path: Path) -> None:
    """It said nothing of clocks."""
    path.write_text(f"{AT:.6f}\npause 0.000000 0\n{AT + 1.25:.6f}\npause {AT + 300:.6f} 2\n")
    log = opened(path, after(10))
    assert calls_of(log) == [0, 1.25]
    assert log.pause() == Pause(about(1300.0), 2)
    log.close()
    assert reopened(path) == [0, 1.25]


class TestDamage:
    """Whatever stands in the file: it is never silent, and never taken for calls not made."""

    @pytest.mark.parametrize(
        "half", ["17000", "1700000001.25", "pau", "pause 17", "pause 1700000500.0 "]
    )
    def test_half_a_line_is_a_call_of_which_nobody_knows_when(
        self, path: Path, half: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A power cut, or a disk that was full for a moment."""
        path.write_text(f"{AT:.6f}\n{half}")
        log = opened(path, after(1))
        spend(log, 2, 3)
        assert calls_of(log) == [0, 1, 2, 3]
        log.close()
        assert reopened(path) == [0, 1, 2, 3]
        assert not caplog.records

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n",
            b"x",
            b"%(at)s\nx\n%(at)s\n",
            b"1 2",
            b"pause a b",
            b"pause 1 2 3",
            b"%(at)s\n" + bytes(4096),
            bytes(4096),
            b"\x89PNG\r\n\x1a\n",
            "ü".encode(),
            b"nan",
            b"inf",
            b"1e400",
            b"9" * 400,
            b"pause nan 1",
            b"{}",
        ],
    )
    @pytest.mark.parametrize("age_seconds", [-86400.0, 0.0, 600.0, 86400.0])
    def test_a_garbled_file_is_set_aside_and_taken_for_a_full_window(
        self, path: Path, content: bytes, age_seconds: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Full until a window after it was last written."""
        content = content.replace(b"%(at)s", f"{AT - age_seconds - 1:.6f}".encode())
        path.write_bytes(content)
        os.utime(path, (AT, AT - age_seconds))
        log = opened(path)
        spend(log, 5)
        *before, last = calls_of(log)
        assert before[-ALLOWED:] == [-max(0.0, age_seconds)] * ALLOWED
        assert last == 5
        assert log.on_disk
        log.close()
        assert reopened(path)[-ALLOWED - 1 :] == [*before[-ALLOWED:], last]
        (aside,) = path.parent.glob("default.calls.set-aside-*")
        assert aside.read_bytes() == content
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.__dict__["file"] == str(aside)
        assert record.__dict__["reason"] in {"it is empty", "it is damaged"}

    def test_one_that_is_garbled_while_it_is_in_use(self, path: Path) -> None:
        log = opened(path)
        spend(log, 0, 1)
        with path.open("ab") as file:
            file.write(b"what is this\n")
        os.utime(path, (AT, AT + 60))
        now = after(100)
        assert calls_of(log, now) == [0, 1, *[60] * ALLOWED]
        assert list(path.parent.glob("default.calls.set-aside-*"))
        log.close()

    def test_a_directory_in_its_place(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path.mkdir()
        os.utime(path, (AT, AT - 10))
        log = opened(path)
        spend(log, 1)
        assert calls_of(log) == [*[-10] * ALLOWED, 1]
        assert log.on_disk
        assert [record.__dict__["reason"] for record in caplog.records] == ["Is a directory"]
        log.close()

    @pytest.mark.parametrize("what", ["a pipe", "a device without an end", "a link to itself"])
    def test_what_never_ends_is_not_read(
        self, path: Path, what: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        if what == "a pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero" if what == "a device without an end" else path.name)
        log = opened(path)
        assert len(calls_of(log)) == ALLOWED
        assert log.on_disk
        assert stat.S_ISREG(path.lstat().st_mode)
        assert "used up" in caplog.text or "cannot be written" in caplog.text
        log.close()

    @pytest.mark.parametrize("spare", [0, 1])
    def test_one_that_cannot_be_opened_is_not_damaged(self, path: Path, spare: int) -> None:
        """As with too few descriptors, or if it belongs to another user: its calls were not the whole share."""
        log = opened(path)
        spend(log, 0, 1)
        log.close()

        def start() -> None:
            without_descriptors(spare)
            with pytest.raises(StateError, match="cannot be opened: Too many open files"):
                opened(path)

        assert in_child(start) == 0
        assert reopened(path) == [0, 1]
        assert not list(path.parent.glob("*.set-aside-*"))

    @pytest.mark.parametrize("emptied", [True, False])
    def test_a_file_that_is_emptied_or_removed_in_use_is_written_anew(
        self, path: Path, emptied: bool
    ) -> None:
        """Somebody tidied up: what this process knows still counts."""
        log = opened(path)
        spend(log, 0, 1)
        if emptied:
            os.truncate(path, 0)
        else:
            path.unlink()
        spend(log, 2)
        assert calls_of(log) == reopened(path) == [0, 1, 2]
        log.close()


class TestClock:
    @pytest.mark.parametrize("ahead", [-1.6e9, -86400.0, -2.0, 2.0, 86400.0, 5e8])
    def test_a_clock_that_is_set_moves_no_call(self, path: Path, ahead: float) -> None:
        """They were made so long ago as they were, whatever the clock says."""
        log = opened(path)
        spend(log, 0, 10, 60)
        now = after(70, ahead=ahead)
        assert calls_of(log, now) == [0, 10, 60]
        log.close()
        assert reopened(path, now) == [0, 10, 60]
        assert reopened(path) == [0, 10, 60]

    @pytest.mark.usefixtures("another_start")
    def test_what_was_written_by_a_wrong_clock_is_put_right_for_the_next_start(
        self, path: Path
    ) -> None:
        log = opened(path)
        spend(log, 0, 10, 60)
        log.close()
        late = after(70, ahead=86400.0)
        log = opened(path, after(60))
        assert calls_of(log, late) == [0, 10, 60]
        log.close()
        assert reopened(path, late) == [0, 10, 60]

    @pytest.mark.usefixtures("another_start")
    def test_after_a_start_of_the_machine_only_calls_of_the_future_are_moved(
        self, path: Path
    ) -> None:
        log = opened(path, after(0))
        spend(log, 0, 10, 60)
        log.close()
        assert reopened(path, Instant(AT + 20, 7.0)) == [-993 - 20, -993 - 10, -993]

    def test_a_process_that_began_by_another_clock_sees_the_calls_of_the_first(
        self, path: Path
    ) -> None:
        one = opened(path)
        spend(one, 0, 60)
        other = opened(path, after(70, ahead=86400.0))
        assert calls_of(other, after(70, ahead=86400.0)) == [0, 60]
        spend(one, 80)
        assert calls_of(other, after(90, ahead=86400.0)) == calls_of(one) == [0, 60, 80]
        one.close()
        other.close()

    @pytest.mark.parametrize("known", [True, False])
    def test_a_clock_that_stays_is_written_once(
        self, path: Path, known: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spending, "boot_id", lambda: "start" if known else "-")
        log = opened(path)
        written = path.stat().st_ino
        spend(log, *range(10))
        with log.locked(after(20, ahead=0.5)):
            log.add_call(1020.0)
        assert path.stat().st_ino == written
        assert reopened(path, after(30, ahead=0.5)) == [*range(10), 20]
        log.close()


class TestDisk:
    def test_without_room_it_is_told_once_and_counted_in_memory(self, path: Path) -> None:
        def write() -> None:
            heard = BufferingHandler(100)
            logging.basicConfig(level="INFO", handlers=[heard], force=True)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            log = opened(path)
            spend(log, 0)
            if not log.on_disk:
                os._exit(1)
            soft = path.stat().st_size + 5
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
            spend(log, 1, 2, 3)
            if log.on_disk or [record.levelname for record in heard.buffer] != ["ERROR"]:
                os._exit(2)
            if calls_of(log) != [0, 1, 2, 3]:
                os._exit(3)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            spend(log, 4, 5)
            well = log.on_disk and [record.levelname for record in heard.buffer] == [
                "ERROR",
                "INFO",
            ]
            os._exit(0 if well else 4)

        assert in_child(write) == 0
        assert reopened(path) == [0, 1, 2, 3, 4, 5]

    def test_from_its_beginning_without_room(self, path: Path) -> None:
        """The promise holds through a restart also after a disk was full for a while."""

        def write() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            log = opened(path)
            spend(log, 1, 2)
            if log.on_disk or path.exists():
                os._exit(1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            spend(log, 3)
            os._exit(0)

        assert in_child(write) == 0
        assert reopened(path) == [1, 2, 3]

    @pytest.mark.parametrize("replaced", [False, True])
    def test_a_directory_that_is_removed_in_use(
        self, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, replaced: bool
    ) -> None:
        """What this process knows still counts, and no more, however its file cannot be reached."""
        state = tmp_path / "state"
        state.mkdir()
        log = opened(state / path.name)
        spend(log, 0)
        shutil.rmtree(state)
        if replaced:
            state.touch()
        spend(log, 1, 2)
        assert not log.on_disk
        assert calls_of(log) == [0, 1, 2]
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        if replaced:
            state.unlink()
        state.mkdir()
        spend(log, 3)
        assert log.on_disk
        assert calls_of(log) == reopened(state / path.name) == [0, 1, 2, 3]
        log.close()

    def test_a_place_that_does_not_exist_is_said_so(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="cannot be opened"):
            opened(tmp_path / "nowhere" / "default.calls")

    def test_memory_is_no_place_on_disk(self) -> None:
        assert MemorySpendingLog().on_disk is None
