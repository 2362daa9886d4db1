"""Asking about clusters, one call after the other, with what is left of the budget when all else has
had its part."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from exporter.api.fleet import not_understood
from exporter.api.lists import SHARED_SECONDS, ZoneList, ZoneLists
from exporter.capacity.told import Dated, Told
from exporter.clock import Clock, instant
from exporter.errors import (
    ApiError,
    BudgetExhausted,
    HttpStatusError,
    RefusedError,
    Stopped,
    TransportError,
)
from exporter.model import ClusterIdentity, ListedCluster, ListedNode, ListedQueue

_LOG = logging.getLogger(__name__)

FAILURE_SECONDS = 3600.0
"""How often a failure is told that goes on, or returns."""
_MAY_NOT = "denied"
_GONE = "not_found"
_ACTIVE = ("", "active")
"""The statuses of a cluster in which a refusal concerns the account and not the cluster's state."""

T = TypeVar("T")


class Room(Protocol):
    """What can be asked about one cluster; see ``exporter.api.fleet``."""

    def queues(self, kind: str) -> tuple[ListedQueue, ...]: ...
    def queue(self, queue_id: str) -> ListedQueue | None: ...
    def nodes(self) -> tuple[ListedNode, ...]: ...


class Client(Protocol):
    """What can be asked of an account."""

    def room(self, cluster: ClusterIdentity) -> Room: ...


class Budget(Protocol):
    """What an account may still spend."""

    allowed: int
    period_seconds: float

    def left_for_capacity(self) -> int: ...
    def note_capacity(self) -> None: ...


class Asking:
    """Asks for one account, and remembers what it may not ask. For one thread."""

    def __init__(
        self, account: str, client: Client, lists: ZoneLists, budget: Budget, clock: Clock
    ) -> None:
        self._account = account
        self._client = client
        self._lists = lists
        self._budget = budget
        self._clock = clock
        self._dropped: set[Hashable] = set()
        """What the account may not ask, by zone or cluster, and call."""
        self._told_seconds: dict[Hashable, float] = {}
        self.unreached = False
        """Whether a call of this look was not answered; then it makes no more."""

    def clusters(self, zone: str) -> Dated[Mapping[str, ListedCluster]] | None:
        """The clusters of a zone by id; None if they are not told."""
        self.unreached = False

        def ask() -> ZoneList:
            recent = self._lists.recent(zone, SHARED_SECONDS)
            return recent or self._call(lambda: self._lists.get(zone))

        advice = "If the cloud wants the account's owner, set accounts[].user_id."
        told = self._part({"zone": zone}, "cluster/list", ask, None, advice=advice)
        if told is None:
            return None
        return Dated({each.cluster_id: each for each in told.value.clusters}, told.value.asked)

    def look(self, cluster: ClusterIdentity, told: Told) -> Told:
        """What is told of one cluster now, with what of ``told`` it is not told again."""
        self.unreached = False
        room = self._client.room(cluster)
        listed = told.listed.value if told.listed else None
        active = listed is None or listed.status in _ACTIVE
        who = {"cluster": cluster.name}

        def part(call: str, ask: Callable[[], T], before: Dated[T] | None) -> Dated[T] | None:
            return self._part(who, call, ask, before, for_good=active)

        kind = listed.kind if listed and listed.kind else cluster.cluster_id.partition("-")[0]
        queues = part("queues", lambda: self._call(partial(room.queues, kind)), told.queues)
        details = None
        if queues is not None:
            known = queues.value
            details = part("describeQueue", lambda: self._details(room, known), told.details)
        nodes = part("nodes", lambda: self._call(room.nodes), told.nodes)
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
        who: Mapping[str, str],
        call: str,
        ask: Callable[[], T],
        before: Dated[T] | None,
        *,
        for_good: bool = True,
        advice: str = "",
    ) -> Dated[T] | None:
        key = (*who.values(), call)
        if key in self._dropped:
            return None
        if self.unreached:
            return before
        taken = instant(self._clock)
        try:
            return Dated(ask(), taken)
        except ApiError as error:
            self.rest(0.0)  # calls are broken off when the program stops
            fields = {**who, "account": self._account, "call": call, "reason": error.reason}
            fields |= {"cause": str(error), "advice": advice or error.advice}
            if error.reason == _MAY_NOT or not_understood(error):
                if for_good:
                    self._dropped.add(key)
                    what = "the account may not ask for this, and it is asked no more"
                    _LOG.warning(what, extra=fields)
                return None
            self.unreached = isinstance(error, TransportError | HttpStatusError)
            self._tell(fields)
            return before

    def _call(self, ask: Callable[[], T]) -> T:
        """One call, or the pages of one list, when there is room for it."""
        pace_seconds = self._budget.period_seconds / self._budget.allowed
        while True:
            self.rest(0.0)
            while self._budget.left_for_capacity() < 1:
                self.rest(pace_seconds)
            try:
                answer = ask()
            except BudgetExhausted as error:
                self.rest(max(pace_seconds, error.until_at - self._clock.now_at()))
            except ApiError:
                self._budget.note_capacity()
                raise
            else:
                self._budget.note_capacity()
                return answer

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
            _LOG.warning("capacity could not be asked for", extra=fields)


def calls_of(told: Told) -> int:
    """How many calls a look at a cluster makes."""
    return 2 + (len(told.queues.value) if told.queues else 0)
