"""The state directory: one user at a time, and what becomes of a file that cannot be used."""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from exporter.clock import Instant, SystemClock
from exporter.errors import LedgerUnwritable, StateError, Stopped
from exporter.ledger.connection import write_about
from exporter.ledger.directory import StateDirectory
from exporter.ledger.spending import FileSpendingLog
from exporter.ledger.state_files import set_aside
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import ClusterIdentity
from tests.unit.ledger.made import in_child, run_of, without_descriptors, write_some_of_everything
from tests.unit.manual_clock import ManualClock
from tests.waiting import PATIENCE_SECONDS

ENDPOINT = "https://hpc.api.qingcloud.com"
IDENTITY = ClusterIdentity("cfd", "ehpc-1", "jn1a", "default")
NOW_AT = 1_700_000_123.9
NOW = Instant(NOW_AT, 1000.0)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    (tmp_path / "state").mkdir()
    return StateDirectory(tmp_path / "state")


def filled(state: StateDirectory, jobs: int = 0) -> Path:
    """A ledger with something of everything; gives its file."""
    ledger = opened(state)
    with ledger.transaction():
        write_some_of_everything(ledger)
        ledger.apply(run_of(jobs, first=100))
    ledger.close()
    return state.ledger_path(IDENTITY, ENDPOINT)


def opened(state: StateDirectory, now_at: float = NOW_AT) -> Ledger:
    return state.ledger(IDENTITY, ENDPOINT, ManualClock(now_at))


def works(ledger: Ledger, size: int) -> bool:
    """Whether it has so many jobs, and takes in more."""
    was = ledger.size
    with ledger.transaction():
        ledger.apply(run_of(3, first=10_000_000))
    return was == size and ledger.size == size + 3


def names(state: StateDirectory) -> set[str]:
    assert state.path is not None
    return {path.name for path in state.path.iterdir()}


