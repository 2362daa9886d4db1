"""Builds every object from the configuration, starts and stops them in order, and reloads."""

import logging
import os
import platform
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from exporter import __version__
from exporter.api.budget import AccountBudget
from exporter.api.client import FAILURE_REASONS, AccountClient, ClusterJobs, Credentials
from exporter.api.transport import RequestsTransport
from exporter.clock import SystemClock
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.config import (
    NO_HISTORY_SECONDS,
    AccountConfig,
    ClusterConfig,
    Config,
    ServeOptions,
    config_warnings,
    load_config,
    read_secret_file,
    select,
)
from exporter.errors import ApiError, ExporterError, StateError, SyncError
from exporter.ledger.directory import StateDirectory
from exporter.ledger.store import Ledger, open_ledger
from exporter.logs import Redactor, RepeatGuard
from exporter.snapshot import ClusterState, SnapshotBoard, SyncFailure
from exporter.sync.asking import Ask, advance
from exporter.sync.context import SyncSettings
from exporter.sync.poller import Poller, PollerParts
from exporter.sync.publishing import LabelRules, Publisher
from exporter.sync.replica import Replica
from exporter.telemetry import Telemetry
from exporter.web.app import WebApp, WebOptions, WebParts
from exporter.web.exposition import ExporterFacts, Exposition, ProcessFamilies
from exporter.web.page import LandingPage, PageParts
from exporter.web.server import WebServer

_LOG = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""What pollers get to end in; a call that hangs is left behind: its sync is undone."""

SYNC_REASONS = (*FAILURE_REASONS, "budget", "order", "filter", "moving", "state", "internal")

Progressing = Callable[[str, int, int | None], None]


class Keys:
    """An account's credentials; a secret in a file is read again when the file has changed."""

    def __init__(self, config: AccountConfig, redactor: Redactor) -> None:
        self._config = config
        self._redactor = redactor
        self._credentials = Credentials(config.access_key_id, config.secret_access_key.reveal())
        self._version: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Credentials:
        """The credentials as they are now. Raises ``ConfigError`` if the file cannot be read."""
        path = self._config.secret_access_key_file
        if path is None:
            return self._credentials
        with self._lock:
            try:
                status = path.stat()
            except OSError:
                return self._credentials  # it is being replaced; the old one may still do
            version = (status.st_mtime_ns, status.st_ino)
            if version != self._version:
                secret = read_secret_file(path).reveal()
                self._redactor.learn([secret])
                self._credentials = Credentials(self._config.access_key_id, secret)
                self._version = version
            return self._credentials


@dataclass(frozen=True, slots=True)
class Account:
    """What the clusters of one account share."""

    config: AccountConfig
    client: AccountClient
    transport: RequestsTransport
    budget: AccountBudget


