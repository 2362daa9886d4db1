"""A cluster of the simulated cloud, in process, at the other end of a replica's conversations."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import lru_cache
from random import Random

import msgspec

from exporter.api.joblist import job_parameters
from exporter.api.payload import decode_page
from exporter.errors import ApiError, SyncError
from exporter.ledger.store import Ledger, open_ledger
from exporter.model import END_STATUSES, JobListQuery, Page, Purpose, hidden
from exporter.profile import Profile
from exporter.simulator import Cloud, Dialect, JobList
from exporter.simulator.dialect import DOCUMENTED
from exporter.snapshot import RECENT_SECONDS
from exporter.sync.asking import Allowance, Ask, Asking, advance
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Refreshed, Replica

CLUSTER_ID = "ehpc-test"
START_AT = 1_700_000_000.0
MOST_CALLS = 100_000
"""A replica that makes so many in its life has lost its way."""


@lru_cache(maxsize=256)
def _decoded(body: bytes, zone: tzinfo) -> Page:
    """A page; lists that rest are asked for the same ones again and again."""
    return decode_page(body, timezone=zone)


def plenty(_: Purpose) -> int:
    """An allowance that is never used up."""
    return 10**9


class SimulatedCluster:
    """One remote list, its clock, and a replica that is kept equal to it."""

    def __init__(
        self,
        dialect: Dialect = DOCUMENTED,
        settings: SyncSettings | None = None,
        *,
        jobs: JobList | None = None,
        seed: int = 0,
        ledger: Ledger | None = None,
    ) -> None:
        self.cloud = Cloud()
        self.cluster = self.cloud.add_cluster(CLUSTER_ID, dialect=dialect, jobs=jobs)
        self.now_at = START_AT
        self.calls = 0
        self.allowance: Allowance = plenty
        self.ledger = ledger or open_ledger(None, CLUSTER_ID)
        self.settings = settings or SyncSettings()
        self.seed = seed
        self.replica = Replica(self.ledger, self.settings, Random(seed))
        self.between_calls: Callable[[], None] = lambda: None
        self.distort: Callable[[Page], Page] = lambda page: page
        self.before_call: Callable[[JobListQuery], None] = lambda query: None
        self.calls_between: int | None = None
        """So many calls the budget leaves between two syncs; None for all that are wanted."""
        self._going_on: tuple[Replica, Asking[None], Ask] | None = None

    @property
    def jobs(self) -> JobList:
        """The truth."""
        return self.cluster.jobs

    @property
    def profile(self) -> Profile:
        """What the replica knows of the server, also by a sync that has just failed."""
        return self.replica._memory.profile

    def list_jobs(self, query: JobListQuery) -> Page:
        """One call, as the real client would decode it."""
        self.before_call(query)
        self.calls += 1
        assert self.calls < MOST_CALLS, "it asks without an end"
        params = job_parameters(CLUSTER_ID, query)
        answer = self.cloud.list_jobs(CLUSTER_ID, params, self.now_at)
        page = _decoded(msgspec.json.encode(answer), query.zone(UTC))
        page = replace(page, server_time_at=self.now_at)
        self.between_calls()
        return self.distort(page)

    def _answer(self, ask: Ask) -> Page | ApiError:
        try:
            return self.list_jobs(ask.query)
        except ApiError as error:
            return error

    def refresh(self) -> Refreshed:
        """One sync, in one transaction."""
        asking = self.replica.refresh(self.now_at, self.allowance)
        with self.ledger.transaction():
            step = advance(asking, None)
            while isinstance(step, Ask):
                step = advance(asking, self._answer(step))
        return step.value

    def background(self, most_calls: int = 10**6) -> None:
        """What is left to do in the background, each step in a transaction of its own."""
        before = self.calls
        while self.calls - before < most_calls:
            asking = self.replica.background(self.now_at, self.allowance)
            if asking is None:
                return
            with self.ledger.transaction():
                step = advance(asking, None)
            while isinstance(step, Ask):
                answer = self._answer(step)
                with self.ledger.transaction():
                    step = advance(asking, answer)

    def go_on_in_background(self, calls: int) -> None:
        """So many calls; what has begun goes on in the next turn, whatever a sync does between."""
        for _ in range(calls):
            if self._going_on is None or self._going_on[0] is not self.replica:
                asking = self.replica.background(self.now_at, self.allowance)
                if asking is None:
                    return
                answer = None
            else:
                _, asking, ask = self._going_on
                answer = self._answer(ask)
            self._going_on = None  # unless it goes on
            try:
                with self.ledger.transaction():
                    step = advance(asking, answer)
            except (ApiError, SyncError):
                return
            if isinstance(step, Ask):
                self._going_on = (self.replica, asking, step)

    def turn(self, seconds: float | None = None) -> Refreshed:
        """Let an interval pass, sync, and do what there is to do in the background."""
        self.now_at += seconds if seconds is not None else self.settings.interval_seconds
        result = self.refresh()
        if self.calls_between is None:
            self.background()
        else:
            self.go_on_in_background(self.calls_between)
        return result

    def counted(self) -> Counter[tuple[str, str, str]]:
        """What the ledger says: jobs by (status, queue, user)."""
        totals = self.ledger.totals().items()
        return Counter({key: each.jobs for key, each in totals if not hidden(key[0])})

    def true_counts(self) -> Counter[tuple[str, str, str]]:
        """What a plain count over the remote list says, of the part of it that is wanted."""
        window_seconds = self.settings.history_seconds
        if window_seconds == float("inf"):
            return Counter({(*key,): count for key, count in self.jobs.counts().items()})
        oldest_at = self.now_at - max(window_seconds, RECENT_SECONDS)
        ahead_seconds = self.cluster.dialect.zone_offset_seconds
        return Counter(
            (job.status, job.queue, job.user)
            for job in self.jobs.jobs()
            if job.status not in END_STATUSES or job.modified_at + ahead_seconds >= oldest_at
        )

    def active_is_right(self) -> bool:
        """Whether what the ledger says of pending and running jobs is what a plain count says."""
        return _active(self.counted()) == _active(self.true_counts())


def _active(counts: Counter[tuple[str, str, str]]) -> Counter[tuple[str, str, str]]:
    return Counter({key: n for key, n in counts.items() if key[0] in ("pending", "running")})
