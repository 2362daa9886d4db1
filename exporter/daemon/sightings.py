"""What becomes of the clusters that cluster/list shows: which are polled, which are left out, and why. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from exporter.config import (
    AccountConfig,
    ClusterConfig,
    Config,
    DiscoveryConfig,
    Shard,
    shard_of,
)
from exporter.ledger.discovered import Discovered
from exporter.logs import one_line
from exporter.model import ListedCluster

_ACTIVE = ("", "active")

Outcome = Literal[
    "watched", "rarely", "elsewhere", "configured", "unlisted", "twice", "excluded", "not_included",
    "gone",
]  # fmt: skip
"""``rarely``: watched, and not active; ``elsewhere``: another shard watches it; ``unlisted``: of the
configuration, and not in the list of its zone; ``twice``: another account shows it, too; ``gone``: listed
no more, its ledger is kept for a week."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One cluster of one zone, and what becomes of it."""

    account: str
    zone: str
    outcome: Outcome
    name: str
    """How it is called; one that is not polled by its id, with its own name behind it."""
    cluster: ClusterConfig | None = None
    """Where it is watched because it was found."""


def survey(config: Config, found: Discovered) -> Iterator[Sighting]:
    """What becomes of each cluster that was found, and of those of the configuration in such a zone.

    One that the configuration has is as it says. The others are called by their ids, and those that are
    not active are polled no more often than they are looked for. One that several accounts show is
    polled with the keys of the first.
    """
    endpoints = {each.name: each.endpoint for each in config.accounts}
    # As ledgers are kept: two pollers of one would each set it aside.
    configured = {(endpoints[e.account], e.zone, e.cluster_id): e.name for e in config.clusters}
    known, names = set(configured), {each.name for each in config.clusters}
    for account, zone, listing in _listings(config, found):
        for listed in listing:
            key = (account.endpoint, zone, listed.cluster_id)
            outcome = _outcome(account.discovery, listed)
            if key in configured:
                yield Sighting(account.name, zone, "configured", configured[key])
            elif outcome in ("excluded", "not_included"):
                yield Sighting(account.name, zone, outcome, called(listed))
            elif key in known:
                yield Sighting(account.name, zone, "twice", called(listed))
            else:
                cluster = found_cluster(config, account, zone, listed)
                if cluster.name in names:
                    cluster = replace(cluster, name=f"{account.name}/{zone}/{cluster.cluster_id}")
                known.add(key)
                names.add(cluster.name)
                status = f" ({listed.status})" if outcome == "rarely" else ""
                yield Sighting(account.name, zone, outcome, cluster.name + status, cluster)
        ids = {each.cluster_id for each in listing}
        for each in config.clusters_of(account.name):
            if each.zone == zone and each.cluster_id not in ids:
                yield Sighting(account.name, zone, "unlisted", each.name)


def _listings(
    config: Config, found: Discovered
) -> Iterator[tuple[AccountConfig, str, tuple[ListedCluster, ...]]]:
    """Each zone that is looked at and has been listed."""
    for account in config.accounts:
        of_account = found.get(account.name, {})
        for zone in account.discovery.zones if account.discovery else ():
            if zone in of_account:
                yield account, zone, of_account[zone]


def of_shard(sightings: Iterable[Sighting], shard: Shard) -> Iterator[Sighting]:
    """What becomes of them where several exporters share the configuration."""
    for each in sightings:
        mine = each.cluster is None or shard_of(each.cluster.cluster_id, shard.count) == shard.index
        yield each if mine else replace(each, outcome="elsewhere")


def with_found(config: Config, found: Discovered) -> Config:
    """The configuration with the clusters that were found and are wanted: see ``survey``."""
    come = (each.cluster for each in survey(config, found) if each.cluster is not None)
    return replace(config, clusters=(*config.clusters, *come))


def together(sightings: Iterable[Sighting]) -> dict[tuple[str, str], dict[Outcome, list[str]]]:
    """By account and zone, and by what becomes of them: the names, in order. They are the cloud's: what
    could end a line or turn its direction is escaped."""
    order = get_args(Outcome)
    zones: dict[tuple[str, str], dict[Outcome, list[str]]] = {}
    for each in sorted(sightings, key=lambda each: (order.index(each.outcome), each.name)):
        outcomes = zones.setdefault((each.account, each.zone), {})
        outcomes.setdefault(each.outcome, []).append(one_line(each.name))
    return zones


def called(listed: ListedCluster) -> str:
    """Its id, with its own name if that is another."""
    own = listed.name if listed.name != listed.cluster_id else ""
    return f"{listed.cluster_id} ({own})" if own else listed.cluster_id


def _outcome(discovery: DiscoveryConfig | None, listed: ListedCluster) -> Outcome:
    names = (listed.cluster_id, listed.name)
    if discovery is None or discovery.excludes(*names):
        return "excluded"
    if not discovery.wants(*names):
        return "not_included"
    return "watched" if listed.status in _ACTIVE else "rarely"


_ANY = ListedCluster("", "", "", {})


def found_cluster(
    config: Config, account: AccountConfig, zone: str, listed: ListedCluster = _ANY
) -> ClusterConfig:
    """What is watched of a cluster that was found, or of any that may be."""
    interval_seconds = config.collection.interval_seconds
    staleness_seconds = config.collection.staleness_seconds
    if listed.status not in _ACTIVE and account.discovery is not None:
        interval_seconds = max(interval_seconds, account.discovery.interval_seconds)
        if staleness_seconds is not None and staleness_seconds <= interval_seconds:
            staleness_seconds = None  # else its counts would come and go
    return ClusterConfig(
        name=listed.cluster_id,
        account=account.name,
        cluster_id=listed.cluster_id,
        zone=zone,
        timezone=None,
        interval_seconds=interval_seconds,
        staleness_seconds=staleness_seconds,
        labels=tuple((name, "") for name in config.label_names),
    )