class Watch:
    """The accounts and the pollers of their clusters, as the configuration says."""

    def __init__(self, state: StateDirectory, redactor: Redactor) -> None:
        self.board = SnapshotBoard()
        self.telemetry = Telemetry()
        self.clock = SystemClock()
        self.on_publish: Callable[[], None] = lambda: None
        self._state = state
        self._redactor = redactor
        self._config: Config | None = None
        self._accounts: dict[str, Account] = {}
        self._pollers: dict[str, Poller] = {}
        self._guard = RepeatGuard()

    # -- what the web shows ------------------------------------------------------------------

    def health(self) -> str | None:
        """Why the program is not healthy; None if it is."""
        problems = (poller.health() for poller in list(self._pollers.values()))
        return next((problem for problem in problems if problem), None)

    def ready(self) -> str | None:
        """Which clusters have not been tried yet; None if all have."""
        waiting = [name for name, state in self.board.current().items() if not state.tried]
        return f"not tried yet: {', '.join(sorted(waiting))}" if waiting else None

    def quotas(self) -> list[AccountQuota]:
        """What each account may spend and has spent in its window."""
        now_at = self.clock.now_at()
        return [
            AccountQuota(name, account.budget.allowed, account.budget.used(now_at))
            for name, account in sorted(self._accounts.items())
        ]

    # -- starting, changing, stopping ----------------------------------------------------------

    def apply(self, config: Config) -> None:
        """Watch what this configuration says; what it leaves as it was goes on undisturbed.

        Raises ``StateError`` before anything is changed.
        """
        accounts = {each.name: self._account(each) for each in config.accounts}
        keep = {
            cluster.name for cluster in config.clusters if self._goes_on(config, cluster, accounts)
        }
        self._stop([name for name in self._pollers if name not in keep])
        gone = set(self.board.current()) - {cluster.name for cluster in config.clusters}
        for name in gone:
            self.board.remove(name)
            self.telemetry.forget_cluster(name)
            self._guard.forget(name)
        for name in set(self._accounts) - set(accounts):
            self.telemetry.forget_account(name)
        for name, account in self._accounts.items():
            if accounts.get(name) is not account:
                account.transport.close()
        self._accounts, self._config = accounts, config
        for account in accounts.values():
            self.telemetry.register_account(account.config.name, FAILURE_REASONS)
        for cluster in config.clusters:
            if cluster.name not in keep:
                self._start(config, cluster)
        self.on_publish()

    def stop(self) -> None:
        """Stop all pollers and close what they use."""
        self.clock.stop()
        self._stop(list(self._pollers))
        for account in self._accounts.values():
            account.transport.close()

    def _account(self, config: AccountConfig) -> Account:
        known = self._accounts.get(config.name)
        if known is not None and known.config == config:
            return known
        budget = AccountBudget(
            allowed=config.allowed_calls,
            period_seconds=config.quota_period_seconds,
            clock=self.clock,
            log=self._state.spending(config.name),
        )
        return _new_account(config, budget, self.telemetry, self.clock, self._redactor)

    def _goes_on(
        self, config: Config, cluster: ClusterConfig, accounts: Mapping[str, Account]
    ) -> bool:
        old = self._config
        return (
            old is not None
            and cluster.name in self._pollers
            and cluster in old.clusters
            and accounts[cluster.account] is self._accounts.get(cluster.account)
            and (config.collection, config.labels) == (old.collection, old.labels)
        )

    def _start(self, config: Config, cluster: ClusterConfig) -> None:
        account = self._accounts[cluster.account]
        identity = cluster.identity
        endpoint = account.config.endpoint
        self.telemetry.register_cluster(identity.name, SYNC_REASONS)
        clock = SystemClock()

        def open_ledger() -> Ledger:
            return self._state.ledger(identity, endpoint, clock.now_at())

        def reopen_on_disk(ledger: Ledger) -> Ledger:
            return self._state.put_back(ledger, identity, endpoint)

        parts = PollerParts(
            identity=identity,
            calls=_calls(account.client, cluster),
            open_ledger=open_ledger,
            reopen_on_disk=reopen_on_disk,
            settings=_settings(config, cluster),
            publisher=_publisher(config),
            staleness_seconds=config.collection.staleness_seconds,
            budget=account.budget,
            publish=self._publish,
            telemetry=self.telemetry,
            guard=self._guard,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - which ranks an audit looks at is no secret
        )
        poller = self._pollers[identity.name] = Poller(parts)
        poller.start()

    def _stop(self, names: list[str]) -> None:
        stopping = {name: self._pollers.pop(name) for name in names}
        for poller in stopping.values():
            poller.stop()
        deadline = self.clock.monotonic_seconds() + STOP_SECONDS
        for name, poller in stopping.items():
            if not poller.join(max(0.0, deadline - self.clock.monotonic_seconds())):
                _LOG.info("a call hangs and is left behind", extra={"cluster": name})
            for account in self._accounts.values():
                account.budget.declare(name, None)

    def _publish(self, state: ClusterState) -> None:
        self.board.publish(state)
        self.on_publish()


