"""What clusters could run: queues, nodes, and whatever else the calls other than job/list report.

::

    told      pure: what was reported of one cluster, part by part -> Capacity
    asking    one call after the other, with the calls that nothing else needs; refused ones are tried again rarely
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
