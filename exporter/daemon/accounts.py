"""What the clusters of one account share: keys, connections, budget, and the client for their
calls."""

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from exporter import __version__
from exporter.api.budget import AccountBudget
from exporter.api.client import AccountClient, ClusterJobs, Credentials
from exporter.api.lists import ZoneLists
from exporter.api.transport import RequestsTransport
from exporter.clock import Clock, SystemClock, instant
from exporter.config import (
    NO_HISTORY_SECONDS,
    AccountConfig,
    ClusterConfig,
    Config,
    read_secret_file,
)
from exporter.daemon.cluster_log import IntervalLog
from exporter.errors import ApiError, ConfigError
from exporter.labels import Groups
from exporter.ledger.directory import StateDirectory
from exporter.publishing.naming import LabelRules
from exporter.publishing.publisher import Publisher
from exporter.redaction import Redactor
from exporter.sync.context import SyncSettings
from exporter.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
Say = Callable[..., None]
"""A method of a logger."""
Versions = tuple[tuple[int, int, int], ...]


class ListTrouble:
    """Logs that an account's clusters cannot be listed: once, until they can be listed again."""

    def __init__(self, account: str, clock: Clock, say: Say, what: str) -> None:
        self._account, self._clock, self._say, self._what = account, clock, say, what
        self._said = False

    def met(self, zone: str, error: ApiError) -> None:
        """A zone could not be listed. Nothing is logged while the program stops, as that breaks calls off."""
        if self._said or self._clock.sleep(0.0):
            return
        self._said = True
        fields = {"account": self._account, "zone": zone, "reason": error.reason}
        self._say(self._what, extra={**fields, "cause": str(error), "advice": error.advice})

    def over(self) -> None:
        """All went well."""
        self._said = False


class Keys:
    """An account's credentials; what is in files is read again when they change.

    Of a pair of files that is being replaced, one is new before the other. So the old pair is kept
    until both are new, or until the cloud refuses it.
    """

    def __init__(self, config: AccountConfig, redactor: Redactor) -> None:
        self._config = config
        self._redactor = redactor
        self._credentials = Credentials(config.access_key_id, config.secret_access_key.reveal())
        self._seen: Versions | None = None
        self._said = False
        """Whether it was logged that a file cannot be read, since they could all be read."""
        self._lock = threading.Lock()

    def __call__(self) -> Credentials:
        """The credentials to sign with; the previous ones while the files cannot be read."""
        try:
            return self._renewed(refused=False)
        except ConfigError as error:
            self._say(str(error))
            return self._credentials

    def after_refusal(self) -> Credentials:
        """What the files contain, even if it is not a complete pair. Raises ``ConfigError`` if they cannot be read."""
        return self._renewed(refused=True)

    def _renewed(self, *, refused: bool) -> Credentials:
        config = self._config
        with self._lock:
            seen = _versions(config.key_files)
            if seen is None:
                gone = [str(file) for file in config.key_files if not file.exists()]
                self._say(f"cannot read {', '.join(gone)}")
                return self._credentials
            if seen == self._seen:
                self._said = False
                return self._credentials
            fresh = Credentials(
                _read_or(config.access_key_id_file, config.access_key_id),
                _read_or(config.secret_access_key_file, config.secret_access_key.reveal()),
            )
            if _versions(config.key_files) != seen:
                return self._credentials  # it changes right now
            self._said = False
            self._redactor.learn([fresh.access_key_id, fresh.secret])
            if len(seen) < 2 or refused or not self._is_half_of_a_pair(fresh):
                self._seen, self._credentials = seen, fresh
            return self._credentials

    def _say(self, cause: str) -> None:
        if not self._said:
            self._said = True
            _LOG.error(
                "the keys could not be read again, the old ones stay in use until a restart",
                extra={
                    "account": self._config.name,
                    "cause": cause,
                    "advice": "Put the files back, and let the exporter's user read them.",
                },
            )

    def _is_half_of_a_pair(self, fresh: Credentials) -> bool:
        known = self._credentials
        return (fresh.access_key_id == known.access_key_id) != (fresh.secret == known.secret)


def _versions(files: Sequence[Path]) -> Versions | None:
    """What changes when a file does; None while one is being replaced."""
    try:
        states = [file.stat() for file in files]
    except OSError:
        return None
    return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)


def _read_or(path: Path | None, given: str) -> str:
    return given if path is None else read_secret_file(path).reveal()


@dataclass(frozen=True, slots=True)
class Account:
    """What the clusters of one account share."""

    config: AccountConfig
    client: AccountClient
    transport: RequestsTransport
    budget: AccountBudget
    lists: ZoneLists
    intervals: IntervalLog


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
    keys = Keys(config, redactor)
    client = AccountClient(
        account=config.name,
        endpoint=config.endpoint,
        credentials=keys,
        credentials_after_refusal=keys.after_refusal,
        transport=transport,
        gate=budget,
        telemetry=telemetry,
        clock=clock,
        random=random.Random(),  # noqa: S311 - spreads retries
        user_id=config.user_id,
    )
    lists = ZoneLists(client.list_clusters, clock)
    return Account(config, client, transport, budget, lists, IntervalLog())


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
        zone_name=str(cluster.timezone or ""),
    )


def publisher_of(config: Config, groups: Callable[[], Groups] | None = None) -> Publisher:
    """What makes the snapshots by the configuration's rules; ``groups`` is called for each of them."""
    labels = config.labels
    read = labels.groups
    if groups is None and read is not None:
        groups = lambda: read  # noqa: E731
    rules = LabelRules(
        labels.user_mode, labels.user_limit, labels.queue_limit, labels.users, labels.queues,
        groups=groups,
    )  # fmt: skip
    wanted = config.collection.history_seconds != NO_HISTORY_SECONDS
    return Publisher(rules, history_wanted=wanted)


def learn_secrets(redactor: Redactor, config: Config) -> None:
    """Keep the configuration's keys out of the log."""
    for account in config.accounts:
        redactor.learn([account.access_key_id, account.secret_access_key.reveal()])
