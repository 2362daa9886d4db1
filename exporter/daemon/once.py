"""``collect``: queries the clusters once, without a daemon."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from exporter.api.budget import Demand
from exporter.clock import SystemClock
from exporter.collector import AccountQuota
from exporter.config import ClusterConfig, Config, format_duration
from exporter.daemon.accounts import (
    Account,
    cluster_calls,
    open_account,
    publisher_of,
    sync_settings,
)
from exporter.daemon.looking import CONTACT_CALLS, Look, Seen, calls_for
from exporter.errors import ApiError, StateError, StateInUse, SyncError
from exporter.ledger.directory import StateDirectory
from exporter.ledger.store import Ledger
from exporter.model import Purpose
from exporter.redaction import Redactor
from exporter.snapshot import ClusterState, SyncFailure
from exporter.telemetry import Telemetry

ACCOUNT_REASONS = frozenset(
    {
        "authentication",
        "budget",
        "clock",
        "connection",
        "licence",
        "proxy",
        "quota",
        "redirect",
        "tls",
    }
)
"""What fails for one cluster of an account fails for all: the others are not asked."""
ENOUGH_SILENT = 2
"""An account of which so many clusters were silent, and none has answered, is not asked further."""


T = TypeVar("T")


class Progressing(Protocol):
    """Told, while a cluster is read, how far it is."""

    def __call__(self, cluster_name: str, jobs_known: int, jobs_expected: int | None) -> None:
        """``jobs_expected`` is None while it cannot be told."""
        ...


@dataclass(frozen=True, slots=True)
class Collected:
    """What was seen of the clusters."""

    states: Mapping[str, ClusterState]
    """With the failure, where there is one; not ``tried`` where another one made it pointless."""
    whole_calls: Mapping[str, int | None]
    """What reading the whole list of a cluster would cost, where it was not read; None: unknown."""
    quotas: Sequence[AccountQuota]


@dataclass(frozen=True, slots=True)
class _Failed:
    failure: SyncFailure
    tried: bool = True


def collect(
    config: Config, names: Sequence[str], *, full: bool, progressing: Progressing
) -> Collected:
    """Look once at the named clusters.

    Calls are counted together with those of a daemon on the same state. What a full look reads is
    kept there, unless a daemon is at work, which needs nothing of it and whose calls are left to it.
    """
    look = _Collection(config, names, progressing)
    if not full:
        outcomes = look.each(look.clusters, lambda cluster: look.looks[cluster.name].active())
        return look.collected(outcomes, _costs(outcomes))
    with ExitStack() as stack:
        return look.collected(look.whole(stack), {})


class _Collection:
    """The clusters to be looked at, and what looking takes."""

    def __init__(self, config: Config, names: Sequence[str], progressing: Progressing) -> None:
        self._config = config
        self._clock = SystemClock()
        self._state = StateDirectory(config.state.path)
        self._accounts = {
            each.name: open_account(each, self._state, Telemetry(), self._clock, Redactor())
            for each in config.accounts
        }
        self._answering = set[str]()
        """The accounts of which a cluster has had an answer."""
        self._silent = Counter[str]()
        """How many clusters of each account have had none."""
        self._beside_daemon = False
        self.clusters = [cluster for cluster in config.clusters if cluster.name in names]
        self.looks = {
            cluster.name: Look(
                cluster_calls(self._accounts[cluster.account].client, cluster),
                settings=sync_settings(config, cluster),
                publisher=publisher_of(config),
                budget=self._accounts[cluster.account].budget,
                clock=self._clock,
                progressing=partial(progressing, cluster.name),
            )
            for cluster in self.clusters
        }

    def each(
        self, clusters: Iterable[ClusterConfig], look: Callable[[ClusterConfig], T]
    ) -> dict[str, T | _Failed]:
        """Look at one after the other; at no more of an account for which it is pointless."""
        outcomes: dict[str, T | _Failed] = {}
        pointless: dict[str, SyncFailure] = {}
        for cluster in clusters:
            if cluster.account in pointless:
                outcomes[cluster.name] = _Failed(pointless[cluster.account], tried=False)
                continue
            try:
                outcomes[cluster.name] = look(cluster)
            except (ApiError, SyncError, StateError) as error:
                now_at = self._clock.now_at()
                failure = SyncFailure(error.reason, str(error), error.advice, now_at)
                outcomes[cluster.name] = _Failed(failure)
                if error.reason in ACCOUNT_REASONS or self._is_silent(cluster.account, error):
                    pointless[cluster.account] = failure
            else:
                self._answering.add(cluster.account)
        return outcomes

    def _is_silent(self, account: str, error: ApiError | SyncError | StateError) -> bool:
        """Whether the whole account is, now that one of its clusters has failed so."""
        if error.reason == "timeout":
            self._silent[account] += 1
        elif not isinstance(error, StateError):  # which says nothing of the cloud
            self._answering.add(account)
        return account not in self._answering and self._silent[account] >= ENOUGH_SILENT

    def whole(self, stack: ExitStack) -> dict[str, Seen | _Failed]:
        """Read the whole lists, unless that is more than the budget allows."""
        ledgers = self._ledgers(stack)
        lengths = self.each(self.clusters, lambda cluster: self.looks[cluster.name].length())
        outcomes: dict[str, Seen | _Failed] = {
            name: length for name, length in lengths.items() if isinstance(length, _Failed)
        }
        for name, account in self._accounts.items():
            costs = {
                cluster.name: _cost(length, ledgers[cluster.name])
                for cluster in self.clusters
                if cluster.account == name and isinstance(length := lengths[cluster.name], int)
            }
            refusal = self._refusal(account, sum(costs.values()))
            if refusal is not None:
                outcomes |= dict.fromkeys(costs, _Failed(refusal))

        def look(cluster: ClusterConfig) -> Seen:
            return self.looks[cluster.name].whole(ledgers[cluster.name])

        left = (cluster for cluster in self.clusters if cluster.name not in outcomes)
        return outcomes | self.each(left, look)

    def collected(
        self, outcomes: Mapping[str, Seen | _Failed], whole_calls: Mapping[str, int | None]
    ) -> Collected:
        """The results, in the order of the configuration."""
        used = {cluster.account for cluster in self.clusters}
        return Collected(
            {cluster.name: _state_of(cluster, outcomes[cluster.name]) for cluster in self.clusters},
            whole_calls,
            [
                AccountQuota(name, account.budget.allowed, account.budget.used())
                for name, account in self._accounts.items()
                if name in used
            ],
        )

    def _ledgers(self, stack: ExitStack) -> dict[str, Ledger]:
        """The ledgers on disk; empty ones in memory where none are kept, or where a daemon uses them."""
        state = self._state
        try:
            state.acquire()
            stack.callback(state.release)
        except StateInUse:
            state, self._beside_daemon = StateDirectory(None), True
        ledgers = {}
        for cluster in self.clusters:
            endpoint = self._config.account(cluster.account).endpoint
            ledger = state.ledger(cluster.identity, endpoint, self._clock)
            ledgers[cluster.name] = stack.enter_context(closing(ledger))
        return ledgers

    def _refusal(self, account: Account, needed: int) -> SyncFailure | None:
        """Why the whole lists are not read; None if they may be. A daemon's calls are left to it."""
        budget, config = account.budget, account.config
        left = budget.left()
        if self._beside_daemon:
            for cluster in self._config.clusters_of(config.name):
                budget.declare(cluster.name, Demand(cluster.interval_seconds, 1.0))
            left = budget.left(Purpose.HISTORY)
        if needed <= left:
            return None
        period = format_duration(config.quota_period_seconds)
        wait = f"wait up to {period}, " if needed <= budget.allowed else ""
        return SyncFailure(
            "budget",
            f"reading the whole list would take about {needed:,} calls; of the {budget.allowed:,} that are"
            f" allowed in {period}, {left:,} are left for it",
            f"Query fewer clusters with --cluster, {wait}or raise quota.share. The daemon can read a"
            " list of any length, with the calls that it has left over.",
            self._clock.now_at(),
        )


def _cost(jobs: int, ledger: Ledger) -> int:
    """What it costs to know all of so many jobs; what a ledger knows need not be read again."""
    goes_on = ledger.progress.newest_at is not None or ledger.progress.complete
    return CONTACT_CALLS + calls_for(max(0, jobs - ledger.size) if goes_on else jobs)


def _costs(outcomes: Mapping[str, Seen | _Failed]) -> dict[str, int | None]:
    """How much of each cluster that was seen has still to be read."""
    return {
        name: None if seen.jobs is None else calls_for(seen.jobs)
        for name, seen in outcomes.items()
        if isinstance(seen, Seen) and not (seen.snapshot and seen.snapshot.history_complete)
    }


def _state_of(cluster: ClusterConfig, outcome: Seen | _Failed) -> ClusterState:
    if isinstance(outcome, _Failed):
        return ClusterState(cluster.identity, tried=outcome.tried, failure=outcome.failure)
    return ClusterState(
        cluster.identity,
        tried=True,
        snapshot=outcome.snapshot,
        last_success_at=outcome.snapshot.taken_at if outcome.snapshot else None,
        strategy=outcome.strategy,
        effective_interval_seconds=cluster.interval_seconds,
    )
