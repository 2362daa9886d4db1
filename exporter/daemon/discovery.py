"""The threads that discover clusters with cluster/list, and what they remember."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from exporter.api.lists import SHARED_SECONDS
from exporter.clock import Instant, Loop, SystemClock
from exporter.config import Config, DiscoveryConfig, Shard, shard_of
from exporter.daemon.accounts import Account, ListTrouble, open_account
from exporter.daemon.sightings import Sighting, called, with_found
from exporter.errors import ApiError, Stopped
from exporter.ledger.directory import StateDirectory
from exporter.ledger.discovered import KEPT_SECONDS, Discovered, read_discovered
from exporter.model import ListedCluster
from exporter.redaction import Redactor
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
"""After a failure, doubled after each that follows, up to the interval: until clusters have been found
there may be nothing to watch, and what may never be asked must not cost calls for ever. Also where a cluster is missing:
until it has left, it cannot be synced."""


def after_listing(
    before: Sequence[ListedCluster], now: Iterable[ListedCluster], missing: set[str]
) -> tuple[ListedCluster, ...]:
    """The clusters that a zone is taken to have after one more listing. Pure, but for ``missing``.

    One answer without a cluster may be wrong: it has left when it is missing twice. ``missing`` has the
    ids of those that are missing for the first time.
    """
    listed = {each.cluster_id: each for each in now}
    gone = [each for each in before if each.cluster_id not in listed]
    kept = [each for each in gone if each.cluster_id not in missing]
    missing.clear()
    missing.update(each.cluster_id for each in kept)
    return (*listed.values(), *kept)


class Gone(NamedTuple):
    """A cluster that is listed no more, and since when."""

    cluster: ListedCluster
    at: float


class Finder(Loop):
    """Looks for the clusters of one account, in a thread of its own."""

    def __init__(
        self,
        account: Account,
        discovery: DiscoveryConfig,
        on_found: Callable[[], None],
        kept: Mapping[str, tuple[ListedCluster, ...]] | None = None,
    ) -> None:
        """``kept``: by zone, what was found before."""
        name = account.config.name
        super().__init__(
            f"discover {name}", f"the search for clusters of account {name}", SystemClock()
        )
        self.account, self.discovery = account, discovery
        self.found = {zone: each for zone, each in (kept or {}).items() if zone in discovery.zones}
        """By zone; zones that have never been listed are not there."""
        self.listed: frozenset[str] = frozenset()
        """The zones that have been listed since the start."""
        self.tried = False
        """Whether it has looked, whatever came of it."""
        self.failures: Mapping[str, str] = {}
        """By zone that could not be listed, the reason."""
        self.gone: Mapping[tuple[str, str], Gone] = {}
        """By zone and id, what was found once and is listed no more."""
        self._on_found = on_found
        self._missing: dict[str, set[str]] = {zone: set() for zone in discovery.zones}
        self._asked: dict[str, Instant] = {}
        """By zone, when the listing that was last looked at was requested."""
        self._trouble = ListTrouble(
            account.config.name,
            self._clock,
            _LOG.warning,
            "the account's clusters cannot be listed",
        )
        self._shared_seconds = min(SHARED_SECONDS, discovery.interval_seconds / 2)

    @property
    def ready(self) -> bool:
        """Whether each zone has been listed."""
        return set(self.discovery.zones) <= self.listed

    def _run(self) -> None:
        interval_seconds, retry_seconds = self.discovery.interval_seconds, RETRY_SECONDS
        while True:
            try:
                well = self.look() and not any(self._missing.values())
            except Stopped:
                return
            except Exception:
                _LOG.exception("discovery ended in an error of this program")
                well = False
            wait_seconds = interval_seconds if well else min(interval_seconds, retry_seconds)
            retry_seconds = RETRY_SECONDS if well else 2 * wait_seconds
            if self._clock.sleep(wait_seconds):
                return

    def look(self) -> bool:
        """List each zone once; False if one could not be. Raises Stopped if the program stops."""
        before, well = self.found, True
        for zone in self.discovery.zones:
            try:
                told = self.account.lists.get(zone, self._shared_seconds)
            except ApiError as error:
                well = False
                self.failures = {**self.failures, zone: error.reason}
                self._trouble.met(zone, error)
                continue
            self.failures = {name: why for name, why in self.failures.items() if name != zone}
            if told.asked == self._asked.get(zone):
                continue  # another zone failed, and it is soon again: one listing counts once
            self._asked[zone] = told.asked
            # What each counts changes all the time, and is no news here.
            listed = [each._replace(jobs={}, core_hours=None) for each in told.clusters]
            known = self.found.get(zone, ())
            there = after_listing(known, listed, self._missing[zone])
            self._note_gone(zone, known, there)
            self.found = {**self.found, zone: there}
            self.listed |= {zone}  # last: then others take it that all of the zone is known
        self.tried = True
        if well:
            self._trouble.over()
        if self.found != before:
            self._on_found()
        return well

    def _note_gone(
        self, zone: str, known: Sequence[ListedCluster], there: Sequence[ListedCluster]
    ) -> None:
        now_at = self._clock.now_at()
        ids = {(zone, each.cluster_id) for each in there}
        left = {(zone, each.cluster_id): Gone(each, now_at) for each in known}
        self.gone = {
            key: each
            for key, each in {**left, **self.gone}.items()
            if key not in ids and each.at > now_at - KEPT_SECONDS
        }


class Finders:
    """The finders of all accounts that have a discovery."""

    def __init__(self, on_found: Callable[[], None], kept: Discovered) -> None:
        """``kept``: what was found before."""
        self._on_found = on_found
        self._kept = kept
        self._running: dict[str, Finder] = {}

    def apply(self, accounts: Mapping[str, Account]) -> None:
        """Look for the clusters of these accounts; a finder that stays as it was goes on."""
        before, running = dict(self._running), dict[str, Finder]()
        for name, account in accounts.items():
            discovery, known = account.config.discovery, before.get(name)
            if known is not None and known.account is account:
                running[name] = before.pop(name)
            elif discovery is not None:
                # What was found before stays until it is listed anew.
                kept = self._kept.get(name) if known is None else known.found
                finder = running[name] = Finder(account, discovery, self._on_found, kept)
                finder.gone = {} if known is None else known.gone
                finder.start()
        self._running = running  # never changed: the web's thread reads it
        for finder in before.values():
            finder.stop()

    def found(self) -> Discovered:
        """What has been found, including before the start."""
        return {**self._kept, **{name: finder.found for name, finder in self._running.items()}}

    def gone(self, config: Config, shard: Shard) -> Iterator[Sighting]:
        """What this shard watched because it was found since the start, and is listed no more; its ledger
        is kept for a while."""
        configured = {(each.account, each.zone, each.cluster_id) for each in config.clusters}
        for name, finder in self._running.items():
            for (zone, cluster_id), each in finder.gone.items():
                mine = shard_of(cluster_id, shard.count) == shard.index
                wanted = finder.discovery.wants(cluster_id, each.cluster.name)
                if mine and wanted and (name, zone, cluster_id) not in configured:
                    yield Sighting(name, zone, "gone", called(each.cluster))

    def failures(self) -> dict[tuple[str, str], str]:
        """By account and zone that could not be listed when it was last tried, the reason."""
        return {
            (name, zone): reason
            for name, finder in self._running.items()
            for zone, reason in finder.failures.items()
        }

    @property
    def ready(self) -> bool:
        """Whether there is something to be listed, and all has been."""
        return bool(self._running) and all(each.ready for each in self._running.values())

    def health(self) -> str | None:
        """Why it is not healthy; None if it is."""
        return next((why for each in self._running.values() if (why := each.health())), None)

    def waiting(self, *, for_all: bool) -> list[str]:
        """The accounts whose clusters have not been listed yet; unless it is to be ``for_all``, one that
        could not list them does not count."""
        return sorted(
            name
            for name, finder in self._running.items()
            if not (finder.ready or (finder.tried and not for_all))
        )

    def stop(self) -> "list[Finder]":
        """Tell all to stop; gives them, to be joined."""
        for finder in self._running.values():
            finder.stop()
        return list(self._running.values())


def found_now(config: Config, redactor: Redactor) -> Config:
    """The configuration with the clusters that are found by one look, for commands that take one look;
    where they cannot be listed, those that were found before. Raises ``ApiError`` if there is none, or
    ``StateError``."""
    clock, state = SystemClock(), StateDirectory(config.state.path)
    found = {name: dict(zones) for name, zones in read_discovered(state.path).items()}
    failure: ApiError | None = None
    for each in config.accounts:
        if each.discovery is None:
            continue
        zones = found.setdefault(each.name, {})
        account = open_account(each, state, Telemetry(), clock, redactor)
        try:
            for zone in each.discovery.zones:
                zones[zone] = account.client.list_clusters(zone)
        except ApiError as error:
            failure = error
            fields = {"account": each.name, "reason": error.reason, "advice": error.advice}
            _LOG.error("the account's clusters cannot be listed", extra=fields)
        finally:
            account.transport.close()
    together = with_found(config, found)
    if failure is not None and not together.clusters:
        raise failure
    return together
