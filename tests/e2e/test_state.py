"""A state directory in every bad condition: the counts are served, and the log says what is wrong."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.churn import Churn, populate
from tests.e2e.running import Exporter, World, config_of, run_command
from tests.waiting import until


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()


def foreign(path: Path) -> None:
    """A database of another program."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies (name TEXT)")
        connection.commit()


def of_another_cluster(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        changed = connection.execute("UPDATE about SET value = 'elsewhere' WHERE key = 'identity'")
        assert changed.rowcount == 1
        connection.commit()


def no_database(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 not what it was" * 100)


def torn(path: Path) -> None:
    """Its middle is lost."""
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 4)
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (
    newer, foreign, of_another_cluster, no_database, torn, cut, empty,
)  # fmt: skip


def test_state_files_that_cannot_be_used_are_set_aside(tmp_path: Path) -> None:
    names = [damage.__name__ for damage in DAMAGES]
    with World() as world:
        for number, name in enumerate(names):
            populate(world.add(name).jobs, 900, active=50, seed=number)
        truths = {name: world.truth(name) for name in names}
        exporter = Exporter(tmp_path, config_of(world.endpoint, names, state="state")).start()
        exporter.until_true(truths)
        exporter.stop()
        state = tmp_path / "state"
        files = {name: next(state.glob(f"{name}-*.ledger")) for name in names}
        for damage in DAMAGES:
            path = files[damage.__name__]
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
            damage(path)
        garble(state / "default.calls", seconds_ago=2 * 3600)
        with exporter.start():
            exporter.until_true(truths)
            for damage in DAMAGES:
                name = damage.__name__
                aside = list(state.glob(f"{name}-*.set-aside-*"))
                lines = exporter.log_lines("level=warn", "set aside", f"cluster={name} ")
                assert len(lines) == 1, name
                assert " reason=" in lines[0]
                assert len(aside) >= 1, name
                assert str(aside[0]) in lines[0] or any(str(x) in lines[0] for x in aside)
            # It can go on from the new files.
            exporter.stop()
        with exporter.start():
            exporter.until_true(truths)
            set_aside = exporter.log_lines("set aside")
            assert len(set_aside) == len(DAMAGES) + 1  # and the record of calls


def garble(calls: Path, seconds_ago: float) -> None:
    calls.write_bytes(b"\xff\xfe no log of calls\n1e999\npause x y\n\x00")
    os.utime(calls, (time.time(), time.time() - seconds_ago))


def test_a_record_of_calls_that_cannot_be_read_counts_as_full(tmp_path: Path) -> None:
    with World() as world:
        populate(world.add("c").jobs, 330, active=50)
        config = config_of(world.endpoint, ["c"], state="state", quota={"requests": 60})
        (tmp_path / "state").mkdir()
        garble(tmp_path / "state" / "default.calls", seconds_ago=60)
        for _ in range(2):  # a restart does not help
            with Exporter(tmp_path, config) as exporter:
                until(lambda: exporter.scrape().up("c") == 0, "a sync to fail")
                assert exporter.scrape().value("ehpc_api_quota_used") == 30
                assert exporter.scrape().value("ehpc_budget_on_disk") == 1
        assert not world.calls()
        assert len(list((tmp_path / "state").glob("default.calls.set-aside-*"))) == 1


@pytest.fixture
def small_disk(tmp_path: Path, require_tool: Callable[[str], str]) -> Iterator[Path]:
    """A file system of its own, of one megabyte, at ``state``."""
    require_tool("mount")
    place = tmp_path / "state"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not in every container")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def remount(place: Path, *options: str) -> None:
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(place)], check=True)


SOON = {"exporter.ledger.keeper.DISK_RETRY_SECONDS": 2.0}
"""How long it waits before it tries the disk again; else minutes."""


def test_a_full_disk_is_told_of_and_survived(tmp_path: Path, small_disk: Path) -> None:
    with World() as world:
        jobs = world.add("c").jobs
        populate(jobs, 700, active=50)
        config = config_of(world.endpoint, ["c"], state="state")
        with Exporter(tmp_path, config, constants=SOON) as exporter:
            exporter.until_true({"c": world.truth("c")})
            filler = small_disk / "filler"
            fill_up(filler)
            churn = Churn(jobs)
            with world.lock:
                churn.stir(60)
                populate(jobs, 2500, active=20)
            exporter.until_true({"c": world.truth("c")})
            until(lambda: exporter.log_lines("kept in memory"), "the complaint")
            with world.lock:
                churn.stir(20)
            exporter.until_true({"c": world.truth("c")})
            exporter.until_up("c")
            remount(small_disk, "size=50m")
            filler.unlink()
            until(lambda: exporter.log_lines("on disk again"), "the disk to be used again")
            exporter.until_true({"c": world.truth("c")})
            assert len(exporter.log_lines("kept in memory")) == 1
            calls = len(world.calls())
            exporter.stop()
        with exporter.start():
            exporter.until_true({"c": world.truth("c")})
            assert len(world.calls()) - calls < 10, "the file on the disk is up to date"


