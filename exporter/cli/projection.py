"""What a configuration will cost: calls an hour, compared with each account's share of its quota."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from exporter.config import (
    NO_HISTORY_SECONDS,
    AccountConfig,
    ClusterConfig,
    Config,
    config_warnings,
    format_duration,
)
from exporter.daemon.listing import WORTH_CLUSTERS
from exporter.daemon.sightings import Sighting, found_cluster, together
from exporter.logs import one_line
from exporter.model import PAGE_LIMIT
from exporter.polling.schedule import forced_seconds
from exporter.sync.context import SyncSettings
from exporter.texts import Words

_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class ClusterCost:
    """Calls an hour for one cluster in a steady state, where the API sorts by last change."""

    cluster: ClusterConfig
    refresh_calls: float
    audit_calls: float


@dataclass(frozen=True, slots=True)
class AccountCost:
    """Calls an hour of all clusters of one account, and what it may spend."""

    account: AccountConfig
    clusters: tuple[ClusterCost, ...]
    detected_calls: float | None = None
    """Calls an hour while nothing changes, where the counters of cluster/list are proven to follow the
    lists; None where they are not asked for."""
    capacity_looks: float = 0.0
    """Looks an hour at queues and nodes, which are no part of the projection: they are made with what
    is left over. 0 for none."""

    @property
    def capacity_calls(self) -> float:
        """Calls an hour for them, one for each zone and two for each cluster; queues come on top."""
        zones = {each.cluster.zone for each in self.clusters}
        return self.capacity_looks * (len(zones) + 2 * len(self.clusters))

    @property
    def refresh_calls(self) -> float:
        """For looks at the clusters."""
        return sum(cost.refresh_calls for cost in self.clusters)

    @property
    def audit_calls(self) -> float:
        """For proofs that the counts are right."""
        return sum(cost.audit_calls for cost in self.clusters)

    @property
    def calls(self) -> float:
        """Calls an hour, all together."""
        return self.refresh_calls + self.audit_calls

    @property
    def fits(self) -> bool:
        """Whether the account's share allows them."""
        return self.calls <= self.account.calls_per_hour

    @property
    def stretch(self) -> float:
        """How many times the intervals become longer, so that they do."""
        return max(1.0, self.calls / self.account.calls_per_hour)

    @property
    def share_needed(self) -> float:
        """The part of the quota that would allow them, rounded up to a hundredth; may exceed 1."""
        whole = self.account.calls_per_hour / self.account.quota_share
        return math.ceil(self.calls / whole * 100 - 1e-9) / 100

    @property
    def interval_needed_seconds(self) -> float | None:
        """One interval for every cluster that would fit, whole seconds; None if audits alone do
        not."""
        rest = self.account.calls_per_hour - self.audit_calls
        if rest <= 0:
            return None
        return math.ceil(len(self.clusters) * _HOUR_SECONDS / rest - 1e-9)


def project(config: Config) -> tuple[AccountCost, ...]:
    """One call a refresh, and one for each audit."""
    audit_calls = _HOUR_SECONDS / config.collection.audit_interval_seconds
    capacity_seconds = config.collection.capacity_interval_seconds
    capacity_looks = _HOUR_SECONDS / capacity_seconds if capacity_seconds else 0.0
    return tuple(
        AccountCost(
            account,
            tuple(
                ClusterCost(cluster, _HOUR_SECONDS / cluster.interval_seconds, audit_calls)
                for cluster in config.clusters_of(account.name)
            ),
            _detected_calls(config, account),
            capacity_looks,
        )
        for account in config.accounts
    )


