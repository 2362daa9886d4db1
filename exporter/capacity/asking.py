"""Querying clusters' capacity, one call after the other, with the calls that nothing else needs."""

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from exporter.api.fleet import not_understood
from exporter.api.lists import SHARED_SECONDS, ZoneList, ZoneLists
from exporter.capacity.told import Dated, Told
from exporter.clock import Clock, instant
from exporter.errors import (
    ApiError,
    BudgetExhausted,
    RefusedError,
    Stopped,
    TransportError,
)
from exporter.model import ClusterIdentity, ListedCluster, ListedNode, ListedQueue, Purpose

_LOG = logging.getLogger(__name__)

FAILURE_SECONDS = 3600.0
"""How often a failure is told that goes on, or returns."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 3600.0, 86400.0
"""How long a call is not made that the server does not know; doubled each time, up to a day."""
_LIST = "cluster/list"
_DO_WITHOUT = (
    "Only capacity needs it; with collection.capacity_interval: off, it is not asked for, and cores can be"
    " set in the cluster's queues."
)
_MAY_NOT = "denied"
_GONE = "not_found"
_ACTIVE = ("", "active")
"""The statuses of a cluster in which a refusal concerns the account and not the cluster's state."""

T = TypeVar("T")


class Room(Protocol):
    """The queries about one cluster; see ``exporter.api.fleet``."""

    def queues(self, kind: str, between: Callable[[], None]) -> tuple[ListedQueue, ...]: ...
    def queue(self, queue_id: str) -> ListedQueue | None: ...
    def nodes(self, between: Callable[[], None]) -> tuple[ListedNode, ...]: ...


class Client(Protocol):
    """The queries that an account can make."""

    def room(self, cluster: ClusterIdentity) -> Room: ...


class Budget(Protocol):
    """Which calls an account may still make."""

    allowed: int
    period_seconds: float

    def left(self, purpose: Purpose) -> int: ...
    def note(self, purpose: Purpose) -> None: ...


class _Dropped(NamedTuple):
    """A call that is not made for a while."""

    until_seconds: float
    pause_seconds: float = 0.0


