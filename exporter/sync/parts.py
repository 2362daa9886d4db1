"""What a poller is made of: all that it needs of the world, handed in."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from exporter.api.budget import AccountBudget
from exporter.clock import SystemClock
from exporter.ledger.store import Ledger
from exporter.model import ClusterIdentity, JobListQuery, Page
from exporter.snapshot import ClusterState
from exporter.sync.context import SyncSettings
from exporter.sync.publishing import Publisher
from exporter.telemetry import Telemetry


class Calls(Protocol):
    """The remote list of one cluster, with retries allowed anew for every sync."""

    def begin_sync(self) -> None:
        """Allow the retries of one sync."""
        ...

    def list_jobs(self, query: JobListQuery) -> Page:
        """Ask for one page. Raises ApiError, or Stopped."""
        ...


class RepeatGuard(Protocol):
    """Which failures are worth a line in the log."""

    def failed(self, subject: Hashable, reason: Hashable, now_seconds: float) -> int | None:
        """None: keep silent. A number: log it; so many before it were not logged."""
        ...

    def succeeded(self, subject: Hashable) -> int | None:
        """None: keep silent. A number: log that it is well again after so many failures."""
        ...


@dataclass(frozen=True, slots=True)
class PollerParts:
    """What a poller is made of."""

    identity: ClusterIdentity
    calls: Calls
    open_ledger: Callable[[], Ledger]
    keeps_on_disk: bool
    """Whether the ledger is to be in a file, if it can be."""
    reopen_on_disk: Callable[[Ledger], Ledger]
    """The ledger, kept in memory for want of a disk, back in its file. Raises ``StateError``."""
    settings: SyncSettings
    publisher: Publisher
    staleness_seconds: float
    budget: AccountBudget
    publish: Callable[[ClusterState], None]
    telemetry: Telemetry
    guard: RepeatGuard
    clock: SystemClock
    """Of this poller alone: stopping it stops only this one."""
    rng: Random

    def fields(self, **more: object) -> dict[str, object]:
        """Those of a line of log about the cluster."""
        return {"cluster": self.identity.name, "account": self.identity.account, **more}