def _detected_calls(config: Config, account: AccountConfig) -> float | None:
    collection, by_zone = config.collection, dict[str, list[float]]()
    for cluster in config.clusters_of(account.name):
        by_zone.setdefault(cluster.zone, []).append(cluster.interval_seconds)
    listed = [each for each in by_zone.values() if len(each) >= WORTH_CLUSTERS]
    if not collection.change_detector or not listed:
        return None
    calls = 0.0
    for intervals in by_zone.values():
        if intervals in listed:
            calls += _HOUR_SECONDS / min(intervals)
        for seconds in intervals:
            apart_seconds = _apart_seconds(config, seconds) if intervals in listed else seconds
            calls += _HOUR_SECONDS / apart_seconds
    return calls


def _apart_seconds(config: Config, interval_seconds: float) -> float:
    """How far apart the syncs of a cluster are in which nothing changes."""
    audit_seconds = config.collection.audit_interval_seconds
    return forced_seconds(
        SyncSettings(interval_seconds=interval_seconds, audit_interval_seconds=audit_seconds)
    )


def warnings(config: Config) -> list[str]:
    """What is allowed and still unlikely to be meant, and what the projection says of the budget."""
    lines = list(config_warnings(config))
    for cost in project(config):
        if cost.fits:
            continue
        lines.append(
            f"account {cost.account.name}: {_calls(cost.calls)} an hour are projected and"
            f" {cost.account.calls_per_hour:,.0f} allowed, so the intervals will be stretched"
        )
        for cluster in (each.cluster for each in cost.clusters):
            stretched = cluster.interval_seconds * cost.stretch
            if cluster.interval_seconds < (cluster.staleness_seconds or math.inf) <= stretched:
                lines.append(
                    f"cluster {cluster.name}: its interval will be stretched beyond its staleness, so"
                    " its counts will come and go; without staleness, it follows the interval"
                )
    return [one_line(line) for line in lines]


def report(config: Config) -> str:
    """The projection for people, what may be wrong first; ends in a line feed."""
    lines: list[str] = []
    if found := warnings(config):
        lines += ["Warnings:", *(f"  - {warning}" for warning in found), ""]
    for cost in project(config):
        lines += [*_account_lines(cost, config), ""]
    lines += ["Not known before it runs:", *_unknowns(config)]
    return "\n".join(lines) + "\n"


def _account_lines(cost: AccountCost, config: Config) -> list[str]:
    account = cost.account
    quota = (
        f"{account.quota_share:g} of {account.quota_requests:,} in "
        f"{format_duration(account.quota_period_seconds)}"
        + (f", divided among {account.shards} shards" if account.shards > 1 else "")
    )
    allowed = f"{account.calls_per_hour:,.0f}"
    if account.discovery and not cost.clusters:  # none has been discovered yet
        calls = f"{allowed} calls an hour allowed"
    else:
        calls = f"{_calls(cost.calls)} an hour projected, {allowed} allowed"
    lines = [f"account {one_line(account.name)}: {calls} ({quota})"]
    width = max((len(one_line(each.cluster.name)) for each in cost.clusters), default=0)
    lines += [
        f"  {one_line(each.cluster.name):<{width}}  every {format_duration(each.cluster.interval_seconds)}: "
        f"{_number(each.refresh_calls)} for syncs, {_number(each.audit_calls)} for audits"
        for each in cost.clusters
    ]
    if cost.detected_calls is not None:
        lines.append(
            f"  with the change detector, if the cloud's counters are reliable:"
            f" {_number(cost.detected_calls)} while nothing changes, and one for each cluster and interval"
            " with changes"
        )
    lines += _discovery_lines(cost, config)
    if cost.clusters and cost.capacity_looks:
        lines.append(
            f"  for capacity, from spare calls: {_number(cost.capacity_calls)}, and"
            f" {_number(cost.capacity_looks)} for each queue"
        )
    return [*lines, *_verdict(cost)]