class Asking:
    """Makes the queries of one account, and remembers which are refused. For one thread."""

    def __init__(
        self, account: str, client: Client, lists: ZoneLists, budget: Budget, clock: Clock
    ) -> None:
        self._account = account
        self._client = client
        self._lists = lists
        self._budget = budget
        self._clock = clock
        self._dropped: dict[Hashable, _Dropped] = {}
        """What is not asked, by zone or cluster, and call."""
        self._told_seconds: dict[Hashable, float] = {}
        self.unreached = False
        """Whether a call of this look was not answered; then it makes no more."""
        self.answered = False
        """Whether one was answered: successfully, or so that it is not made again soon."""

    def clusters(self, zone: str) -> Dated[Mapping[str, ListedCluster]] | None:
        """The clusters of a zone by id; None if they could not be listed."""
        self.unreached = self.answered = False

        def ask() -> ZoneList:
            return self._call(lambda: self._lists.get(zone))

        listed = self._lists.recent(zone, SHARED_SECONDS)
        if listed is None:
            told = self._part(zone, {"zone": zone}, _LIST, ask, None)
            if told is None:
                return None
            listed = told.value
        return Dated({each.cluster_id: each for each in listed.clusters}, listed.asked)

    def look(self, cluster: ClusterIdentity, told: Told) -> Told:
        """What is reported about one cluster now, and the parts of ``told`` that were not reported again."""
        self.unreached = self.answered = False
        room = self._client.room(cluster)
        listed = told.listed.value if told.listed else None
        active = listed is None or listed.status in _ACTIVE
        who = {"cluster": cluster.name}

        def part(call: str, ask: Callable[[], T], before: Dated[T] | None) -> Dated[T] | None:
            return self._part(cluster.remote, who, call, ask, before, for_good=active)

        kind = listed.kind if listed and listed.kind else cluster.cluster_id.partition("-")[0]
        queues = part(
            "queues", lambda: self._call(partial(room.queues, kind, self._next_page)), told.queues
        )
        details = None
        if queues is not None:
            known = queues.value
            details = part("describeQueue", lambda: self._details(room, known), told.details)
        nodes = part("nodes", lambda: self._call(partial(room.nodes, self._next_page)), told.nodes)
        return replace(told, queues=queues, details=details, nodes=nodes)

    def _details(self, room: Room, queues: Sequence[ListedQueue]) -> dict[str, ListedQueue]:
        found = {}
        for queue_id in (queue.queue_id for queue in queues if queue.queue_id):
            try:
                detail = self._call(partial(room.queue, queue_id))
            except RefusedError as error:
                if error.reason != _GONE:
                    raise
                continue
            if detail is not None:
                found[queue_id] = detail
        return found

    def _part(
        self,
        whom: Hashable,
        who: Mapping[str, str],
        call: str,
        ask: Callable[[], T],
        before: Dated[T] | None,
        *,
        for_good: bool = True,
    ) -> Dated[T] | None:
        key = (whom, call)
        dropped = self._dropped.get(key)
        if dropped is not None and self._clock.monotonic_seconds() < dropped.until_seconds:
            return None
        if self.unreached:
            return before
        taken = instant(self._clock)
        try:
            told = Dated(ask(), taken)
        except ApiError as error:
            self.rest(0.0)  # calls are broken off when the program stops
            fields = {**who, "account": self._account, "call": call, "reason": error.reason}
            fields |= {"cause": str(error), "advice": error.advice}
            if error.reason == _MAY_NOT or not_understood(error):
                self.answered = True
                if for_good:
                    self._drop(key, fields, may_not=error.reason == _MAY_NOT)
                return None
            self.unreached = isinstance(error, TransportError)
            self._tell(fields)
            return before
        self._dropped.pop(key, None)
        self.answered = True
        return told

    def _drop(self, key: Hashable, fields: Mapping[str, str], *, may_not: bool) -> None:
        """Not to be asked: for good what the account may not; later and later what the server does not
        know, as another one behind the same name may."""
        if may_not:
            self._dropped[key] = _Dropped(math.inf)
            what = "the account may not ask for this, and it is asked no more before a restart"
            _LOG.warning(what, extra=fields)
            return
        known = self._dropped.get(key)
        pause_seconds = (
            min(2 * known.pause_seconds, LONGEST_PAUSE_SECONDS) if known else PAUSE_SECONDS
        )
        until_seconds = self._clock.monotonic_seconds() + pause_seconds
        self._dropped[key] = _Dropped(until_seconds, pause_seconds)
        if known is None:
            what = (
                "the server does not know this call, and it is tried again in an hour, then rarely"
            )
            # It may only be a list of clusters that wants the account's owner: that advice stays.
            advice = fields["advice"] if fields["call"] == _LIST else _DO_WITHOUT
            _LOG.warning(what, extra={**fields, "advice": advice})

    def _call(self, ask: Callable[[], T]) -> T:
        """One call, or the pages of one list, when there is room for the first."""
        pace_seconds = self._budget.period_seconds / self._budget.allowed
        while True:
            self._wait_for_room(pace_seconds)
            try:
                answer = ask()
            except BudgetExhausted as error:
                self.rest(max(pace_seconds, error.until_at - self._clock.now_at()))
            except ApiError:
                self._budget.note(Purpose.CAPACITY)
                raise
            else:
                self._budget.note(Purpose.CAPACITY)
                return answer

    def _next_page(self) -> None:
        """One page has come; the next one is another call."""
        self._budget.note(Purpose.CAPACITY)
        self._wait_for_room(self._budget.period_seconds / self._budget.allowed)

    def _wait_for_room(self, pace_seconds: float) -> None:
        self.rest(0.0)
        while self._budget.left(Purpose.CAPACITY) < 1:
            self.rest(pace_seconds)

    def rest(self, seconds: float) -> None:
        """Sleep for so long. Raises Stopped if the program stops."""
        if self._clock.sleep(max(0.0, seconds)):
            raise Stopped("the program is stopping")

    def _tell(self, fields: Mapping[str, str]) -> None:
        what = (fields["call"], fields["reason"])
        now_seconds = self._clock.monotonic_seconds()
        last_seconds = self._told_seconds.get(what)
        if last_seconds is None or now_seconds - last_seconds >= FAILURE_SECONDS:
            self._told_seconds[what] = now_seconds
            # A cluster that has been deleted cannot be synced either, and that is warned of.
            level = logging.INFO if fields["reason"] == _GONE else logging.WARNING
            _LOG.log(level, "capacity could not be queried", extra=fields)


def calls_of(told: Told) -> int:
    """How many calls one round makes for a cluster."""
    return 2 + (len(told.queues.value) if told.queues else 0)
