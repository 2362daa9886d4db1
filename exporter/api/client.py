"""The API as one account sees it, with a method for each kind of query.

One ``AccountClient`` for each account, shared by the threads of its clusters; what it gives is for one
thread each. They all send in one way: see ``sending``.
"""

from datetime import UTC, tzinfo

from exporter.api.fleet import ClusterRoom, ZoneClusters
from exporter.api.joblist import PATH, ClusterJobs
from exporter.api.sending import (
    FAILURE_REASONS,
    CallTelemetry,
    Credentials,
    Sender,
    Target,
)
from exporter.model import ClusterIdentity, ListedCluster

__all__ = [
    "FAILURE_REASONS",
    "PATH",
    "AccountClient",
    "CallTelemetry",
    "ClusterJobs",
    "ClusterRoom",
    "Credentials",
]


class AccountClient(Sender):
    """The API as one account sees it."""

    def cluster(self, name: str, *, cluster_id: str, zone: str, timezone: tzinfo) -> ClusterJobs:
        """The job list of one cluster; ``timezone`` is that of times that carry none."""
        return ClusterJobs(self, Target(name, cluster_id, zone, timezone))

    def list_clusters(self, zone: str) -> tuple[ListedCluster, ...]:
        """All clusters of the account in a zone. Raises ApiError, or Stopped if the program stops."""
        return ZoneClusters(self, Target("", "", zone, UTC)).clusters()

    def room(self, cluster: ClusterIdentity) -> ClusterRoom:
        """The queues and nodes of one cluster."""
        return ClusterRoom(self, Target(cluster.name, cluster.cluster_id, cluster.zone, UTC))
