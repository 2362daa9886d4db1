"""When a cluster's next sync is due, and how long to wait after a failure. Pure."""

import hashlib
import math

LONGEST_FIRST_WAIT_SECONDS = 5.0
"""The first syncs of all clusters are spread over this time."""
LEAST_RETRY_LIMIT_SECONDS = 30.0
RETRY_LIMIT_INTERVALS = 3
"""After a failed sync, the next one comes within these seconds or intervals, whichever is longer."""


def offset_part(cluster_name: str) -> float:
    """At which part of its interval a cluster is synced, in [0, 1). It is the same at every start, and
    differs between clusters, so that their calls are spread."""
    digest = hashlib.blake2s(cluster_name.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2.0**32


def first_wait_seconds(cluster_name: str, interval_seconds: float) -> float:
    """The seconds between the program's start and a cluster's first sync: few, but not the same for all."""
    return offset_part(cluster_name) * min(interval_seconds, LONGEST_FIRST_WAIT_SECONDS)


def next_due_at(
    cluster_name: str,
    interval_seconds: float,
    now_at: float,
    *,
    stretched_seconds: float = 0.0,
    at_once: bool = False,
) -> float:
    """The next moment of a cluster's schedule after ``now_at``, or, while the budget stretches the
    interval, ``stretched_seconds`` from now. Unless ``at_once``, at least half an interval from now."""
    if stretched_seconds > interval_seconds:
        return now_at + stretched_seconds
    phase_seconds = offset_part(cluster_name) * interval_seconds
    beats = math.floor((now_at - phase_seconds) / interval_seconds) + 1
    due_at = phase_seconds + beats * interval_seconds
    # A sync that ended just before its moment is not followed by another at once.
    soon = due_at - now_at < interval_seconds / 2
    return due_at + interval_seconds if soon and not at_once else due_at


def retry_wait_seconds(failures: int, interval_seconds: float) -> float:
    """How long to wait after this many failed syncs in a row: longer each time, up to 30 s or three
    intervals, whichever is longer, so that the cluster is back soon after the cloud is."""
    limit = max(LEAST_RETRY_LIMIT_SECONDS, RETRY_LIMIT_INTERVALS * interval_seconds)
    return min(limit, interval_seconds * 2.0 ** min(failures - 1, 10))
