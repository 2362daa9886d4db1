"""Who is due when, and how long to wait after a failure. Pure."""

import hashlib
import math

LONGEST_FIRST_WAIT_SECONDS = 5.0
"""Over which the first syncs of all clusters are spread."""
LEAST_RETRY_LIMIT_SECONDS = 30.0
RETRY_LIMIT_INTERVALS = 3
"""A failed sync is followed by another within so long, or within so many intervals if that is longer."""


def offset_part(cluster_name: str) -> float:
    """Where within its interval a cluster is asked, in [0, 1): the same at every start, and
    different from cluster to cluster, so that the calls spread."""
    digest = hashlib.blake2s(cluster_name.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2.0**32


def first_wait_seconds(cluster_name: str, interval_seconds: float) -> float:
    """From the start of the program to a cluster's first sync: soon, but not all at once."""
    return offset_part(cluster_name) * min(interval_seconds, LONGEST_FIRST_WAIT_SECONDS)


def next_due_at(
    cluster_name: str,
    interval_seconds: float,
    now_at: float,
    *,
    stretched_seconds: float = 0.0,
    at_once: bool = False,
) -> float:
    """The next moment of a cluster's own beat, after ``now_at``; there is no beat while the budget
    stretches the interval, since nothing may then come sooner than so many seconds from now."""
    if stretched_seconds > interval_seconds:
        return now_at + stretched_seconds
    phase_seconds = offset_part(cluster_name) * interval_seconds
    beats = math.floor((now_at - phase_seconds) / interval_seconds) + 1
    due_at = phase_seconds + beats * interval_seconds
    # A sync that ended just before its beat is not followed by another at once, unless it may be.
    soon = due_at - now_at < interval_seconds / 2
    return due_at + interval_seconds if soon and not at_once else due_at


def retry_wait_seconds(failures: int, interval_seconds: float) -> float:
    """After so many failed syncs in a row: longer each time, up to the larger of 30 s and three
    intervals, so that the cluster is back soon after the cloud is."""
    limit = max(LEAST_RETRY_LIMIT_SECONDS, RETRY_LIMIT_INTERVALS * interval_seconds)
    return min(limit, interval_seconds * 2.0 ** min(failures - 1, 10))
