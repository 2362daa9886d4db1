"""Which transitions lie between two looks at a job. Pure.

A transition is counted once, also when several happened between the looks, and nothing that
happened before the ledger began.
"""

from bisect import bisect_left
from typing import NamedTuple

from exporter.ledger.records import TallyKey
from exporter.model import Job
from exporter.snapshot import WAIT_BUCKETS_SECONDS


class Counted(NamedTuple):
    """One transition: the counter it goes to, and the bucket if it has a duration."""

    key: TallyKey
    seconds: float = 0.0
    bucket: int | None = None


def transitions(old: Job | None, new: Job, *, began_at: float) -> list[Counted]:
    """What happened to a job since the last look, or, if it was unknown, since ``began_at``."""
    found: list[Counted] = []
    if old is None and (new.submitted_at or new.modified_at or 0) >= began_at:
        found.append(Counted(TallyKey("submitted", new.queue, "")))
    if _started(old, new, began_at):
        found.append(Counted(TallyKey("started", new.queue, "")))
        found += _duration("wait", new.queue, "", new.submitted_at, new.started_at)
    if _ended(old, new, began_at):
        found.append(Counted(TallyKey("ended", new.queue, new.status)))
        found += _duration("run", new.queue, new.status, new.started_at, new.modified_at)
    return found


def _started(old: Job | None, new: Job, began_at: float) -> bool:
    if new.status == "pending":
        return False  # whatever its record says of an earlier start
    if new.started_at is None:
        # The list gives no start time: that it runs now is all there is to go by.
        return old is not None and new.status == "running" and old.status == "pending"
    if old is None:
        return new.started_at >= began_at
    if old.started_at is None:
        return old.status != "running"  # else it was counted when it was seen to run
    return old.started_at != new.started_at or old.status == "pending"


def _ended(old: Job | None, new: Job, began_at: float) -> bool:
    if not new.ended:
        return False
    if old is None:
        return (new.modified_at or 0) >= began_at
    # Ended before, and again: it was requeued in between if it has started anew.
    return not old.ended or (
        old.started_at != new.started_at and old.modified_at != new.modified_at
    )


def _duration(
    kind: str, queue: str, status: str, from_at: int | None, to_at: int | None
) -> list[Counted]:
    if from_at is None or to_at is None:
        return []
    seconds = float(max(0, to_at - from_at))  # clocks of two machines may disagree a little
    bucket = bisect_left(WAIT_BUCKETS_SECONDS, seconds)
    return [Counted(TallyKey(kind, queue, status), seconds, bucket)]
