"""Builds every object from the configuration, starts and stops them in order, and reloads.

accounts  what the clusters of one account share
watch     the pollers of all clusters; cluster_log: what the log says of each
capacity  the pollers of capacity, one for each account
groups    those of users, read again when their file changes
discovery the threads that look for clusters; sightings: what becomes of those that are found
listing   the threads that query cluster/list for the change detectors
service   ``serve``: the web side, reloads; summary: a line an hour for the log
signals   those that the program heeds, and waiting for them
once      ``collect``: one look at the clusters, no daemon
looking   one look at one cluster
doctor    ``doctor``: a few calls that show how a server behaves (contact: one cluster; overhearing:
          what answers look like; capacity_look: capacity; findings, differences: what follows from it)
"""

from exporter.daemon.doctor import diagnose
from exporter.daemon.once import Collected, Progressing, collect
from exporter.daemon.service import serve

__all__ = ["Collected", "Progressing", "collect", "diagnose", "serve"]
