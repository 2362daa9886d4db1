"""The configuration as the program uses it: frozen, complete, checked."""

import math
import re
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Literal, NoReturn

from exporter.labels import ALL, Groups, Wanted
from exporter.model import ClusterIdentity

UserMode = Literal["name", "hash", "off"]
LogFormat = Literal["logfmt", "json"]

ALL_HISTORY_SECONDS = math.inf
NO_HISTORY_SECONDS = 0.0


class Secret:
    """A text that shows itself only when asked by name: never in a repr, a format or a pickle."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text itself, to sign with or to hand to the log's redaction."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be copied out of the process")


@dataclass(frozen=True, slots=True)
class DiscoveryConfig:
    """Where to look for an account's clusters, and which of them to watch."""

    zones: tuple[str, ...]
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]
    interval_seconds: float

    def wants(self, *names: str) -> bool:
        """Whether a cluster with these names, one of which is its id, is to be watched."""

        return _matches(self.include, names) and not self.excludes(*names)

    def excludes(self, *names: str) -> bool:
        """Whether it is among those that are left out, whatever else is wanted."""
        return _matches(self.exclude, names)


def _matches(patterns: tuple[re.Pattern[str], ...], names: tuple[str, ...]) -> bool:
    return any(each.fullmatch(name) for each in patterns for name in names)


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """One account of the cloud: where it is asked, with which keys, how often at most."""

    name: str
    endpoint: str
    """URL without a slash at its end."""
    access_key_id: str = field(repr=False)
    secret_access_key: Secret
    secret_access_key_file: Path | None
    """Where the secret was read from; to be read again when the file changes. So for the id."""
    timeout_seconds: float
    """Of one call."""
    quota_requests: int
    quota_period_seconds: float
    quota_share: float
    """The part of the quota that this exporter may use, more than 0, at most 1."""
    ca_file: Path | None
    access_key_id_file: Path | None = None
    user_id: str = ""
    """The account's own, for a cloud that wants it; empty: not told."""
    discovery: DiscoveryConfig | None = None
    """None where only clusters of the configuration are watched."""
    shards: int = 1
    """How many exporters divide the share equally; see ``shards``."""

    @property
    def key_files(self) -> tuple[Path, ...]:
        """The files that its keys come from."""
        return tuple(f for f in (self.access_key_id_file, self.secret_access_key_file) if f)

    @property
    def whole_calls(self) -> int:
        """The calls in one period that all shards together may make: the share of the quota."""
        return max(1, int(self.quota_requests * self.quota_share))

    @property
    def allowed_calls(self) -> int:
        """The calls in one period that this exporter may make."""
        return self.whole_calls // self.shards

    @property
    def calls_per_hour(self) -> float:
        """The calls an hour that this exporter may make: the share, not the whole quota."""
        requests = self.quota_requests * self.quota_share / self.shards
        return requests * 3600 / self.quota_period_seconds


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """What one queue can run; None where it is not said."""

    name: str
    cores: int | None
    gpus: int | None


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster to watch."""

    name: str
    account: str
    cluster_id: str
    zone: str
    timezone: tzinfo | None
    """Of API times that carry none."""
    interval_seconds: float
    """Its own, or the collection's."""
    staleness_seconds: float | None
    """Likewise, how old its counts may become and still be served; None: as the interval asks for."""
    queues: tuple[QueueConfig, ...] = ()
    """What queues can run, where the cloud does not tell."""
    labels: tuple[tuple[str, str], ...] = ()
    """Its own: the same names for every cluster, empty where it has none such."""

    @property
    def identity(self) -> ClusterIdentity:
        """The cluster as the rest of the program knows it."""
        return ClusterIdentity(self.name, self.cluster_id, self.zone, self.account, self.labels)


@dataclass(frozen=True, slots=True)
class CollectionConfig:
    """How often and how much is asked."""

    interval_seconds: float
    history_seconds: float
    """Ended jobs are counted for so long after their end: infinite for all, 0 for none."""
    audit_interval_seconds: float
    capacity_interval_seconds: float | None = 600.0
    """From one look at queues and nodes to the next; None for never."""
    change_detector: bool = True
    """Whether cluster/list tells when there is something to ask, where it is proven to."""
    staleness_seconds: float | None = None
    """As a cluster's, where that says nothing of its own."""


@dataclass(frozen=True, slots=True)
class StateConfig:
    """Where the ledgers live."""

    path: Path | None
    """A directory; None keeps everything in memory."""


@dataclass(frozen=True, slots=True)
class LabelsConfig:
    """How users and queues become label values."""

    user_mode: UserMode
    user_limit: int
    queue_limit: int
    users: Wanted = ALL
    """Which of them are shown."""
    queues: Wanted = ALL
    groups_file: Path | None = None
    """Where users' groups are, to be read again when it changes; None for no groups."""
    groups: Groups | None = field(default=None, compare=False)
    """As the file had them."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a configuration file says, defaults filled in."""

    accounts: tuple[AccountConfig, ...]
    clusters: tuple[ClusterConfig, ...]
    collection: CollectionConfig
    state: StateConfig
    labels: LabelsConfig
    grafana: str = ""
    """The URL of the Grafana that has our dashboards, without a slash at its end; empty: not told."""

    def account(self, name: str) -> AccountConfig:
        """The account of that name, which every cluster's ``account`` has. Raises KeyError."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise KeyError(name)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the labels that clusters have of their own."""
        return tuple(name for name, _ in self.clusters[0].labels) if self.clusters else ()

    def clusters_of(self, account: str) -> tuple[ClusterConfig, ...]:
        """The clusters that share the quota of one account."""
        return tuple(cluster for cluster in self.clusters if cluster.account == account)


@dataclass(frozen=True, slots=True)
class Shard:
    """Which of how many exporters of one configuration this is."""

    index: int = 0
    """From 0."""
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The flags of ``serve`` that are not in the configuration file."""

    listen_addresses: tuple[str, ...] = (":10046",)
    """``host:port``, ``[::1]:port``, or ``:port`` for every address of the machine."""
    telemetry_path: str = "/metrics"
    web_config_file: Path | None = None
    enable_lifecycle: bool = False
    external_url: str = ""
    """Under which people reach the program, a reverse proxy in between perhaps; empty: not told."""
    route_prefix: str = ""
    """Before the path of every route: empty, or such as ``/ehpc``."""
    shard: Shard = Shard()
