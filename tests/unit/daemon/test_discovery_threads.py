"""The threads that look for clusters: what they keep, what they say, when they begin anew."""

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from exporter.api.lists import ZoneLists
from exporter.config import Config, Shard
from exporter.daemon.discovery import Finder, Finders
from exporter.daemon.sightings import Sighting
from exporter.errors import RefusedError
from exporter.model import ListedCluster
from tests.unit.daemon.zones import ZONE, config, listed
from tests.unit.manual_clock import ManualClock
from tests.waiting import PATIENCE_SECONDS, until

REFUSED = RefusedError(1400, "denied", "refused", retryable=False, advice="Look.")


class Later(ManualClock):
    """Whenever it is asked, an hour has passed: no answer is too new to ask again."""

    def monotonic_seconds(self) -> float:
        self.advance(3600)
        return self.monotonic


class Ended(ManualClock):
    """Of a thread that has ended already."""

    def stop(self) -> None: ...


class Client:
    """Lists what it is told to, or fails."""

    def __init__(self) -> None:
        self.zones: dict[str, Any] = {ZONE: listed("ehpc-1"), "jn1a": ()}

    def list_clusters(self, zone: str) -> tuple[ListedCluster, ...]:
        answer = self.zones[zone]
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)


def account(client: Client, **discovery: Any) -> Any:
    (wanted,) = config(discovery).accounts
    return with_lists(wanted, client, Later(0.0))


def with_lists(wanted: Any, client: Client, clock: ManualClock) -> Any:
    lists = ZoneLists(client.list_clusters, clock)
    return SimpleNamespace(config=wanted, client=client, lists=lists)


def gone(
    finders: Finders, known: Config | None = None, shard: Shard | None = None
) -> list[Sighting]:
    return list(finders.gone(known or config(), shard or Shard()))


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def finder(client: Client) -> Finder:
    one = account(client)
    changes: list[int] = []
    made = Finder(one, one.config.discovery, lambda: changes.append(1))
    made.changes = changes  # type: ignore[attr-defined]
    return made


def test_what_changes_is_told_and_nothing_else(finder: Finder, client: Client) -> None:
    changes = finder.changes  # type: ignore[attr-defined]
    assert not finder.ready
    assert finder.look()
    assert finder.found == {ZONE: listed("ehpc-1"), "jn1a": ()}
    assert (finder.ready, len(changes)) == (True, 1)
    assert finder.look()
    assert len(changes) == 1
    counted = [each._replace(jobs={"pending": 3}, core_hours=5.0) for each in listed("ehpc-1")]
    client.zones[ZONE] = tuple(counted)
    assert finder.look()
    assert len(changes) == 1
    client.zones["jn1a"] = listed("hpc-2")
    assert finder.look()
    assert len(changes) == 2
    client.zones[ZONE] = listed("ehpc-1", status="stopped")
    assert finder.look()
    assert len(changes) == 3


def test_what_a_zone_has_is_there_as_soon_as_it_is_listed(client: Client) -> None:
    """Others look at any moment, to tell whether the program is ready."""
    there: list[bool] = []

    class Observed(Finder):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "listed":
                there.append(set(value) <= set(self.found))

    one = account(client)
    assert Observed(one, one.config.discovery, lambda: None).look()
    assert there == [True] * 3  # none, one zone, both


