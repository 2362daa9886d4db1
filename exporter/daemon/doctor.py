"""``doctor``: finds out in a few calls how an account's server behaves, and what syncing will
cost."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

from exporter.api.budget import AccountBudget
from exporter.api.client import AccountClient, Credentials
from exporter.api.shape import Shape, joined
from exporter.api.transport import Transport
from exporter.clock import Clock, SystemClock
from exporter.config import AccountConfig, ClusterConfig, Config
from exporter.daemon.accounts import Keys, cluster_calls, open_account, sync_settings
from exporter.daemon.capacity_look import CapacityLook
from exporter.daemon.contact import Contact
from exporter.daemon.findings import (
    ABOUT_ONE_CALL,
    ClusterFindings,
    Failure,
    Findings,
    KeysVerdict,
    Timing,
    once_each,
)
from exporter.daemon.overhearing import CallLimit, Exchange, Overheard
from exporter.daemon.sightings import with_found
from exporter.errors import ApiError, HttpStatusError, RefusedError, SyncError
from exporter.ledger.directory import StateDirectory
from exporter.model import ListedCluster
from exporter.redaction import Redactor
from exporter.telemetry import Telemetry

MOST_CALLS = 25
ENOUGH_CALLS = 12
"""So many mostly find out one cluster; where others wait, it gets no more at first."""
CALLS_FOR_CAPACITY = 3
"""Kept for each cluster's, up to a quarter of all: queues, nodes, and what is free in one queue."""

Progressing = Callable[[str, int, int], None]
"""Told, before a call, whom it concerns, how many were made and how many there may be."""


def diagnose(
    config: Config, account: AccountConfig, progressing: Progressing, redactor: Redactor
) -> Findings:
    """Find out what there is to know about one account, those clusters of the configuration that use
    it, and those that its ``discovery`` finds. Raises ``StateError``."""
    clock = SystemClock()
    state = StateDirectory(config.state.path)
    opened = open_account(account, state, Telemetry(), clock, redactor)
    try:
        doctor = Doctor(
            config=config,
            account=account,
            credentials=Keys(account, redactor),
            transport=opened.transport,
            budget=opened.budget,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - which pages are looked at is no secret
            progressing=progressing,
        )
        return doctor.diagnose()
    finally:
        opened.transport.close()