@pytest.mark.parametrize("known", [False, True], ids=["a new ledger", "a known ledger"])
def test_starting_on_a_full_disk(tmp_path: Path, small_disk: Path, *, known: bool) -> None:
    with World() as world:
        jobs = world.add("c").jobs
        populate(jobs, 330, active=50)
        exporter = Exporter(
            tmp_path, config_of(world.endpoint, ["c"], state="state"), constants=SOON
        )
        if known:
            exporter.start()
            exporter.until_true({"c": world.truth("c")})
            time.sleep(2)  # what happens in the second in which a ledger begins is not counted
            submit_three(world)
            until(lambda: exporter.scrape().sum("ehpc_jobs_submitted_total") == 3, "the count")
            exporter.stop()
            submit_three(world)
        fill_up(small_disk / "filler")
        with exporter.start():
            exporter.until_true({"c": world.truth("c")})
            exporter.until_up("c")
            assert len(exporter.log_lines("level=error", "ledger is kept in memory")) == 1
            assert exporter.scrape().value("ehpc_ledger_on_disk", cluster_name="c") == 0
            written = exporter.log_lines("level=error", "calls cannot be written down")
            assert len(written) == (0 if known else 1), "there was room for some more lines"
            assert exporter.scrape().value("ehpc_budget_on_disk", account="default") == known
            counted = 6 if known else 0
            assert exporter.scrape().sum("ehpc_jobs_submitted_total") == counted
            (small_disk / "filler").unlink()
            until(lambda: exporter.log_lines("on disk again"), "the disk again")
            # It is told of before the sync that publishes it, and the counts have not changed.
            until(
                lambda: exporter.scrape().value("ehpc_ledger_on_disk", cluster_name="c") == 1,
                "the disk on /metrics",
            )
            exporter.until_true({"c": world.truth("c")})
            until(lambda: exporter.scrape().value("ehpc_budget_on_disk") == 1, "calls on disk")
            exporter.stop()
        with exporter.start():
            exporter.until_true({"c": world.truth("c")})
            assert exporter.scrape().sum("ehpc_jobs_submitted_total") == counted


def submit_three(world: World) -> None:
    with world.lock:
        for _ in range(3):
            world.jobs("c").submit(time.time(), queue="q", user="u")


def fill_up(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_state_directory_that_is_deleted_meanwhile_costs_nothing_shown(tmp_path: Path) -> None:
    with World() as world:
        jobs = world.add("c").jobs
        populate(jobs, 330, active=50)
        config = config_of(world.endpoint, ["c"], state="state")
        with Exporter(tmp_path, config, constants=SOON) as exporter:
            exporter.until_true({"c": world.truth("c")})
            # Out of reach in one step: what is written meanwhile would be in the way of deleting it.
            shutil.rmtree((tmp_path / "state").rename(tmp_path / "deleted"))
            with world.lock:
                Churn(jobs).stir(60)
            exporter.until_true({"c": world.truth("c")})
            exporter.until_up("c")
            (line,) = exporter.log_lines("level=error", "ledger cannot be written")
            assert "its file is gone" in line
            assert exporter.log_lines("level=error", "calls cannot be written down")
            until(lambda: exporter.log_lines("on disk again"), "the state to be written anew")
            calls = len(world.calls())
            exporter.stop()
        with exporter.start():
            exporter.until_true({"c": world.truth("c")})
            assert len(world.calls()) - calls < 10, "the file on the disk is up to date"


def test_a_directory_that_cannot_be_written_stops_the_start(
    tmp_path: Path, small_disk: Path
) -> None:
    """Rather than lose every counter at each restart, unnoticed."""
    remount(small_disk, "ro")
    config = config_of("http://127.0.0.1:9", ["c"], state="state")
    exporter = Exporter(tmp_path, config)
    ended = run_command("serve", f"--config.file={exporter.config_path}")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"ehpc-exporter: state.path: {small_disk}: cannot be used: Read-only file system;"
        " let the exporter's user write there, or set state.path\n"
    )
