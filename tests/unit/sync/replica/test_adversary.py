"""Whatever the remote list does between any two calls: once it rests, the counts are right."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exporter.simulator import DEPLOYMENTS, DIALECTS
from tests.unit.sync.play import Play, short_of_memory

SERVERS = (*sorted(DIALECTS), *sorted(DEPLOYMENTS), *("plausible",) * 40, *("curious",) * 10)
"""By name, and drawn at random."""


class ReplicaMachine(RuleBasedStateMachine):
    """A play in which a state machine says what is done, and dice how."""

    @initialize(name=st.sampled_from(SERVERS), seed=st.integers(0, 2**32))
    def begin(self, name: str, seed: int) -> None:
        """A list with a past, and a replica that does not know it."""
        self.directory = tempfile.TemporaryDirectory()
        self.play = Play(name, seed, Path(self.directory.name))

    @rule(times=st.integers(1, 12))
    def change(self, times: int) -> None:
        self.play.change(times)

    @rule(often=st.sampled_from((1, 2, 5)))
    def look_while_it_changes(self, often: int) -> None:
        self.play.look_while_it_changes(often)

    @rule()
    def look(self) -> None:
        self.play.look()

    @rule(after=st.integers(0, 6))
    def look_and_fail(self, after: int) -> None:
        self.play.look_and_fail(after)

    @rule(after=st.integers(0, 6))
    def look_and_die(self, after: int) -> None:
        self.play.look_and_die(after)

    @rule()
    def look_at_a_lie(self) -> None:
        self.play.look_at_a_lie()

    @precondition(lambda self: hasattr(self, "play"))
    @rule()
    def lose_everything(self) -> None:
        self.play.lose_everything()

    def teardown(self) -> None:
        """The list rests for one audit interval: then everything is right."""
        if not hasattr(self, "play"):
            return
        try:
            self.play.rest()
        finally:
            self.play.cluster.ledger.close()
            self.directory.cleanup()


class TestReplica(ReplicaMachine.TestCase):  # type: ignore[misc, valid-type]
    """With a ledger whose memory is as short as the lists are."""

    settings = settings(
        max_examples=40,
        stateful_step_count=12,
        deadline=None,
        derandomize=True,  # the hunt throws dice, for as long as one likes
        suppress_health_check=list(HealthCheck),
    )

    def runTest(self) -> None:  # noqa: N802 - so unittest calls it
        with short_of_memory():
            super().runTest()
