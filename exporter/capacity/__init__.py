"""What clusters could run: queues, nodes, and whatever else the calls other than job/list report.

::

    told      pure: what was told of one cluster, part by part -> Capacity
    asking    one call after the other, as the budget leaves them; what may not be asked is asked no more
    poller    [I/O] one thread for each account: all its clusters, round by round
"""

from exporter.capacity.poller import CapacityParts, CapacityPoller, WatchedCluster
from exporter.capacity.told import ConfiguredQueue, Told, capacity_of

__all__ = [
    "CapacityParts",
    "CapacityPoller",
    "ConfiguredQueue",
    "Told",
    "WatchedCluster",
    "capacity_of",
]
