"""The configuration: a YAML file in, a frozen ``Config`` or every problem of the file out.

text -> ``yaml_tree`` (YAML nodes with their lines) -> ``reader`` (along the types in ``file``, each text
judged by ``checks``) -> ``load`` (what concerns several keys, files; ``groups``: those of users) -> ``values``;
``shards`` divides it among several exporters.
"""

from exporter.config.durations import format_duration, parse_duration
from exporter.config.groups import read_groups
from exporter.config.load import config_warnings, load_config, parse_config, read_secret_file
from exporter.config.shards import parse_shard, select, shard_of
from exporter.config.values import (
    ALL_HISTORY_SECONDS,
    NO_HISTORY_SECONDS,
    AccountConfig,
    ClusterConfig,
    CollectionConfig,
    Config,
    DiscoveryConfig,
    LabelsConfig,
    LogFormat,
    QueueConfig,
    Secret,
    ServeOptions,
    Shard,
    StateConfig,
    UserMode,
)

__all__ = [
    "ALL_HISTORY_SECONDS",
    "NO_HISTORY_SECONDS",
    "AccountConfig",
    "ClusterConfig",
    "CollectionConfig",
    "Config",
    "DiscoveryConfig",
    "LabelsConfig",
    "LogFormat",
    "QueueConfig",
    "Secret",
    "ServeOptions",
    "Shard",
    "StateConfig",
    "UserMode",
    "config_warnings",
    "format_duration",
    "load_config",
    "parse_config",
    "parse_duration",
    "parse_shard",
    "read_groups",
    "read_secret_file",
    "select",
    "shard_of",
]