def serve(config_path: Path, options: ServeOptions, redactor: Redactor) -> int:
    """Run until told to stop; gives the exit code. Raises ``ExporterError`` if it cannot start."""
    config = select(load_config(config_path, os.environ), options.shard)
    _learn_secrets(redactor, config)
    for warning in config_warnings(config):
        _LOG.warning("%s", warning)
    if options.shard.count > 1:
        _LOG.info(
            "polling one shard of the configuration",
            extra={"shard": str(options.shard), "clusters": len(config.clusters)},
        )
    state = StateDirectory(config.state.path)
    state.acquire()
    try:
        return Daemon(config_path, config, options, Watch(state, redactor), redactor).run()
    finally:
        state.release()


class Daemon:
    """The running program: the watch, the web, and what the operator asks of them."""

    def __init__(
        self,
        config_path: Path,
        config: Config,
        options: ServeOptions,
        watch: Watch,
        redactor: Redactor,
    ) -> None:
        self._config_path = config_path
        self._config = config
        self._shard = options.shard
        self._watch = watch
        self._redactor = redactor
        self._wake = threading.Event()
        self._stopping = False
        self._reload_wanted = False
        self._reloading = threading.Lock()
        self._reload_status = ReloadStatus(successful=True, success_at=watch.clock.now_at())
        facts = ExporterFacts(
            build=BuildInfo(__version__, "", platform.python_version()),
            reload=lambda: self._reload_status,
            quotas=watch.quotas,
            staleness_seconds=lambda: self._config.collection.staleness_seconds,
        )
        exposition = Exposition(watch.board, watch.telemetry, watch.clock, facts, ProcessFamilies())
        watch.on_publish = exposition.refresh
        self._web = build_web(exposition, facts, watch, self.reload, options)

    def run(self) -> int:
        """Serve until a signal ends it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        bound = self._web.bind()
        self._web.start()
        try:
            self._watch.apply(self._config)
            for host, port in bound:
                _LOG.info("listening", extra={"address": host, "port": port})
            self._wait()
        finally:
            self._watch.stop()
            self._web.stop()
        _LOG.info("stopped")
        return 0

    def reload(self) -> str | None:
        """Take the file's new content into use, if it is good. What is wrong with it, or None."""
        with self._reloading:
            try:
                config = select(load_config(self._config_path, os.environ), self._shard)
                if config.state != self._config.state:
                    raise StateError("state.path cannot change while the program runs; restart it")
                _learn_secrets(self._redactor, config)
                self._watch.apply(config)
            except ExporterError as error:
                self._reload_status = ReloadStatus(
                    successful=False, success_at=self._reload_status.success_at
                )
                _LOG.error(
                    "the configuration was not reloaded; the old one goes on",
                    extra={"cause": str(error)},
                )
                return str(error)
            self._config = config
            self._reload_status = ReloadStatus(
                successful=True, success_at=self._watch.clock.now_at()
            )
            _LOG.info("the configuration was reloaded")
            return None

    def _wait(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            if self._reload_wanted and not self._stopping:
                self._reload_wanted = False
                self.reload()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload_wanted = True
        else:
            self._stopping = True
        self._wake.set()


def build_web(
    exposition: Exposition,
    facts: ExporterFacts,
    watch: Watch,
    reload: Callable[[], str | None],
    options: ServeOptions,
) -> WebServer:
    """The web side, not yet listening."""
    page = LandingPage(
        PageParts(
            board=watch.board,
            clock=watch.clock,
            version=__version__,
            telemetry_path=options.telemetry_path,
            quotas=watch.quotas,
            reload=facts.reload,
            staleness_seconds=facts.staleness_seconds,
        )
    )
    parts = WebParts(exposition, watch.health, watch.ready, reload, page)
    app = WebApp(parts, WebOptions(options.telemetry_path, options.enable_lifecycle))
    return WebServer(app, options.listen_addresses)


def collect(config: Config, progressing: Progressing) -> Mapping[str, ClusterState]:
    """Look once at every cluster, whole. A state for each, with the failure where there is one.

    It keeps nothing but the count of calls, which it shares with a daemon on the same state.
    """
    clock = SystemClock()
    state = StateDirectory(config.state.path)
    accounts = {}
    for each in config.accounts:
        budget = AccountBudget(
            allowed=each.allowed_calls,
            period_seconds=each.quota_period_seconds,
            clock=clock,
            log=state.spending(each.name),
        )
        accounts[each.name] = _new_account(each, budget, Telemetry(), clock, Redactor())
    states = {}
    for cluster in config.clusters:
        calls = _calls(accounts[cluster.account].client, cluster)
        states[cluster.name] = _look(config, cluster, calls, clock, progressing)
    return states


def _look(
    config: Config,
    cluster: ClusterConfig,
    calls: ClusterJobs,
    clock: SystemClock,
    progressing: Progressing,
) -> ClusterState:
    started_at = clock.now_at()
    ledger = open_ledger(None, cluster.name)
    settings = _settings(config, cluster)
    asking = Replica(ledger, settings, random.Random()).full_look(started_at)  # noqa: S311
    calls.begin_sync()
    try:
        with ledger.transaction():
            step = advance(asking, None)
            while isinstance(step, Ask):
                try:
                    answer = calls.list_jobs(step.query)
                except ApiError as error:
                    step = advance(asking, error)
                else:
                    step = advance(asking, answer)
                progressing(cluster.name, ledger.size, ledger.progress.expected)
            snapshot = _publisher(config).snapshot(ledger, started_at)
    except (ApiError, SyncError) as error:
        failure = SyncFailure(error.reason, str(error), error.advice, clock.now_at())
        return ClusterState(cluster.identity, tried=True, failure=failure)
    finally:
        ledger.close()
    return ClusterState(
        cluster.identity,
        tried=True,
        up=True,
        snapshot=snapshot,
        last_success_at=started_at,
        strategy=step.value.strategy,
        effective_interval_seconds=cluster.interval_seconds,
    )


def _new_account(
    config: AccountConfig,
    budget: AccountBudget,
    telemetry: Telemetry,
    clock: SystemClock,
    redactor: Redactor,
) -> Account:
    transport = RequestsTransport(
        timeout_seconds=config.timeout_seconds,
        clock=clock,
        ca_file=str(config.ca_file) if config.ca_file else None,
        user_agent=f"ehpc-exporter/{__version__}",
    )
    client = AccountClient(
        account=config.name,
        endpoint=config.endpoint,
        credentials=Keys(config, redactor),
        transport=transport,
        gate=budget,
        telemetry=telemetry,
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries
    )
    return Account(config, client, transport, budget)


def _calls(client: AccountClient, cluster: ClusterConfig) -> ClusterJobs:
    return client.cluster(
        cluster.name,
        cluster_id=cluster.cluster_id,
        zone=cluster.zone,
        timezone=cluster.timezone,
    )


def _settings(config: Config, cluster: ClusterConfig) -> SyncSettings:
    return SyncSettings(
        interval_seconds=cluster.interval_seconds,
        history_seconds=config.collection.history_seconds,
        audit_interval_seconds=config.collection.audit_interval_seconds,
    )


def _publisher(config: Config) -> Publisher:
    labels = config.labels
    rules = LabelRules(labels.user_mode, labels.user_limit, labels.queue_limit)
    wanted = config.collection.history_seconds != NO_HISTORY_SECONDS
    return Publisher(rules, history_wanted=wanted)


def _learn_secrets(redactor: Redactor, config: Config) -> None:
    redactor.learn(account.secret_access_key.reveal() for account in config.accounts)
