"""The pollers of all clusters, following the configuration when it changes."""

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from exporter.api.client import FAILURE_REASONS
from exporter.capacity import CapacityPoller
from exporter.clock import SystemClock, instant
from exporter.collector import AccountQuota
from exporter.config import (
    AccountConfig,
    ClusterConfig,
    CollectionConfig,
    Config,
    LabelsConfig,
    Shard,
)
from exporter.daemon.accounts import (
    Account,
    cluster_calls,
    open_account,
    publisher_of,
    sync_settings,
)
from exporter.daemon.capacity import CapacityWatch
from exporter.daemon.cluster_log import ClusterLog, IntervalLog
from exporter.daemon.discovery import Finder, Finders
from exporter.daemon.groups import GroupsFile
from exporter.daemon.listing import Lister, Listers
from exporter.daemon.sightings import Sighting
from exporter.daemon.summary import Standing, standings
from exporter.errors import Stopped
from exporter.ledger.directory import StateDirectory
from exporter.ledger.discovered import Discovered, purge, read_discovered, write_discovered
from exporter.ledger.keeper import LedgerKeeper
from exporter.ledger.store import Ledger
from exporter.model import ClusterIdentity
from exporter.polling.poller import Poller, PollerParts
from exporter.redaction import Redactor
from exporter.snapshot import ClusterState, SnapshotBoard, dated
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""What pollers get to end in; a call that hangs is left behind: its sync is undone."""

LEFT_SECONDS = 0.2
"""How often to see whether one that was left behind has ended."""

SYNC_REASONS = (*FAILURE_REASONS, "budget", "order", "filter", "moving", "depth", "state", "bug")
CORRECTION_KINDS = ("changed", "deleted", "missing")


class Watch:
    """The accounts and the pollers of their clusters, as the configuration says."""

    def __init__(self, state: StateDirectory, redactor: Redactor) -> None:
        self.board = SnapshotBoard()
        self.telemetry = Telemetry()
        self.clock = SystemClock()
        self.logs: dict[ClusterIdentity, ClusterLog] = {}
        """Of each cluster that is polled, also if its poller begins anew."""
        self.on_publish: Callable[[], None] = lambda: None
        self.on_found: Callable[[], None] = lambda: None
        """Called by another thread when the clusters that are found have changed."""
        self._rng = random.Random()  # noqa: S311 - which ranks an audit looks at is no secret
        self._state = state
        self._redactor = redactor
        self._config: Config | None = None
        self._groups: GroupsFile | None = None
        self._accounts: dict[str, Account] = {}
        self._capacity = CapacityWatch(self.board, self._published)
        self._listers = Listers(self._rouse)
        self._finders = Finders(
            lambda: self.on_found(),  # noqa: PLW0108 - it is set later
            read_discovered(state.path),
        )
        self._pollers: dict[str, Poller] = {}
        self._left: list[Poller] = []
        """Pollers that were told to stop and are still in a call."""

    # -- what the web shows ------------------------------------------------------------------

    def health(self) -> str | None:
        """Why the program is not healthy; None if it is."""
        problems = (poller.health() for poller in list(self._pollers.values()))
        others = self._capacity.health() or self._finders.health() or self._listers.health()
        return next((problem for problem in problems if problem), others)

    def found(self) -> Discovered:
        """The clusters that have been found, beside those of the configuration."""
        return self._finders.found()

    def gone(self, config: Config, shard: Shard) -> Iterator[Sighting]:
        """Clusters of this shard that were found since the start and are listed no more; not those of
        ``config``."""
        return self._finders.gone(config, shard)

    def list_failures(self) -> Mapping[tuple[str, str], str]:
        """By account and zone that discovery could not list, the reason."""
        return self._finders.failures()

    def ready(self) -> str | None:
        """Which clusters have not been tried yet; None if all have."""
        if unlisted := self._finders.waiting(for_all=not self.board.current()):
            return f"clusters not listed yet: {', '.join(unlisted)}"
        waiting = [name for name, state in self.board.current().items() if not state.tried]
        return f"not tried yet: {', '.join(sorted(waiting))}" if waiting else None

    def quotas(self) -> list[AccountQuota]:
        """What each account may spend and has spent in its window."""
        return [
            AccountQuota(
                name, account.budget.allowed, account.budget.used(), account.budget.on_disk
            )
            for name, account in sorted(self._accounts.items())
        ]

    def groups_good(self) -> bool | None:
        """Whether the groups in use are those of their file; None where there is none."""
        return None if self._groups is None else self._groups.good

    def standings(self) -> list[Standing]:
        """How each account stands, for the log."""
        samples = [each for family in self.telemetry.families() for each in family.samples]
        return standings(self.board.current().values(), self.quotas(), samples)

    def write_discovered(self, config: Config) -> None:
        """Write down what has been found, and remove the ledgers that nobody has needed for long.
        ``config`` has every cluster that is watched here or elsewhere."""
        if not self._finders.found():
            return
        write_discovered(self._state.path, self._finders.found())
        if self._state.path is None or not self._finders.ready:
            return
        endpoints = {each.name: each.endpoint for each in config.accounts}
        keep = {
            self._state.ledger_path(each.identity, endpoints[each.account])
            for each in config.clusters
        }
        if removed := purge(self._state.path, keep, self.clock.now_at()):
            fields = {"files": " ".join(removed)}
            _LOG.info(
                "removed the ledgers of clusters that have been gone for a week", extra=fields
            )

    # -- starting, changing, stopping ----------------------------------------------------------

    def apply(self, config: Config) -> None:
        """Follow this configuration; pollers to which nothing has changed keep running.

        Raises ``StateError`` before anything is changed.
        """
        accounts = {each.name: self._account(each) for each in config.accounts}
        keep = self._going_on(config, accounts)
        self._capacity.stop_unwanted(config, accounts)
        self._stop([name for name in self._pollers if name not in keep])
        gone = set(self.board.current()) - {cluster.name for cluster in config.clusters}
        for name in gone:
            self.board.remove(name)
            self.telemetry.forget_cluster(name)
        for name in set(self._accounts) - set(accounts):
            self.telemetry.forget_account(name)
        for name, account in self._accounts.items():
            if accounts.get(name) is not account:
                account.transport.close()
        self._accounts, self._config = accounts, config
        self._follow_groups(config.labels)
        for account in accounts.values():
            self.telemetry.register_account(account.config.name, FAILURE_REASONS)
        for cluster in config.clusters:
            if cluster.name not in keep:
                self._start(config, cluster)
        self.logs = {each.identity: self.logs[each.identity] for each in config.clusters}
        self._list(config)
        self._capacity.start_missing(config, accounts)
        self._finders.apply(accounts)
        self.on_publish()

    def stop(self) -> None:
        """Stop all pollers and close what they use."""
        self.clock.stop()
        others: list[CapacityPoller | Finder | Lister] = [
            *self._capacity.stop(), *self._finders.stop(), *self._listers.stop()
        ]  # fmt: skip
        deadline = self.clock.monotonic_seconds() + STOP_SECONDS
        self._stop(list(self._pollers))
        for poller in others:
            poller.join(max(0.0, deadline - self.clock.monotonic_seconds()))
        for account in self._accounts.values():
            account.transport.close()

    def _follow_groups(self, labels: LabelsConfig) -> None:
        if labels.groups_file is None or labels.groups is None:
            self._groups = None
        elif self._groups is None or self._groups.path != labels.groups_file:
            self._groups = GroupsFile(labels.groups_file, labels.groups)

    def _account(self, config: AccountConfig) -> Account:
        known = self._accounts.get(config.name)
        if known is not None and known.config == config:
            return known
        return open_account(config, self._state, self.telemetry, self.clock, self._redactor)

    def _going_on(self, config: Config, accounts: Mapping[str, Account]) -> set[str]:
        """The clusters whose pollers keep running."""
        old = self._config
        if old is None or config.labels != old.labels or _for_jobs(config) != _for_jobs(old):
            return set()
        before = {each.name: _for_sync(each) for each in old.clusters}
        return {
            each.name
            for each in config.clusters
            if each.name in self._pollers
            and _for_sync(each) == before.get(each.name)
            and accounts[each.account] is self._accounts.get(each.account)
        }

    def _start(self, config: Config, cluster: ClusterConfig) -> None:
        account = self._accounts[cluster.account]
        identity = cluster.identity
        log = self.logs.setdefault(identity, ClusterLog())
        endpoint = account.config.endpoint
        self.telemetry.register_cluster(identity.name, SYNC_REASONS, CORRECTION_KINDS)
        clock = SystemClock()

        before = [each for each in self._left if each.identity.remote == identity.remote]

        def open_ledger() -> Ledger:
            # Its ledger is held by the one before, which ends with its call: within a timeout.
            while not all(each.join(LEFT_SECONDS) for each in before):
                if clock.stopping:  # asking so is no sign of life, which a sleep would be
                    raise Stopped("the poller is to stop")
            return self._state.ledger(identity, endpoint, clock)

        parts = PollerParts(
            identity=identity,
            calls=cluster_calls(account.client, cluster),
            keeper=LedgerKeeper(
                open_ledger,
                lambda ledger: self._state.moved(ledger, identity, endpoint, clock),
                clock,
                identity.fields(),
                keeps_on_disk=self._state.path is not None,
            ),
            settings=sync_settings(config, cluster),
            publisher=publisher_of(config, self._groups.current if self._groups else None),
            budget=account.budget,
            publish=partial(self._publish, cluster, account.intervals, log),
            telemetry=self.telemetry,
            clock=clock,
            rng=self._rng,
            listings=self._listers.of(account).listings(cluster.zone)
            if config.collection.change_detector
            else None,
        )
        poller = Poller(parts)
        _LOG.debug("polling begins", extra=parts.identity.fields(interval=cluster.interval_seconds))
        # Rendered when all have begun, or by the first of them that publishes more.
        self.board.publish(
            ClusterState(identity, effective_interval_seconds=cluster.interval_seconds)
        )
        poller.start()
        self._pollers[identity.name] = poller  # not before: one without a thread seems to have died

    def _stop(self, names: list[str]) -> None:
        stopping = {name: self._pollers.pop(name) for name in names}
        self._left = [each for each in self._left if each.alive]
        for poller in stopping.values():
            poller.stop()
        deadline = self.clock.monotonic_seconds() + STOP_SECONDS
        for name, poller in stopping.items():
            if not poller.join(max(0.0, deadline - self.clock.monotonic_seconds())):
                _LOG.info("a call hangs and is left behind", extra={"cluster": name})
                self._left.append(poller)
            for account in self._accounts.values():
                account.budget.declare(name, None)
                account.intervals.forget(name)

    def _list(self, config: Config) -> None:
        """Let the listers ask for what the pollers want to know."""
        accounts = self._accounts if config.collection.change_detector else {}
        self._listers.keep(accounts)
        for name, account in accounts.items():
            intervals: dict[str, list[float]] = {}
            for cluster in config.clusters_of(name):
                intervals.setdefault(cluster.zone, []).append(cluster.interval_seconds)
            self._listers.of(account).watch(intervals)

    def _rouse(self, account: str, zone: str) -> None:
        for poller in list(self._pollers.values()):
            if (poller.identity.account, poller.identity.zone) == (account, zone):
                poller.rouse()

    def _published(self) -> None:
        self.on_publish()

    def _publish(
        self, cluster: ClusterConfig, intervals: IntervalLog, log: ClusterLog, state: ClusterState
    ) -> None:
        now, before = instant(self.clock), self.board.current().get(cluster.name)
        state = replace(state, staleness_wanted_seconds=cluster.staleness_seconds)
        self.board.publish(dated(state, before, now))
        log.note(state, now.seconds)
        intervals.note(state, cluster.interval_seconds, now.seconds)
        self.on_publish()


def _for_sync(cluster: ClusterConfig) -> ClusterConfig:
    """A cluster without what concerns only its capacity."""
    return replace(cluster, queues=())


def _for_jobs(config: Config) -> CollectionConfig:
    """How jobs are collected, without what concerns only capacity."""
    return replace(config.collection, capacity_interval_seconds=None)
