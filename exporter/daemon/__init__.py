"""Builds every object from the configuration, starts and stops them in order, and reloads.

accounts  what the clusters of one account share
watch     the pollers of all clusters
service   ``serve``: signals, the web side, reloads
once      ``collect``: one look, no daemon
"""

from exporter.daemon.once import collect
from exporter.daemon.service import serve

__all__ = ["collect", "serve"]
