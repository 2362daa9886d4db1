"""One sync's talk with a server, to see what calibration finds and what that costs."""

from exporter.profile import TraitName
from exporter.sync.asking import Ask, Asking, T, advance
from exporter.sync.calibration import calibrate_depth, calibrate_filter, calibrate_order
from exporter.sync.context import ListView, PlacedPage, Sync
from exporter.sync.pages import ask
from tests.unit.sync.simulated import START_AT, SimulatedCluster, plenty


class Contact:
    """One sync's talk with a server of which nothing is known, in a transaction."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.sync: Sync = cluster.replica._sync(cluster.now_at, plenty)
        cluster.ledger.begin()
        self.head: PlacedPage = self.hold(ask(self.sync, ListView(None)))

    def hold(self, asking: Asking[T]) -> T:
        """Be the other end of a conversation."""
        step = advance(asking, None)
        while isinstance(step, Ask):
            step = advance(asking, self.cluster._answer(step))
        return step.value

    def calls_of(self, asking: Asking[object]) -> int:
        """How many calls a conversation takes."""
        before = self.cluster.calls
        self.hold(asking)
        return self.cluster.calls - before

    def find_filter(self) -> int:
        """The calls to find the name of the status filter."""
        return self.calls_of(calibrate_filter(self.sync, self.head))

    def find_order(self) -> int:
        """The calls to find the order."""
        return self.calls_of(calibrate_order(self.sync))

    def find_depth(self) -> int:
        """The calls to find how deep the list is shown."""
        return self.calls_of(calibrate_depth(self.sync, self.head))

    def contradict(self, trait: TraitName) -> None:
        """An answer has contradicted what was found."""
        memory = self.cluster.replica._memory
        memory.profile = memory.profile.contradicted(trait, "", START_AT, 0.0)