class TestBadFiles:
    def test_a_good_one_is_kept(self, state: StateDirectory) -> None:
        filled(state)
        ledger = opened(state)
        assert ledger.size == 2
        assert ledger.progress.complete
        assert not ledger.in_memory
        ledger.close()

    def _overwrite(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def _truncate(self, path: Path) -> None:
        os.truncate(path, path.stat().st_size // 2)

    def _zero_the_middle(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(bytes(path.stat().st_size - 8192))

    def _foreign(self, path: Path) -> None:
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.close()

    def _pragma(self, path: Path, statement: str) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(statement)
        connection.close()

    def _note(self, path: Path, key: str, value: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            write_about(connection, key, value)

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda self, path: self._overwrite(path, b"no database at all" * 1000), "cannot be read"),
            (lambda self, path: self._overwrite(path, os.urandom(20000)), "cannot be read"),
            (lambda self, path: self._truncate(path), ""),
            (lambda self, path: self._zero_the_middle(path), ""),
            (lambda self, path: self._foreign(path), "not a ledger"),
            (lambda self, path: self._pragma(path, "PRAGMA user_version = 99"), "version 99"),
            (lambda self, path: self._pragma(path, "PRAGMA user_version = 1"), "version 1"),
            (lambda self, path: self._pragma(path, "PRAGMA application_id = 7"), "not a ledger"),
            (lambda self, path: self._pragma(path, "DROP TABLE counters"), ""),
            (lambda self, path: self._pragma(path, "DROP TABLE about"), ""),
            (
                lambda self, path: self._note(path, "identity", "elsewhere"),
                "another cluster",
            ),
            (
                lambda self, path: self._note(path, "progress", '{"began_at": []}'),
                "progress",
            ),
            (
                lambda self, path: self._pragma(path, "UPDATE about SET value = value || ' '"),
                "a row of it is damaged",
            ),
            (
                lambda self, path: self._pragma(path, "DELETE FROM jobs WHERE rowid = 7"),
                "do not belong together",
            ),
            (
                lambda self, path: self._pragma(path, "DELETE FROM counters"),
                "do not belong together",
            ),
            (lambda self, path: self._pragma(path, "DELETE FROM about WHERE key = 'proofs'"), ""),
            (lambda self, path: path.write_bytes(b""), "it is empty"),
            (lambda self, path: path.unlink(), "its file is gone"),
        ],
        ids=[
            "text", "noise", "cut", "holes", "foreign", "newer", "older", "other-program",
            "table-missing", "about-missing", "other-cluster", "progress",
            "note", "row-missing", "counters-missing", "proofs-missing", "empty", "gone",
        ],
    )  # fmt: skip
    def test_one_is_set_aside_and_begun_anew(
        self,
        state: StateDirectory,
        caplog: pytest.LogCaptureFixture,
        spoil: Callable[[object, Path], None],
        said: str,
    ) -> None:
        path = filled(state, jobs=1000)
        spoil(self, path)
        spoiled = path.read_bytes() if path.exists() else None
        ledger = opened(state)
        assert not ledger.in_memory
        assert works(ledger, 0)
        ledger.close()
        aside = path.with_name(f"{path.name}.set-aside-{int(NOW_AT)}")
        if spoiled is not None:
            assert aside.read_bytes()[100:] == spoiled[100:]
        assert aside.with_name(f"{aside.name}.published").exists()
        (warning,) = caplog.records
        assert warning.levelname == "WARNING"
        assert said in warning.__dict__["reason"]
        assert "its counters begin anew" in warning.__dict__["advice"]
        assert warning.__dict__["file"] == str(aside)
        again = opened(state)
        assert again.size == 3
        again.close()

    def test_all_its_parts_are_set_aside(self, state: StateDirectory) -> None:
        """A log that is left behind would be played into the new file."""
        path = filled(state)
        for part in ("-wal", "-shm"):
            path.with_name(path.name + part).write_bytes(part.encode())
        aside = set_aside(path, NOW_AT)
        parts = ("", "-wal", "-shm", ".published")
        assert names(state) == {f"{aside.name}{part}" for part in parts}
        assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"-wal"

    def test_a_log_that_was_left_behind_is_not_played(self, state: StateDirectory) -> None:
        path = filled(state)
        path.write_bytes(b"no database at all" * 1000)
        for part in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + part).write_bytes(b"left behind" * 1000)
        ledger = opened(state)
        assert works(ledger, 0)
        ledger.close()

    def test_what_was_set_aside_before_is_not_lost(self, state: StateDirectory) -> None:
        path = filled(state)
        for text in (b"first" * 1000, b"second" * 1000):
            path.write_bytes(text)
            opened(state).close()
        kept = {
            other.read_bytes()[:5]
            for other in path.parent.iterdir()
            if other.name.rpartition("set-aside-")[2].replace("-again", "").isdigit()
        }
        assert kept == {b"first", b"secon"}

    def test_one_that_cannot_be_set_aside_is_left_and_memory_is_used(
        self, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = filled(state)
        path.write_bytes(b"no database at all" * 1000)

        def refuse(self: Path, target: Path) -> Path:
            raise PermissionError(30, "Read-only file system")

        monkeypatch.setattr(Path, "rename", refuse)
        ledger = opened(state)
        assert ledger.in_memory
        assert works(ledger, 0)
        ledger.close()

    @pytest.mark.parametrize("published", [True, False])
    def test_one_that_cannot_be_opened_is_not_begun_anew(
        self, state: StateDirectory, published: bool
    ) -> None:
        """As with too few descriptors, or if it belongs to another user: later it would have been written over."""
        path = filled(state, jobs=1000)
        if not published:
            path.with_name(f"{path.name}.published").unlink()
        before = names(state)

        def start() -> None:
            without_descriptors()
            with pytest.raises(LedgerUnwritable, match=f"{path.name}.* open"):
                opened(state)

        assert in_child(start) == 0
        assert names(state) == before
        ledger = opened(state)
        assert works(ledger, 1002)
        ledger.close()

    def test_a_directory_in_its_place_means_memory(
        self, state: StateDirectory, caplog: pytest.LogCaptureFixture
    ) -> None:
        state.ledger_path(IDENTITY, ENDPOINT).mkdir()
        ledger = opened(state)
        assert ledger.in_memory
        assert works(ledger, 0)
        ledger.close()
        assert "ERROR" in {record.levelname for record in caplog.records}

    def test_a_file_that_cannot_be_laid_out_is_not_left(
        self, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on a full disk: the next start would take an empty one for a loss."""

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr("exporter.ledger.schema.create", full)
        with pytest.raises(StateError):
            open_ledger(state.ledger_path(IDENTITY, ENDPOINT), "x")
        assert names(state) == set()


class TestOneUser:
    def test_a_second_is_refused(self, tmp_path: Path) -> None:
        one, other = StateDirectory(tmp_path / "state"), StateDirectory(tmp_path / "state")
        one.acquire()
        with pytest.raises(StateError, match="in use by another"):
            other.acquire()
        one.release()
        other.acquire()
        other.release()
        other.release()

    def test_also_from_another_process(self, tmp_path: Path) -> None:
        state = StateDirectory(tmp_path / "state")
        state.acquire()

        def try_it() -> None:
            try:
                StateDirectory(tmp_path / "state").acquire()
            except StateError:
                os._exit(3)
            os._exit(0)

        assert in_child(try_it) == 3
        state.release()
        assert in_child(try_it) == 0
        state.acquire()  # the lock of a process that ended is free
        state.release()

    def test_a_place_that_cannot_be_made_is_said_so(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StateError, match=r"state\.path: .*cannot be used"):
            StateDirectory(tmp_path / "file" / "state").acquire()

    def test_calls_are_shared_beside_it(self, tmp_path: Path) -> None:
        """Two shards on one account have directories of their own, or none; never two on one."""
        one, other = StateDirectory(tmp_path), StateDirectory(tmp_path)
        logs = [each.spending("default", NOW, 10) for each in (one, other)]
        with logs[0].locked(NOW):
            logs[0].add_call(NOW.seconds)
        with logs[1].locked(NOW):
            assert logs[1].calls_since(0) == pytest.approx([NOW.seconds])
        for log in logs:
            assert isinstance(log, FileSpendingLog)
            log.close()


class TestNames:
    def test_the_file_is_the_clusters_not_the_names(self, state: StateDirectory) -> None:
        renamed = ClusterIdentity("another name", "ehpc-1", "jn1a", "default")
        assert state.ledger_path(renamed, ENDPOINT) == state.ledger_path(IDENTITY, ENDPOINT)

    def test_other_clusters_have_other_files(self, state: StateDirectory) -> None:
        paths = {
            state.ledger_path(ClusterIdentity("x", cluster_id, zone, "default"), endpoint)
            for cluster_id in (
                "ehpc-1",
                "ehpc/1",
                "ehpc_1",
                "..",
                ".",
                "../../etc/passwd",
                "集群",
                "A",
                "a" * 300,
            )
            for zone in ("jn1a", "jn1b")
            for endpoint in (ENDPOINT, "https://hpc.api.shanhe.com")
        }
        assert len(paths) == 36
        assert {path.parent for path in paths} == {state.path}
        assert all(not path.name.startswith(".") and len(path.name) < 200 for path in paths)

    def test_hostile_names_of_accounts_stay_inside(self, state: StateDirectory) -> None:
        for account in ("default", "../x", "..", "a/b", "a b", "账户", "x" * 300, "lock"):
            log = state.spending(account, NOW, 10)
            assert isinstance(log, FileSpendingLog)
            log.close()
        assert len([name for name in names(state) if name.endswith(".calls")]) == 8

    def test_nothing_is_written_where_nothing_is_kept(self) -> None:
        state = StateDirectory(None)
        state.acquire()
        ledger = opened(state)
        assert ledger.in_memory
        assert works(ledger, 0)
        ledger.close()
        assert not isinstance(state.spending("default", NOW, 10), FileSpendingLog)
        state.release()


def test_a_ledger_comes_back_from_memory(state: StateDirectory) -> None:
    path = filled(state)
    on_disk = opened(state)
    in_memory = on_disk.copied_to(None)
    on_disk.close()
    with in_memory.transaction():
        in_memory.apply(run_of(50))
    back = state.moved(in_memory, IDENTITY, ENDPOINT, ManualClock(NOW_AT))
    assert not back.in_memory
    assert works(back, 50)
    back.close()
    in_memory.close()
    again = open_ledger(path, f"{ENDPOINT} jn1a ehpc-1")
    assert again.size == 53
    again.close()


Way = Callable[[StateDirectory, Ledger, SystemClock], Ledger]
WAYS: dict[str, Way] = {
    "opened": lambda state, _, clock: state.ledger(IDENTITY, ENDPOINT, clock),
    "moved": lambda state, ledger, clock: state.moved(ledger, IDENTITY, ENDPOINT, clock),
}


@pytest.mark.parametrize(
    ("way", "in_memory"), [("opened", False), ("moved", False), ("moved", True)]
)
def test_ledgers_are_opened_one_at_a_time_and_none_after_a_stop(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, way: str, in_memory: bool
) -> None:
    """Hundreds of threads that read rows at once take twenty times as long: at a start, and also after a disk
    was full."""
    filled(state, 50)
    old = opened(state)
    if in_memory:
        old.close()
        old = open_ledger(None, f"{ENDPOINT} jn1a ehpc-1")
    begun, go_on, begin, met = threading.Event(), threading.Event(), Ledger.__init__, []

    def wait_for_word(ledger: Ledger, *more: Any) -> None:
        met.append(ledger)
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        begin(ledger, *more)

    monkeypatch.setattr(Ledger, "__init__", wait_for_word)
    first, second = SystemClock(), SystemClock()
    with ThreadPoolExecutor() as threads:
        open_first = threads.submit(WAYS[way], state, old, first)
        assert begun.wait(PATIENCE_SECONDS)
        open_second = threads.submit(WAYS[way], state, old, second)
        second.stop()
        go_on.set()
        open_first.result().close()
        with pytest.raises(Stopped):
            open_second.result()
    assert len(met) == 1
    old.close()


def test_a_ledger_comes_back_over_a_damaged_file(state: StateDirectory) -> None:
    """The disk that had no room may have spoiled what stood there."""
    path = filled(state)
    in_memory = open_ledger(None, f"{ENDPOINT} jn1a ehpc-1")
    with in_memory.transaction():
        in_memory.apply(run_of(50))
    path.write_bytes(b"no database at all" * 1000)
    with suppress(StateError):  # else it stays in memory, and is still whole
        state.moved(in_memory, IDENTITY, ENDPOINT, ManualClock(NOW_AT)).close()
    assert works(in_memory, 50)
    in_memory.close()


def test_a_file_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path, _: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "lock").touch()
    monkeypatch.setattr("exporter.ledger.directory.open_private", denied)
    with pytest.raises(StateError) as refused:
        StateDirectory(tmp_path).acquire()
    said = (
        f"state.path: {tmp_path}/lock: cannot be used: Permission denied; let the exporter's user"
    )
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize("name", ["file", "file/below", "loop"])
def test_a_path_that_leads_to_no_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StateError, match="it leads to something that is no directory; "):
        StateDirectory(tmp_path / name).acquire()
