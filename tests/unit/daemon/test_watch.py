"""The pollers of all clusters, as the daemon starts and stops them."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.config import Config, parse_config
from exporter.daemon import watch
from exporter.daemon.watch import Watch
from exporter.ledger.directory import StateDirectory
from exporter.ledger.store import Ledger
from exporter.redaction import Redactor
from tests.waiting import PATIENCE_SECONDS, until

CLUSTERS = 8


class Slow(StateDirectory):
    """Opens no ledger before it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.opened: list[str] = []

    def _ledger(self, identity: Any, *more: Any) -> Ledger:
        self.opened.append(identity.name)
        self.entered.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        return super()._ledger(identity, *more)


def many(directory: Path) -> Config:
    clusters = "".join(f"- {{cluster_id: c{number}, zone: z}}\n" for number in range(CLUSTERS))
    account = "access_key_id: i, secret_access_key: s, endpoint: 'https://a.example.com'"
    return parse_config(f"accounts: [{{{account}}}]\nclusters:\n{clusters}", {}, directory)


@contextlib.contextmanager
def slow(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Slow, Watch]]:
    """Pollers that wait for their ledgers; after the block they are told to stop, only then to go on, and
    have ended."""
    state, others = Slow(directory), set(threading.enumerate())
    pollers = Watch(state, Redactor())
    try:
        yield state, pollers
    finally:
        monkeypatch.setattr(watch, "STOP_SECONDS", 0.0)
        pollers.stop()
        state.go_on.set()
        until(lambda: set(threading.enumerate()) <= others, "the pollers' end")


def test_ledgers_are_opened_one_at_a_time_and_none_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hundred at once took minutes; one after the other, that is seconds."""
    with slow(tmp_path, monkeypatch) as (state, pollers):
        pollers.apply(many(tmp_path))
        assert state.entered.wait(PATIENCE_SECONDS)
    assert len(state.opened) == 1


def test_to_start_renders_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal is heeded once all have begun: to render each, and what others publish meanwhile, took a minute."""
    published: list[int] = []
    with slow(tmp_path, monkeypatch) as (_, pollers):
        pollers.on_publish = lambda: published.append(len(pollers.board.current()))
        pollers.apply(many(tmp_path))
        assert published == [CLUSTERS]


def test_a_cluster_with_other_settings_goes_on_with_its_log(tmp_path: Path) -> None:
    def config(more: str) -> Config:
        account = "access_key_id: i, secret_access_key: s, endpoint: 'http://127.0.0.1:1'"
        clusters = f"[{{cluster_id: c, zone: z{more}}}, {{cluster_id: d, zone: z}}]"
        return parse_config(f"accounts: [{{{account}}}]\nclusters: {clusters}", {}, tmp_path)

    pollers = Watch(StateDirectory(tmp_path), Redactor())
    pollers.apply(config(""))
    logs = dict(pollers.logs)
    pollers.apply(config(", interval: 5m"))
    assert {each.name: pollers.logs[each] is logs[each] for each in logs} == {"c": True, "d": True}
    pollers.apply(config(", name: e"))
    assert {each.name: pollers.logs[each] in logs.values() for each in pollers.logs} == {
        "e": False, "d": True,
    }  # fmt: skip
    pollers.stop()


def test_what_goes_on_is_found_by_looking_at_each_cluster_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compare each of a thousand clusters with every other took two seconds at each reload."""
    looked, look = [], watch._for_sync
    with slow(tmp_path, monkeypatch) as (_, pollers):
        pollers.apply(many(tmp_path))
        monkeypatch.setattr(watch, "_for_sync", lambda each: looked.append(each) or look(each))
        pollers.apply(many(tmp_path))
        assert len(looked) == 2 * CLUSTERS
