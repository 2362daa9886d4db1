"""An account's calls on disk: what a kill, a full disk or another process does to them."""

import os
import resource
import signal
from pathlib import Path

import pytest

from exporter.errors import StateError
from exporter.ledger import spending
from exporter.ledger.spending import FileSpendingLog, MemorySpendingLog
from exporter.model import Pause
from tests.unit.ledger.test_store import in_child

AT = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.calls"


def spend(log: MemorySpendingLog, *moments: float) -> None:
    for at in moments:
        with log.locked():
            log.not_after(at)
            log.add_call(at)


def calls_of(log: MemorySpendingLog) -> list[float]:
    with log.locked():
        return log.calls_since(0.0)


def reopened(path: Path) -> list[float]:
    log = FileSpendingLog(path, 25_000)
    try:
        return log.calls_since(float("-inf"))
    finally:
        log.close()


def test_calls_since_a_moment_include_that_moment() -> None:
    log = MemorySpendingLog()
    spend(log, AT, AT + 1, AT + 1, AT + 2)
    assert log.calls_since(AT + 1) == [AT + 1, AT + 1, AT + 2]
    assert log.calls_since(AT + 2.5) == []


def test_calls_survive_a_kill(path: Path) -> None:
    def die() -> None:
        log = FileSpendingLog(path)
        spend(log, AT, AT + 1.25, AT + 2)
        with log.locked():
            log.set_pause(Pause(AT + 300, 1))
        with log.locked():
            log.add_call(AT + 3)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(die) == -signal.SIGKILL
    log = FileSpendingLog(path)
    assert calls_of(log) == [AT, AT + 1.25, AT + 2, AT + 3]
    assert log.pause() == Pause(AT + 300, 1)
    log.close()


def test_a_killed_process_does_not_keep_the_lock(path: Path) -> None:
    def die() -> None:
        log = FileSpendingLog(path)
        with log.locked():
            os._exit(0)

    assert in_child(die) == 0
    log = FileSpendingLog(path)
    spend(log, AT)
    log.close()


def test_two_logs_of_one_file_see_each_other(path: Path) -> None:
    one, other = FileSpendingLog(path), FileSpendingLog(path)
    spend(one, AT)
    spend(other, AT + 1)
    spend(one, AT + 2)
    assert calls_of(one) == calls_of(other) == [AT, AT + 1, AT + 2]
    with other.locked():
        other.set_pause(Pause(AT + 300, 2))
    with one.locked():
        assert one.pause() == Pause(AT + 300, 2)
    one.close()
    other.close()


def test_writing_anew_keeps_what_matters_and_the_other_follows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "LEAST_KEPT_CALLS", 10)
    one, other = FileSpendingLog(path), FileSpendingLog(path)
    with one.locked():
        one.set_pause(Pause(AT, 1))
        one.set_pause(Pause(AT + 5, 2))
    for number in range(50):
        spend((one, other)[number % 2], AT + number)
        newest_of_one, newest_of_other = calls_of(one)[-10:], calls_of(other)[-10:]
        assert newest_of_one == newest_of_other
        assert newest_of_one[-1] == AT + number
    assert len(path.read_text().splitlines()) <= 22
    assert not path.with_suffix(".new").exists()
    assert reopened(path)[-10:] == [AT + number for number in range(40, 50)]
    with other.locked():
        assert other.pause() == Pause(AT + 5, 2)
    one.close()
    other.close()


@pytest.mark.parametrize("in_memory", [True, False])
def test_as_many_calls_are_kept_as_a_big_quota_allows(path: Path, in_memory: bool) -> None:
    """50,000 requests a day with a share of a half: none of 25,000 calls may be forgotten."""
    log = MemorySpendingLog(25_000) if in_memory else FileSpendingLog(path, 25_000)
    for number in range(25_000):
        log.add_call(AT + number * 0.01)
    with log.locked():
        pass  # the moment at which a long file is written anew
    assert len(log.calls_since(AT)) == 25_000
    if isinstance(log, FileSpendingLog):
        log.close()
        assert len(reopened(path)) == 25_000


