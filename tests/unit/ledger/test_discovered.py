"""What is kept of found clusters: a restart knows them, and ledgers that nobody needs go."""

import os
from pathlib import Path

import pytest

from exporter import files
from exporter.ledger.discovered import (
    KEPT_SECONDS,
    Discovered,
    purge,
    read_discovered,
    write_discovered,
)
from exporter.model import ListedCluster

FOUND: Discovered = {
    "default": {"jn1a": (ListedCluster("ehpc-1", "cfd", "active", {}, "ehpc"),), "jn1b": ()}
}
NOW = 1_700_000_000.0


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert read_discovered(state) == {}
    write_discovered(state, FOUND)
    assert read_discovered(state) == FOUND
    assert (state / "found.json").stat().st_mode & 0o077 == 0
    write_discovered(state, {})
    assert read_discovered(state) == {}


def test_nothing_is_kept_in_memory() -> None:
    write_discovered(None, FOUND)
    assert read_discovered(None) == {}
    assert purge(None, (), NOW) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": {"z": [["id"]]}}', b"\xff"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "found.json").write_bytes(content)
    assert read_discovered(tmp_path) == {}


def test_a_pipe_in_its_place_does_not_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE_MILLISECONDS", 1)
    os.mkfifo(tmp_path / "found.json")
    assert read_discovered(tmp_path) == {}
    write_discovered(tmp_path, FOUND)
    assert read_discovered(tmp_path) == FOUND


def test_what_cannot_be_written_is_found_anew(tmp_path: Path) -> None:
    (tmp_path / "found.json.new").mkdir()
    write_discovered(tmp_path, FOUND)
    assert read_discovered(tmp_path) == {}


def test_only_ledgers_go_that_nobody_has_needed_for_a_week(tmp_path: Path) -> None:
    names = ("kept.ledger", "young.ledger", "old.ledger", "old.ledger-wal", "old.ledger.published",
             "busy.ledger", "busy.ledger-wal", "old.calls")  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
        fresh = name in ("young.ledger", "busy.ledger-wal")
        at = NOW - KEPT_SECONDS + (1 if fresh else -1)
        os.utime(tmp_path / name, (at, at))
    assert purge(tmp_path, [tmp_path / "kept.ledger"], NOW) == ["old.ledger"]
    gone = {name for name in names if name.startswith("old.ledger")}
    assert {each.name for each in tmp_path.iterdir()} == set(names) - gone
