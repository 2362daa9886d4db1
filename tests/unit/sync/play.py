"""One case of the play against an adversary: what is done to a replica, and what must be right then.

``test_adversary`` lets a state machine choose what is done, ``hunt`` plain dice.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from unittest.mock import patch

import exporter.ledger.jobs
import exporter.ledger.row_hints
import exporter.sync.context
from exporter.errors import ExporterError, SyncError, TransportError
from exporter.ledger.store import open_ledger
from exporter.model import END_STATUSES, PAGE_LIMIT, JobListQuery, Page
from exporter.simulator import (
    CURIOSITIES,
    DEPLOYMENTS,
    DIALECTS,
    Dialect,
    JobList,
    TieOrder,
    draw_dialect,
    in_small,
    spell_dialect,
)
from exporter.sync.context import SWEPT_STATUSES, SyncSettings
from exporter.sync.replica import Replica
from tests.unit.ledger.made import tallied
from tests.unit.sync.adversary import TURNS_OF_LUCK, Adversary, some_jobs
from tests.unit.sync.settled import SETTINGS, TURNS_OF_AN_AUDIT_INTERVAL
from tests.unit.sync.simulated import CLUSTER_ID, SimulatedCluster

LIMIT = 200
"""Up to so many jobs servers show and count that do so up to a limit: some lists are a little longer."""
MOST_FAILURES = 25
ENOUGH_CALLS = 1000


class Killed(BaseException):
    """The process ends here."""


def _timeout() -> TransportError:
    """A new one each time: one that is raised again and again holds on to all that it went through."""
    return TransportError("timeout", "no answer", retryable=True, advice="")


def is_curious(dialect: Dialect) -> bool:
    """Whether a server does what is only conceivable, in any trait."""
    return any(getattr(dialect, switch) in values for switch, values in CURIOSITIES.items())


class Play:
    """One case: a list, its adversary, and a replica on disk."""

    expected: tuple[type[ExporterError], ...] = (SyncError, TransportError)
    """The failures that may come out of a sync."""

    def __init__(self, name: str, seed: int, directory: Path, *, telling: bool = False) -> None:
        self.name = name
        self.rng = Random(seed)
        self.telling = telling
        page_cap = 100 if name in TURNS_OF_LUCK else self.rng.choice((8, 20, 100))
        listed = JobList()
        some_jobs(listed, self.rng.choice((0, 3, 30, 120, 250)), self.rng)
        self.path = directory / f"{seed}.ledger"
        dialect = self._dialect(seed, page_cap)
        self.settings = self._some_settings(seed)
        if dialect.zone_offset_seconds and dialect.times != "plain":
            self.settings = SETTINGS  # which part of the history is wanted would be hard to say
        if self.settings.history_seconds == float("inf"):
            self.settings = replace(self.settings, zone_configured=seed % 2 == 0)
        self.cluster = SimulatedCluster(
            dialect,
            self.settings,
            jobs=listed,
            seed=seed,
            ledger=open_ledger(self.path, CLUSTER_ID),
        )
        self.adversary = Adversary(self.cluster, self.rng)
        self.miscounted = self.rng.choice((0, 0, 0, 0, 2, 40))
        """By how many the server miscounts the jobs that it sends."""
        if name == "plausible" or dialect.depth_limit or dialect.total_limit:
            self.miscounted = 0  # nobody can tell a part of a list from a total that is wrong
        elif not self.miscounted and page_cap == PAGE_LIMIT:
            self.miscounted = Random(f"{seed} totals").choice((0,) * 9 + (-3,))
        self.curious = bool(self.miscounted) or is_curious(dialect)
        """Whether it need not be right, but may be withheld for a reason."""
        self.cluster.distort = self._miscount
        self.failing = 0
        self.lied = False
        self.withheld = False
        self.lost = False
        self.cluster.calls_between = Random(f"{seed} budget").choice((None, None, 1, 4, 15))

    def _dialect(self, seed: int, page_cap: int) -> Dialect:
        if self.name in ("plausible", "curious"):
            drawn = draw_dialect(
                Random(f"{seed} dialect"), curiosities=2 if self.name == "curious" else 0
            )
        else:
            drawn = {**DIALECTS, **DEPLOYMENTS}[self.name]
        if page_cap < PAGE_LIMIT:
            drawn = in_small(drawn, page_cap)
        if drawn.depth_limit:
            told = drawn.total_count != "missing"  # else it would have to be a long list
            drawn = replace(drawn, depth_limit=LIMIT if told else 0)
        if drawn.total_limit:
            # Only a full page shows that a list goes on behind such a total, or that the server refuses more.
            shows = drawn.depth_limit or drawn.page_cap == PAGE_LIMIT
            drawn = replace(drawn, total_limit=LIMIT if shows else 0)
            if drawn.beyond_depth == "empty":  # of a list at rest, nothing would tell of the others
                drawn = replace(drawn, beyond_depth="problem")
        if self.telling:
            print(spell_dialect(drawn))
        return drawn

    def _some_settings(self, seed: int) -> SyncSettings:
        history_seconds = Random(f"{seed} history").choice((float("inf"),) * 4 + (86400.0, 0.0))
        return replace(SETTINGS, history_seconds=history_seconds)

    def run(self) -> None:
        """Play; raises AssertionError if the counts are not right in the end."""
        deeds = self.deeds()
        for _ in range(self.rng.randrange(3, 14)):
            self.rng.choice(deeds)()
        self.rest()

    def deeds(self) -> Sequence[Callable[[], None]]:
        """What may be done, each as often as it is here."""
        return (
            self.change, self.change, self.look, self.look, self.look_while_it_changes,
            self.look_while_it_changes, self.look_and_fail, self.look_and_die, self.look_at_a_lie,
            self.lose_everything,
        )  # fmt: skip

    def change(self, times: int | None = None) -> None:
        """The list changes while nobody looks."""
        self.adversary.act(self.rng.randrange(1, 12) if times is None else times)

    def look_while_it_changes(self, often: int | None = None) -> None:
        """Something happens after every so many calls."""
        often = self.rng.choice((1, 2, 5)) if often is None else often
        self.cluster.between_calls = self.adversary.meddler(often)
        self.look()
        self.cluster.between_calls = lambda: None

    def look_and_fail(self, after: int | None = None) -> None:
        """Some call fails."""
        self._after_some_calls(_timeout, after)
        self.look()
        self.cluster.before_call = lambda query: None

    def look_and_die(self, after: int | None = None) -> None:
        """The process is killed, and starts again."""
        self._after_some_calls(Killed, after)
        try:
            self.look()
        except Killed:
            self._restart(CLUSTER_ID)
        self.cluster.before_call = lambda query: None

    def look_at_a_lie(self) -> None:
        """One answer leaves jobs out, or comes in another order, or is empty."""
        self.lied = True
        self.cluster.distort = lambda page: self._lie(self._miscount(page))
        self.look()
        self.cluster.distort = self._miscount

    def lose_everything(self) -> None:
        """The state is lost."""
        if self.rng.random() < 0.3:
            self.cluster.ledger.close()
            self.path.unlink()
            self._restart(CLUSTER_ID)
            self.lost = True

    def look(self) -> None:
        """A sync and its background."""
        calls, synced_at = self.cluster.calls, self.cluster.ledger.progress.last_success_at
        try:
            came_of_it: object = self.cluster.turn()
        except self.expected as error:
            # The history that is deeper than a server shows is withheld for as long as it likes; without a filter,
            # all that is shown.
            synced = self.cluster.ledger.progress.last_success_at != synced_at
            filters = self.cluster.profile.status_filter.value not in ("none", "unknown")
            deep = getattr(error, "reason", "") == "depth" and (synced or not filters)
            self.failing = 1 if deep else self.failing + 1
            came_of_it = error
        else:
            self.failing = 0
        if self.telling:
            right = self._right()
            jobs, known = len(self.cluster.jobs), self.cluster.ledger.size
            print(f"{self.cluster.calls - calls} calls, {known} of {jobs}, {right=}: {came_of_it}")
        assert self.curious or self.failing < MOST_FAILURES, f"it does not recover: {came_of_it}"

    def rest(self) -> None:
        """The list rests for one audit interval: then everything must be right."""
        if self.cluster.calls_between is not None:
            self.cluster.calls_between = ENOUGH_CALLS
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            self.look()
        # Some failures it takes until such a total is doubted.
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL if self.miscounted else 0):
            self.look()
        for _ in range(self._turns_of_luck()):
            if self._withheld() or (self._right() and self.cluster.ledger.progress.complete):
                break
            self.look()
        progress = self.cluster.ledger.progress
        just_read = progress.frontier_at is None
        if not progress.complete and (just_read or self.cluster.profile.order.value == "unknown"):
            # All of it was just read; or an order was just tried again, and contradicted.
            self.look()  # the next sync is complete
        if self._withheld():
            self.withheld = True
        else:
            counted, true = self.cluster.counted(), self.cluster.true_counts()
            assert self._right(), (
                f"{(counted - true).total()} too many, {(true - counted).total()} too few"
            )
            assert self.cluster.ledger.progress.complete, "the history is not complete"
        self._require_counters()
        self.cluster.ledger.close()

    def _right(self) -> bool:
        """Whether the counts are right that may be shown."""
        counts = self.cluster.counted(), self.cluster.true_counts()
        if self.cluster.ledger.progress.known == "history":
            shown = END_STATUSES | set(SWEPT_STATUSES)
            counted, true = ({k: n for k, n in each.items() if k[0] in shown} for each in counts)
            return counted == true
        return counts[0] == counts[1]

    def _require_counters(self) -> None:
        """Nothing is counted twice, and no job that is still there is forgotten. What came and went between two syncs may
        be."""
        configured = self.settings.zone_configured
        if self.lost or (configured and self.cluster.cluster.dialect.zone_offset_seconds):
            return  # jobs from before the ledger seem to be new
        counted = Counter[str]()
        for key, tally in tallied(self.cluster.ledger).items():
            counted[key.kind] += tally.times
        began_at = self.cluster.ledger.progress.began_at
        least = Counter[str]()
        if configured and began_at is not None and not self.withheld:
            # Others have ended behind the edge of the history before a sync could see them.
            known = self.cluster.ledger.known(self.cluster.jobs.uuids())
            for job in self.cluster.jobs.jobs():
                if job.uuid not in known:
                    continue
                least["submitted"] += job.submitted_at >= began_at
                started = job.status != "pending" and (job.started_at or 0) >= began_at
                least["started"] += started
                least["ended"] += (
                    started and job.status in END_STATUSES and job.modified_at >= began_at
                )
        for kind in ("submitted", "started", "ended"):
            most = self.adversary.events[kind]
            assert least[kind] <= counted[kind] <= most, (
                f"{counted[kind]} jobs counted as {kind}, of {least[kind]} to {most}"
            )

    def _withheld(self) -> bool:
        """Whether nothing is shown, and a reason; a plausible server leaves none but its depth."""
        progress = self.cluster.ledger.progress
        dialect, jobs = self.cluster.cluster.dialect, len(self.cluster.jobs)
        limited = dialect.depth_limit or dialect.total_limit
        by_status = Counter(job.status for job in self.cluster.jobs.jobs())
        ends_at_limit = LIMIT in (jobs, *by_status.values())
        if not self.curious and not (limited and jobs > limited) and not ends_at_limit:
            return False
        right = not progress.active_known or self.cluster.active_is_right()
        traits = self.cluster.profile
        doubted = traits.order.contradictions or traits.total_count.contradictions
        told = self.cluster.replica.obstacle is not None or doubted
        return self.failing > 0 or (not progress.complete and right and bool(told))

    def _turns_of_luck(self) -> int:
        windowed = self.settings.history_seconds != float("inf")
        if windowed and (self.lied or self.cluster.cluster.dialect.still_transitions):
            # No total tells what a deletion hides from the counts.
            return TURNS_OF_LUCK["still-all"]
        dialect = self.cluster.cluster.dialect
        if dialect.still_transitions:
            return TURNS_OF_LUCK["still-all"]
        return TURNS_OF_LUCK["ties-shuffled"] if dialect.ties is TieOrder.SHUFFLED else 0

    def _after_some_calls(self, error: Callable[[], BaseException], after: int | None) -> None:
        left = self.rng.randrange(7) if after is None else after

        def before(_: JobListQuery) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise error()

        self.cluster.before_call = before

    def _miscount(self, page: Page) -> Page:
        if page.total_count is None or not len(self.cluster.jobs):
            return page
        return Page(page.jobs, max(0, page.total_count + self.miscounted), page.server_time_at)

    def _lie(self, page: Page) -> Page:
        if self.rng.random() < 0.7:
            return page
        jobs = list(page.jobs)
        lie = self.rng.randrange(4)
        if lie == 0:
            jobs = []
        elif lie == 1:
            self.rng.shuffle(jobs)
        elif lie == 2:
            del jobs[self.rng.randrange(len(jobs) + 1) :]
        else:
            jobs = [job for job in jobs if self.rng.random() < 0.8]
        return Page(tuple(jobs), page.total_count, page.server_time_at)

    def _restart(self, identity: str) -> None:
        self.cluster.ledger.close()
        self.cluster.ledger = open_ledger(self.path, identity)
        self.cluster.replica = Replica(self.cluster.ledger, self.settings, Random(1))


@contextmanager
def short_of_memory() -> Iterator[None]:
    """The lists are short, so let the ledger's memory be shorter: some jobs at hand, others not."""
    with (
        patch.object(exporter.ledger.jobs, "MOST_RECENT", 40),
        patch.object(exporter.ledger.row_hints, "_SMALLEST", 4),
        patch.object(exporter.sync.context, "LEAST_LIMIT", LIMIT),
    ):
        yield
