"""Several exporters with one configuration: which of them polls a cluster, and how many calls it
may make.

All shards read the same file. Each polls the clusters that fall to it, and takes an equal part of
every account's share, so that they need not know of one another and never exceed it together.
"""

import hashlib
import re
from dataclasses import replace

from exporter.config.values import AccountConfig, Config, Shard
from exporter.errors import ConfigError, ConfigProblem

MOST_SHARDS = 1000


def parse_shard(text: str) -> Shard:
    """``I/N``, the shard I of N, counted from 0. Raises ValueError with what is wrong."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if match is None:
        raise ValueError(f"{text!r} is not I/N, such as 0/2 for the first of two shards")
    index, count = int(match[1]), int(match[2])
    if not 1 <= count <= MOST_SHARDS:
        raise ValueError(f"{text!r}: there can be 1 to {MOST_SHARDS} shards")
    if index >= count:
        raise ValueError(f"{text!r}: of {count} shards the last one is {count - 1}/{count}")
    return Shard(index, count)


def shard_of(cluster_id: str, count: int) -> int:
    """Which of ``count`` shards polls a cluster; the same everywhere and for ever.

    The shard whose hash with the cluster is highest (rendezvous hashing): one shard more takes
    clusters from all others and moves none between them, so that few ledgers are built anew.
    """

    def weight(index: int) -> bytes:
        return hashlib.sha256(f"{index}/{cluster_id}".encode()).digest()

    return max(range(count), key=weight)


def select(config: Config, shard: Shard) -> Config:
    """The configuration of one shard.

    Raises ConfigError if an account's share is less than a call for each of the shards.
    """
    if shard.count == 1:
        return config
    problems = [
        ConfigProblem(
            f"accounts[{number}].quota",
            f"{account.whole_calls} calls in its period cannot be divided among {shard.count}"
            " shards; use fewer shards or a larger share",
        )
        for number, account in enumerate(config.accounts)
        if account.whole_calls < shard.count
    ]
    if problems:
        raise ConfigError(problems)
    return replace(
        config,
        accounts=tuple(_divided(account, shard) for account in config.accounts),
        clusters=tuple(
            cluster
            for cluster in config.clusters
            if shard_of(cluster.cluster_id, shard.count) == shard.index
        ),
    )


def _divided(account: AccountConfig, shard: Shard) -> AccountConfig:
    return replace(account, shards=shard.count)
