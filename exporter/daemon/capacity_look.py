"""Which capacity calls work, and what they report: for ``doctor``, with the calls that it has left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import TypeVar

from exporter.api.client import AccountClient
from exporter.api.fleet import not_understood
from exporter.capacity import ConfiguredQueue, Told, capacity_of
from exporter.capacity.told import Dated
from exporter.clock import Clock, instant
from exporter.config import ClusterConfig
from exporter.daemon.findings import ABOUT_ONE_CALL, Answer, Call, CapacityFindings
from exporter.daemon.overhearing import OUT_OF_CALLS, CallLimit
from exporter.errors import ApiError, BudgetExhausted
from exporter.model import ListedCluster, ListedQueue

T = TypeVar("T")


@dataclass(slots=True)
class _Patient:
    config: ClusterConfig
    kind: str
    told: Told
    answers: dict[Call, Answer]
    details: dict[str, ListedQueue] = field(default_factory=dict)
    calls: int = 0


class CapacityLook:
    """Queries first the queues of all clusters, then their nodes, then what is free in each queue."""

    def __init__(
        self, client: AccountClient, limit: CallLimit, clock: Clock, telling: Callable[[str], None]
    ) -> None:
        """``telling`` is called before each call, with the name of the cluster."""
        self._client, self._limit, self._clock, self._telling = client, limit, clock, telling
        self._in_vain = False

    def look(
        self, clusters: Sequence[tuple[ClusterConfig, ListedCluster | None]]
    ) -> list[CapacityFindings]:
        """Look at each of these clusters, in this order."""
        patients = [self._patient(*each) for each in clusters]
        for each in patients:
            room = self._client.room(each.config.identity)
            between = partial(self._telling, each.config.name)
            queues = self._ask(each, "queues", partial(room.queues, each.kind, between))
            each.told = replace(each.told, queues=self._dated(queues))
        for each in patients:
            room = self._client.room(each.config.identity)
            between = partial(self._telling, each.config.name)
            nodes = self._ask(each, "nodes", partial(room.nodes, between))
            each.told = replace(each.told, nodes=self._dated(nodes))
        for each, queue_id in _in_turn(patients):
            room = self._client.room(each.config.identity)
            detail = self._ask(each, "queue", partial(room.queue, queue_id))
            if detail is not None:
                each.details[queue_id] = detail
        return [self._findings(each) for each in patients]

    def _patient(self, config: ClusterConfig, listed: ListedCluster | None) -> _Patient:
        kind = listed.kind if listed and listed.kind else config.cluster_id.partition("-")[0]
        told = Told(listed=self._dated(listed))
        status = Answer("answered" if listed is not None else "not_asked")
        return _Patient(config, kind, told, {"status": status})

    def _ask(self, patient: _Patient, call: Call, ask: Callable[[], T]) -> T | None:
        """What the cloud reports; None if nothing. A call that failed is not made again."""
        if patient.answers.get(call, Answer("answered")).outcome != "answered":
            return None
        if self._in_vain:
            patient.answers[call] = Answer("not_asked")
            return None
        self._telling(patient.config.name)
        made = self._limit.made
        try:
            told = ask()
        except ApiError as error:
            patient.answers[call] = _answer(error)
            self._in_vain = not (error.reason in ABOUT_ONE_CALL or not_understood(error))
            return None
        else:
            patient.answers[call] = Answer("answered")
            return told
        finally:
            patient.calls += self._limit.made - made

    def _dated(self, told: T | None) -> Dated[T] | None:
        return None if told is None else Dated(told, instant(self._clock))

    def _findings(self, patient: _Patient) -> CapacityFindings:
        told = replace(patient.told, details=self._dated(patient.details or None))
        configured = [ConfiguredQueue(e.name, e.cores, e.gpus) for e in patient.config.queues]
        capacity = capacity_of(told, configured, float("inf"))
        return CapacityFindings(patient.answers, capacity, patient.calls, patient.kind)


def _answer(error: ApiError) -> Answer:
    if isinstance(error, BudgetExhausted) and error.reason == OUT_OF_CALLS:
        return Answer("not_asked")
    if error.reason == "denied":
        return Answer("denied")
    return Answer("not_known") if not_understood(error) else Answer("failed", error.reason)


def _in_turn(patients: Sequence[_Patient]) -> list[tuple[_Patient, str]]:
    """The first queue of each cluster, then the second: if the calls run out, each has had some."""
    queues = [
        [(each, queue.queue_id) for queue in each.told.queues.value if queue.queue_id]
        for each in patients
        if each.told.queues is not None
    ]
    return [one for together in zip_longest(*queues) for one in together if one is not None]