def _discovery_lines(cost: AccountCost, config: Config) -> list[str]:
    """How many clusters that are found the account can feed, beside those of the configuration."""
    discovery = cost.account.discovery
    if discovery is None:
        return []
    listing = len(discovery.zones) * _HOUR_SECONDS / discovery.interval_seconds
    each = _HOUR_SECONDS / config.collection.interval_seconds
    each += _HOUR_SECONDS / config.collection.audit_interval_seconds
    room = max(0, int((cost.account.calls_per_hour - cost.calls - listing) / each))
    zones = one_line(", ".join(discovery.zones))
    per_cluster = f"{_calls(listing)} an hour for that, and {_number(each)} for each cluster"
    more = "more " if cost.clusters else ""
    enough = f"there is room for {room} {more}clusters before intervals are stretched"
    if (quiet_room := _quiet_room(cost, config, discovery.zones, listing)) > room:
        enough += f", and with the change detector for {quiet_room} in which nothing changes"
    return [f"  discovers clusters in {zones}: {per_cluster}; {enough}"]


def _quiet_room(
    cost: AccountCost, config: Config, zones: tuple[str, ...], listing_calls: float
) -> int:
    """How many clusters in which nothing changes could be found, if the cloud's counters are reliable;
    0 without a change detector."""
    come = tuple(found_cluster(config, cost.account, zone) for zone in zones) * WORTH_CLUSTERS
    calls = _detected_calls(replace(config, clusters=(*config.clusters, *come)), cost.account)
    if calls is None:
        return 0
    left = cost.account.calls_per_hour - listing_calls - calls
    each = _HOUR_SECONDS / _apart_seconds(config, config.collection.interval_seconds)
    return max(0, len(come) + math.floor(left / each))


def found_report(sightings: Iterable[Sighting]) -> str:
    """What the last daemon has found, and what becomes of it; empty, if that is not known."""
    lines, say = [], Words("en")
    for (account, zone), outcomes in together(sightings).items():
        lines.append(f"account {one_line(account)} has found in {one_line(zone)}")
        for outcome, names in outcomes.items():
            becomes = say(f"page.found.{outcome}")
            lines.append(f"  {len(names)} {becomes}: {', '.join(names)}")
    return "\n".join([*lines, "", ""]) if lines else ""


def _verdict(cost: AccountCost) -> list[str]:
    if not cost.clusters:
        return [] if cost.account.discovery else ["  no cluster uses it"]
    if cost.fits:
        return [f"  fits: {cost.calls / cost.account.calls_per_hour:.0%} of what is allowed"]
    lines = [
        f"  does not fit: the intervals will be stretched, to about {cost.stretch:.1f} times; either"
    ]
    if cost.interval_needed_seconds is not None:
        lines.append(
            f"    - set an interval of {format_duration(cost.interval_needed_seconds)} or more, or"
        )
    if cost.share_needed <= 1:
        lines.append(
            f"    - set quota.share to {cost.share_needed:g}, which leaves less for other tools, or"
        )
    return [*lines, "    - watch fewer clusters, or use another account for some of them"]


def _unknowns(config: Config) -> list[str]:
    lines = [
        "  - whether the API sorts the list by last change. If it does not, a sync costs one call",
        f"    for every {PAGE_LIMIT - 1} active jobs instead of one, and intervals are stretched to",
        "    stay within the share; ehpc_sync_strategy shows this",
        "  - how many other tools use the same account; they share its quota",
    ]
    if config.collection.history_seconds == NO_HISTORY_SECONDS:
        return lines
    lines.append("  - how long the history is. It is read once, with the spare calls")
    costs = [cost for cost in project(config) if cost.clusters]
    if not costs:  # none has been discovered yet
        return lines
    lines[-1] += ":"
    lines += [
        f"    account {one_line(cost.account.name)} has about {left:,.0f} an hour for it, enough for "
        f"{left * (PAGE_LIMIT - 1):,.0f} jobs an hour"
        for cost in costs
        if (left := max(0.0, cost.account.calls_per_hour - cost.calls))
    ] or ["    with these intervals, no calls are left for it"]
    return lines


def _calls(number: float) -> str:
    return f"{_number(number)} call{'' if number == 1 else 's'}"


def _number(number: float) -> str:
    """Whole, but for the small ones."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
