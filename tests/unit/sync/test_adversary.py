"""Whatever the remote list does between any two calls: once it rests, the counts are right."""

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exporter.errors import SyncError, TransportError
from exporter.ledger.store import open_ledger
from exporter.model import JobListQuery
from exporter.simulator import DIALECTS, JobList
from exporter.sync.context import SyncSettings
from exporter.sync.replica import Replica
from tests.unit.sync.adversary import (
    DIALECT_NAMES,
    TURNS_OF_LUCK,
    Adversary,
    some_jobs,
    with_small_pages,
)
from tests.unit.sync.pretend import CLUSTER_ID, PretendCluster
from tests.unit.sync.settled import TURNS_OF_AN_AUDIT_INTERVAL

SETTINGS = SyncSettings(interval_seconds=60, audit_interval_seconds=600)


class ReplicaMachine(RuleBasedStateMachine):
    """A replica, the list that it follows, and somebody who changes it."""

    @initialize(
        dialect=st.sampled_from(DIALECT_NAMES),
        page_cap=st.sampled_from((8, 20, 100)),
        jobs=st.sampled_from((0, 3, 30, 120, 250)),
        seed=st.integers(0, 2**32),
    )
    def begin(self, dialect: str, page_cap: int, jobs: int, seed: int) -> None:
        """A list with a past, and a replica that does not know it."""
        self.rng = Random(seed)
        self.dialect = dialect
        if dialect in TURNS_OF_LUCK:
            page_cap = 100
        listed = JobList()
        some_jobs(listed, jobs, self.rng)
        self.cluster = PretendCluster(
            with_small_pages(DIALECTS[dialect], page_cap), SETTINGS, jobs=listed, seed=seed
        )
        self.adversary = Adversary(self.cluster, self.rng)
        self.failing = 0

    @rule(times=st.integers(1, 12))
    def change(self, times: int) -> None:
        """The list changes while nobody looks."""
        self.adversary.act(times)

    @rule(often=st.sampled_from((1, 2, 5)))
    def look_while_it_changes(self, often: int) -> None:
        """A sync, and something happens after every so many calls."""
        self.cluster.between_calls = self.adversary.meddler(often)
        self._turn()
        self.cluster.between_calls = lambda: None

    @rule()
    def look(self) -> None:
        """A sync while the list rests."""
        self._turn()

    @rule(after=st.integers(0, 6))
    def look_and_fail(self, after: int) -> None:
        """A sync of which some call fails."""
        left = [after]

        def fail(_: JobListQuery) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise TransportError("timeout", "no answer", retryable=True, advice="")

        self.cluster.before_call = fail
        self._turn()
        self.cluster.before_call = lambda query: None

    @precondition(lambda self: hasattr(self, "cluster"))
    @rule()
    def lose_everything(self) -> None:
        """The state is lost: the replica begins anew."""
        if self.rng.random() < 0.3:
            self.cluster.ledger.close()
            self.cluster.ledger = open_ledger(None, CLUSTER_ID)
            self.cluster.replica = Replica(self.cluster.ledger, SETTINGS, Random(1))

    def teardown(self) -> None:
        """The list rests for one audit interval: then everything is right."""
        if not hasattr(self, "cluster"):
            return
        self.cluster.between_calls = lambda: None
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            self._turn()
        for _ in range(TURNS_OF_LUCK.get(self.dialect, 0)):
            if self.cluster.counted() == self.cluster.true_counts():
                break
            self._turn()
        progress = self.cluster.ledger.progress
        assert self.cluster.counted() == self.cluster.true_counts(), progress
        assert progress.complete

    def _turn(self) -> None:
        try:
            self.cluster.turn()
        except (SyncError, TransportError):
            self.failing += 1
        else:
            self.failing = 0
        assert self.failing < 25, "it does not recover"


TestReplica = ReplicaMachine.TestCase
TestReplica.settings = settings(
    max_examples=80,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,  # the hunt throws dice, for as long as one likes
    suppress_health_check=list(HealthCheck),
)
