"""What the clusters of one account share: keys, connections, budget; and how clusters are asked."""

import random
import threading
from dataclasses import dataclass
from datetime import UTC

from exporter import __version__
from exporter.api.budget import AccountBudget
from exporter.api.client import AccountClient, ClusterJobs, Credentials
from exporter.api.transport import RequestsTransport
from exporter.clock import SystemClock, instant
from exporter.config import (
    NO_HISTORY_SECONDS,
    AccountConfig,
    ClusterConfig,
    Config,
    read_secret_file,
)
from exporter.ledger.directory import StateDirectory
from exporter.redaction import Redactor
from exporter.sync.context import SyncSettings
from exporter.sync.publishing import LabelRules, Publisher
from exporter.telemetry import Telemetry


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


def open_account(
    config: AccountConfig,
    state: StateDirectory,
    telemetry: Telemetry,
    clock: SystemClock,
    redactor: Redactor,
) -> Account:
    """Connect the parts of one account. Raises ``StateError`` if its calls cannot be written down."""
    budget = AccountBudget(
        allowed=config.allowed_calls,
        # Calls are counted when they leave and by the cloud when they arrive: a slow one, then a
        # fast one, are nearer to each other there.
        period_seconds=config.quota_period_seconds + config.timeout_seconds,
        clock=clock,
        log=state.spending(config.name, instant(clock), config.allowed_calls),
    )
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


def cluster_calls(client: AccountClient, cluster: ClusterConfig) -> ClusterJobs:
    """The calls of one cluster."""
    return client.cluster(
        cluster.name,
        cluster_id=cluster.cluster_id,
        zone=cluster.zone,
        timezone=cluster.timezone or UTC,
    )


def sync_settings(config: Config, cluster: ClusterConfig) -> SyncSettings:
    """What the configuration says about syncing one cluster."""
    return SyncSettings(
        interval_seconds=cluster.interval_seconds,
        history_seconds=config.collection.history_seconds,
        audit_interval_seconds=config.collection.audit_interval_seconds,
        zone_configured=cluster.timezone is not None,
    )


def publisher_of(config: Config) -> Publisher:
    """What makes the snapshots, by the configuration's rules."""
    labels = config.labels
    rules = LabelRules(labels.user_mode, labels.user_limit, labels.queue_limit)
    wanted = config.collection.history_seconds != NO_HISTORY_SECONDS
    return Publisher(rules, history_wanted=wanted)


def learn_secrets(redactor: Redactor, config: Config) -> None:
    """Keep the configuration's secrets out of the log."""
    redactor.learn(account.secret_access_key.reveal() for account in config.accounts)