@pytest.mark.parametrize(
    "half", ["17000", "1700000001.25", "pau", "pause 17", "pause 1700000500.0 "]
)
def test_after_half_a_line_the_next_ones_count(path: Path, half: str) -> None:
    """A power cut, or a disk that was full for a moment."""
    path.write_text(f"{AT:.6f}\n{half}")
    log = FileSpendingLog(path)
    spend(log, AT + 2, AT + 3)
    assert calls_of(log)[-2:] == [AT + 2, AT + 3]
    log.close()
    calls = reopened(path)
    assert calls[0] == AT
    assert calls[-2:] == [AT + 2, AT + 3]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "x",
        "1 2",
        "pause a b",
        "pause 1 2 3",
        "\0\0\0\0",
        "ü",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e300",
        "-1700000000",
        "pause nan 1",
        "pause inf 1",
        "9" * 400,
    ],
)
def test_a_line_that_is_none_is_passed_over(path: Path, line: str) -> None:
    path.write_text(f"{AT:.6f}\n{line}\n{AT + 1:.6f}\n")
    log = FileSpendingLog(path)
    with log.locked():
        log.not_after(AT + 1)
        assert log.calls_since(AT - 3600) == [AT, AT + 1]
        assert log.pause() == Pause()
    log.close()


class TestClockSetBack:
    @pytest.mark.parametrize("back_seconds", [2.0, 3600.0, 5e8])
    def test_calls_move_with_it(self, path: Path, back_seconds: float) -> None:
        """They were made so long ago as they were, whatever the clock says."""
        log = FileSpendingLog(path)
        spend(log, AT, AT + 10, AT + 60)
        now_at = AT + 60 - back_seconds
        with log.locked():
            log.not_after(now_at)
            assert log.calls_since(now_at - 61) == pytest.approx([now_at - 60, now_at - 50, now_at])
        log.close()
        assert reopened(path) == pytest.approx([now_at - 60, now_at - 50, now_at], abs=1e-5)

    def test_other_processes_follow(self, path: Path) -> None:
        one, other = FileSpendingLog(path), FileSpendingLog(path)
        spend(one, AT, AT + 60)
        assert calls_of(other) == [AT, AT + 60]
        with one.locked():
            one.not_after(AT - 1000)
        assert calls_of(other) == [AT - 1060, AT - 1000]
        one.close()
        other.close()

    def test_a_little_is_no_matter(self, path: Path) -> None:
        log = FileSpendingLog(path)
        spend(log, AT, AT - 0.5)
        assert calls_of(log) == [AT, AT]
        log.close()


def test_a_disk_without_room_is_complained_of_and_counted_in_memory(path: Path) -> None:
    def write() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = FileSpendingLog(path)
        spend(log, AT)
        if log.complaint is not None:
            os._exit(1)
        soft = path.stat().st_size + 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))
        spend(log, AT + 1, AT + 2)
        if log.complaint is None or str(path) not in log.complaint:
            os._exit(2)
        if calls_of(log) != [AT, AT + 1, AT + 2]:
            os._exit(3)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        spend(log, AT + 3, AT + 4)
        os._exit(0 if log.complaint is None else 4)

    assert in_child(write) == 0
    assert reopened(path)[-2:] == [AT + 3, AT + 4]
    assert all(AT <= at <= AT + 4 for at in reopened(path))


def test_what_was_counted_only_in_memory_reaches_the_disk_later(path: Path) -> None:
    """The promise holds through a restart also after a disk was full for a while."""

    def write() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = FileSpendingLog(path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        spend(log, AT + 1, AT + 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        spend(log, AT + 3)
        os._exit(0)

    assert in_child(write) == 0
    assert reopened(path) == [AT + 1, AT + 2, AT + 3]


def test_a_place_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be opened"):
        FileSpendingLog(tmp_path / "nowhere" / "default.calls")


def test_a_file_that_vanished_is_begun_anew(path: Path) -> None:
    """Somebody tidied up: what this process knows still counts."""
    log = FileSpendingLog(path)
    spend(log, AT, AT + 1)
    path.unlink()
    spend(log, AT + 2)
    assert calls_of(log) == [AT, AT + 1, AT + 2]
    log.close()