class Doctor:
    """Makes the calls of one diagnosis."""

    def __init__(
        self,
        *,
        config: Config,
        account: AccountConfig,
        credentials: Callable[[], Credentials],
        transport: Transport,
        budget: AccountBudget,
        clock: Clock,
        rng: random.Random,
        progressing: Progressing,
    ) -> None:
        self._config = config
        self._account = account
        self._clock = clock
        self._rng = rng
        self._progressing = progressing
        self._limit = CallLimit(budget, min(MOST_CALLS, budget.left()) or 1)
        self._overheard = Overheard(transport, clock)
        self._client = AccountClient(
            account=account.name,
            endpoint=account.endpoint,
            credentials=credentials,
            transport=self._overheard,
            gate=self._limit,
            telemetry=Telemetry(),
            clock=clock,
            random=rng,
            user_id=account.user_id,
        )
        self._failures: list[Failure] = []
        self._in_vain = False
        """Whether further calls would fail for the same reason."""

    def diagnose(self) -> Findings:
        """See the function of this name."""
        zones, list_failure = self._list_zones()
        list_shape = self._shape_since(0)
        listed = [each for zone in zones.values() for each in zone] if zones else None
        together = with_found(self._config, {self._account.name: zones})
        clusters = together.clusters_of(self._account.name)
        if not clusters:
            self._failures = [list_failure or none_listed(self._zones)]
        by_id = {(zone, each.cluster_id): each for zone in zones for each in zones[zone]}
        found = [
            replace(each, listed=by_id.get((each.config.zone, each.config.cluster_id)))
            for each in self._look_at_all(clusters)
        ]
        found = self._with_capacity(found)
        return Findings(
            account=self._account,
            collection=self._config.collection,
            calls=self._limit.made,
            most_calls=self._limit.most,
            keys=self._keys(listed, found),
            clock_off_seconds=self._clock_off_seconds(),
            timings=timings(self._overheard.exchanges),
            quota_headers=next(
                (e.quota_headers for e in reversed(self._overheard.exchanges) if e.quota_headers),
                (),
            ),
            listed=None if listed is None else tuple(listed),
            list_shape=list_shape,
            list_failure=list_failure,
            clusters=tuple(found),
            failures=once_each(self._failures),
        )

    # -- calls -------------------------------------------------------------------------------------

    @property
    def _zones(self) -> tuple[str, ...]:
        """Those whose clusters are listed: where some may be found, or else that of the first cluster."""
        if self._account.discovery is not None:
            return self._account.discovery.zones
        return tuple(each.zone for each in self._config.clusters_of(self._account.name)[:1])

    def _list_zones(self) -> tuple[dict[str, tuple[ListedCluster, ...]], Failure | None]:
        """The account's clusters by zone, and why those of a zone are not there."""
        zones: dict[str, tuple[ListedCluster, ...]] = {}
        failure: Failure | None = None
        for zone in self._zones:
            self._tell("")
            try:
                zones[zone] = self._client.list_clusters(zone)
            except ApiError as error:
                failure = failure_of((), error)
                self._in_vain = error.reason not in ABOUT_ONE_CALL
                if self._in_vain:
                    self._failures.append(failure)
                    break
        return zones, failure

    def _look_at_all(self, clusters: Sequence[ClusterConfig]) -> list[ClusterFindings]:
        """One after the other, with one call kept for each that is to come; then once more those of
        which that may tell something."""
        found: list[ClusterFindings] = []
        contacts: list[Contact] = []
        kept = self._kept_for_capacity(len(clusters))
        for place, cluster in enumerate(clusters):
            to_come = len(clusters) - place - 1
            most = max(1, self._limit.left - to_come - kept)
            most = min(most, ENOUGH_CALLS) if to_come else most
            if self._in_vain or not self._limit.left:
                found.append(ClusterFindings(config=cluster))
                continue
            contact = self._contact(cluster)
            contacts.append(contact)
            found.append(self._look_at(contact, cluster, partial(contact.find, most)))
        for place, contact in enumerate(contacts):
            if found[place].failure is None:
                with self._limit.at_most(max(0, self._limit.left - kept)):
                    again = self._look_at(contact, found[place].config, contact.look_again)
                shapes = [each.shape for each in (found[place], again) if each.shape is not None]
                found[place] = replace(
                    again,
                    calls=found[place].calls + again.calls,
                    shape=joined(shapes) if shapes else None,
                )
            contact.close()
        return found

    def _kept_for_capacity(self, clusters: int) -> int:
        if self._config.collection.capacity_interval_seconds is None:
            return 0
        return min(CALLS_FOR_CAPACITY * clusters, self._limit.most // 4)

    def _with_capacity(self, found: Sequence[ClusterFindings]) -> list[ClusterFindings]:
        """Add what the capacity calls report about the clusters that could be read."""
        if self._config.collection.capacity_interval_seconds is None or self._in_vain:
            return list(found)
        read = [each for each in found if each.calls and each.failure is None]
        look = CapacityLook(self._client, self._limit, self._clock, self._tell)
        told = look.look([(each.config, each.listed) for each in read])
        of = {each.config.name: one for each, one in zip(read, told, strict=True)}
        return [
            replace(each, capacity=one, calls=each.calls + one.calls)
            if (one := of.get(each.config.name))
            else each
            for each in found
        ]

    def _contact(self, cluster: ClusterConfig) -> Contact:
        return Contact(
            config=cluster,
            calls=cluster_calls(self._client, cluster),
            settings=sync_settings(self._config, cluster),
            limit=self._limit,
            clock=self._clock,
            rng=self._rng,
            told=lambda: self._tell(cluster.name),
        )

    def _look_at(
        self, contact: Contact, cluster: ClusterConfig, look: Callable[[], None]
    ) -> ClusterFindings:
        before, made_before = len(self._overheard.exchanges), self._limit.made
        failure = None
        try:
            look()
        except (ApiError, SyncError) as error:
            failure = failure_of((cluster.name,), error)
            self._failures.append(failure)
            concerns_all = isinstance(error, ApiError) and error.reason not in ABOUT_ONE_CALL
            self._in_vain = self._in_vain or concerns_all
        return replace(
            contact.findings(),
            calls=self._limit.made - made_before,
            shape=self._shape_since(before),
            failure=failure,
        )

    # -- what was overheard ------------------------------------------------------------------------

    def _tell(self, whom: str) -> None:
        self._progressing(whom, self._limit.made, self._limit.most)

    def _shape_since(self, before: int) -> Shape | None:
        exchanges = self._overheard.exchanges[before:]
        good = [each.shape for each in exchanges if each.shape is not None and each.shape.record]
        return joined(good) if good else None

    def _clock_off_seconds(self) -> float | None:
        off = [each.clock_off_seconds for each in self._overheard.exchanges]
        told = [each for each in off if each is not None]
        return median(told) if told else None

    def _keys(self, listed: object, found: Sequence[ClusterFindings]) -> KeysVerdict:
        if any(each.reason == "authentication" for each in self._failures):
            return "refused"
        return "accepted" if listed is not None or any(e.asked for e in found) else "unknown"


def failure_of(clusters: tuple[str, ...], error: ApiError | SyncError) -> Failure:
    """How an error is reported."""
    return Failure(
        clusters,
        error.reason,
        str(error),
        error.advice,
        ret_code=error.ret_code if isinstance(error, RefusedError) else None,
        http_status=error.status if isinstance(error, HttpStatusError) else None,
    )


def none_listed(zones: Sequence[str]) -> Failure:
    """The error if there is no cluster to look at."""
    return Failure(
        (),
        "no_cluster",
        f"cluster/list shows no such cluster in zone {', '.join(zones)}",
        "Check the zone, and whose keys these are, or give a cluster's id.",
    )


def timings(exchanges: Sequence[Exchange]) -> tuple[Timing, ...]:
    """How long the answers of each call took. Pure."""
    paths = dict.fromkeys(each.path for each in exchanges)
    return tuple(
        Timing(
            path,
            len(of_path),
            median(each.seconds for each in of_path),
            max(each.seconds for each in of_path),
            max(each.size_bytes for each in of_path),
        )
        for path in paths
        for of_path in [[each for each in exchanges if each.path == path]]
    )