def test_a_zone_that_cannot_be_listed_keeps_what_was_found(
    finder: Finder, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    finder.look()
    client.zones = {ZONE: REFUSED, "jn1a": listed("hpc-2")}
    assert not finder.look()
    assert finder.found == {ZONE: listed("ehpc-1"), "jn1a": listed("hpc-2")}
    assert not finder.look()
    told = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [(each.__dict__["zone"], each.__dict__["reason"]) for each in told] == [(ZONE, "denied")]
    client.zones[ZONE] = ()
    assert finder.look()
    client.zones[ZONE] = REFUSED
    assert not finder.look()
    assert len(caplog.records) == 2


def test_one_listing_counts_once_though_another_zone_is_tried_again(client: Client) -> None:
    clock = ManualClock(0.0)
    one = with_lists(config({}).accounts[0], client, clock)
    finder = Finder(one, one.config.discovery, lambda: None)
    finder.look()
    clock.advance(600)
    client.zones = {ZONE: (), "jn1a": REFUSED}
    assert not finder.look()
    clock.advance(30)
    assert not finder.look()  # the list of the zone is recent enough to be taken again
    assert finder.found[ZONE] == listed("ehpc-1")
    clock.advance(60)
    assert not finder.look()
    assert finder.found[ZONE] == ()


class Sleeps(ManualClock):
    """Notes who calls at which moment of the third hour, and ends then."""

    def __init__(self, client: Client) -> None:
        super().__init__(0.0)
        self.client = client
        self.calls: list[float] = []

    def list_clusters(self, zone: str) -> tuple[ListedCluster, ...]:
        if zone == ZONE:
            self.calls.append(self.now)
        return self.client.list_clusters(zone)

    def sleep(self, seconds: float) -> bool:
        super().sleep(seconds)
        return self.now >= 3 * 3600


def test_where_a_cluster_is_missing_the_next_look_is_soon(client: Client) -> None:
    """Until it has left, it cannot be synced, which is a critical alert after ten minutes."""
    clock = Sleeps(client)
    one = with_lists(config({}).accounts[0], clock, clock)  # type: ignore[arg-type]
    finder = Finder(one, one.config.discovery, lambda: None)
    finder._clock = clock  # type: ignore[assignment]
    finder.look()
    client.zones[ZONE] = ()
    finder._run()
    assert finder.found[ZONE] == ()
    first, *more = clock.calls[1:4]
    assert [call - first for call in more] == [90, 690]


def test_what_is_gone_is_told_for_as_long_as_its_ledger_is_kept(
    finders: Finders, client: Client
) -> None:
    client.zones[ZONE] = listed("ehpc-1", "ehpc-2")
    finders.apply({"default": account(client)})
    until(lambda: not finders.waiting(for_all=True), "both zones to be listed")
    (finder,) = finders._running.values()
    finder.stop()
    assert finder.join(PATIENCE_SECONDS)
    clock = finder._clock = Ended(0.0)  # type: ignore[assignment]
    client.zones = {ZONE: listed("ehpc-2"), "jn1a": REFUSED}
    finder.look()
    assert (gone(finders), finders.failures()) == (
        [],
        {("default", "jn1a"): "denied"},
    )
    finder.look()
    client.zones["jn1a"] = ()
    finder.look()
    assert gone(finders) == [Sighting("default", ZONE, "gone", "ehpc-1")]
    of_the_configuration = config(None, {"name": "one", "cluster_id": "ehpc-1", "zone": ZONE})
    assert gone(finders, of_the_configuration) == []
    assert finders.failures() == {}
    client.zones[ZONE] = listed("ehpc-1", "ehpc-2")
    finder.look()
    assert gone(finders) == []
    client.zones[ZONE] = ()
    for _ in range(2):
        finder.look()
    assert [each.name for each in gone(finders)] == ["ehpc-1", "ehpc-2"]
    finder.discovery = replace(finder.discovery, exclude=(re.compile("ehpc-1"),))
    assert [each.name for each in gone(finders)] == ["ehpc-2"]
    clock.advance(8 * 86400)
    finder.look()
    assert gone(finders) == []


def test_what_is_gone_is_told_by_the_shard_that_watched_it(
    finders: Finders, client: Client
) -> None:
    ids = [f"ehpc-{number}" for number in range(8)]
    client.zones[ZONE] = listed(*ids)
    one = account(client)
    finders.apply({"default": one})
    until(lambda: not finders.waiting(for_all=True), "both zones to be listed")
    (finder,) = finders._running.values()
    finder.stop()
    assert finder.join(PATIENCE_SECONDS)
    finder._clock = Ended(0.0)  # type: ignore[assignment]
    client.zones[ZONE] = ()
    for _ in range(2):
        finder.look()
    first, second = (
        {each.name for each in gone(finders, shard=Shard(number, 2))} for number in range(2)
    )
    assert first
    assert second
    assert sorted((*first, *second)) == ids


def test_not_ready_while_a_zone_has_never_been_listed(finder: Finder, client: Client) -> None:
    client.zones["jn1a"] = REFUSED
    assert not finder.look()
    assert not finder.ready


def test_what_may_not_be_asked_is_asked_less_and_less(finder: Finder, client: Client) -> None:
    client.zones = {ZONE: REFUSED, "jn1a": ()}
    waits: list[float] = []

    class Clock:
        def sleep(self, seconds: float) -> bool:
            if seconds:
                waits.append(seconds)
            return len(waits) == 7

    finder._clock = Clock()  # type: ignore[assignment]
    finder._run()
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


@pytest.fixture
def finders() -> Iterator[Finders]:
    made = Finders(lambda: None, {})
    yield made
    for each in made.stop():
        each.join(PATIENCE_SECONDS)


def test_a_finder_goes_on_or_begins_anew_with_what_was_found(
    finders: Finders, client: Client
) -> None:
    one = account(client)
    finders.apply({"default": one})
    until(lambda: not finders.waiting(for_all=True), "both zones to be listed")
    assert finders.found() == {"default": {ZONE: listed("ehpc-1"), "jn1a": ()}}
    known = finders._running["default"]
    finders.apply({"default": one})
    assert finders._running["default"] is known
    client.zones = {ZONE: REFUSED, "jn1a": REFUSED}
    finders.apply({"default": account(client, zones=[ZONE, "new"])})
    assert finders._running["default"] is not known
    assert finders.found() == {"default": {ZONE: listed("ehpc-1")}}
    assert finders.waiting(for_all=True) == ["default"]
    assert known.join(PATIENCE_SECONDS)
    assert finders.health() is None


def test_an_account_without_a_discovery_has_no_finder(finders: Finders, client: Client) -> None:
    one = account(client)
    finders.apply({"default": one})
    bare = SimpleNamespace(config=replace(one.config, discovery=None), client=client)
    finders.apply({"default": bare})  # type: ignore[dict-item]
    assert (finders.found(), finders.waiting(for_all=True), finders.health()) == ({}, [], None)


def test_what_was_found_before_the_start_is_watched_until_it_is_listed_anew(client: Client) -> None:
    client.zones[ZONE] = REFUSED
    kept = {"default": {ZONE: listed("ehpc-1"), "gone": listed("ehpc-9")}}
    finders = Finders(lambda: None, kept)
    assert finders.found() == kept
    finders.apply({"default": account(client)})
    until(lambda: not finders.waiting(for_all=False), "both zones to be tried")
    assert finders.waiting(for_all=True) == ["default"]
    assert finders.found() == {"default": {ZONE: listed("ehpc-1"), "jn1a": ()}}
    assert not finders.ready
    for each in finders.stop():
        each.join(PATIENCE_SECONDS)
