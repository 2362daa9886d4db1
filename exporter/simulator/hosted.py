"""One cluster of the simulated cloud: its list, its dialect, and the sources of its answers."""

import random
from collections.abc import Mapping
from typing import Any

from exporter.simulator.dialect import Dialect
from exporter.simulator.fault_kinds import Fault
from exporter.simulator.joblist import JobList
from exporter.simulator.list_faults import LIST_FAULTS
from exporter.simulator.listing import job_list
from exporter.simulator.past import LaggingCopy, PageCache
from exporter.simulator.plant import Counters, Plant


class HostedCluster:
    """One cluster of the simulated cloud."""

    def __init__(
        self, cluster_id: str, zone: str, access_key_id: str, jobs: JobList, dialect: Dialect
    ) -> None:
        """``access_key_id`` is that of the account that owns it."""
        self.cluster_id = cluster_id
        self.zone = zone
        self.access_key_id = access_key_id
        self.jobs = jobs
        self.plant = Plant()
        self.counters = Counters(jobs)
        self.speak(dialect)

    def speak(self, dialect: Dialect) -> None:
        """Behave as ``dialect`` says from now on, and forget what the lists were like."""
        self.dialect = dialect
        self.jobs.still_transitions = dialect.still_transitions
        self.jobs.log = None
        self._lagging: LaggingCopy | None = None
        self._replica_is_next = False
        self._cache = PageCache()

    def look(self, now_at: float) -> None:
        """Called as often as one likes, so that a replica lags by its seconds at any speed."""
        if self.dialect.lag_seconds and self._lagging is None:
            self._lagging = LaggingCopy(self.jobs, now_at)
        if self._lagging is not None:
            self._lagging.look(now_at)

    def answer(
        self,
        params: Mapping[str, str],
        now_at: float,
        rng: random.Random,
        fault: Fault | None = None,
    ) -> dict[str, Any]:
        """The answer to job/list, whose own parameters these are; or ``RefusalError``.

        Of a fault, only what is wrong with the list itself is in it.
        """
        seconds = self.dialect.cache_seconds
        answer = self._cache.get(params, seconds, now_at)
        if answer is None:
            wrong = fault.name if fault and fault.name in LIST_FAULTS else None
            listed = self._list_that_answers(now_at, rng)
            answer = job_list(listed, self.dialect, params, rng, wrong)
            if seconds:
                self._cache.put(params, seconds, now_at, answer)
        return answer

    def _list_that_answers(self, now_at: float, rng: random.Random) -> JobList:
        self.look(now_at)
        if self._lagging is None:
            return self.jobs
        if self.dialect.lagging == "random":
            replica_answers = rng.random() < 0.5
        else:
            replica_answers = self._replica_is_next
            self._replica_is_next = not replica_answers
        if not replica_answers:
            return self.jobs
        return self._lagging.as_of(self.dialect.lag_seconds, now_at)
