"""How the counters of a queue are divided between its own name and ``_other``. Pure.

Prometheus takes a counter that falls for one that has restarted at 0. So when a queue is folded, gets its
name back, or is left out, nothing moves: what was added to ``_other`` stays there, and the queue's own
counters continue from where they were. What happens while a queue is left out is added to its own
counters, which are not shown then. So ``_other`` does not jump when the queue is wanted again. The ledger
keeps both parts of each counter of such a queue.
"""

from collections.abc import Mapping

from exporter.ledger.records import Tally, TallyKey
from exporter.publishing.naming import Names

KINDS = frozenset({"submitted", "started", "wait", "ended", "run"})
"""The kinds of whole counters; their parts have other ones."""


def own_part(key: TallyKey) -> TallyKey:
    """The key of the part that is shown under the queue's own name."""
    return key._replace(kind=f"own {key.kind}")


def other_part(key: TallyKey) -> TallyKey:
    """The key of the part that was added to ``_other``."""
    return key._replace(kind=f"other {key.kind}")


def divide(
    key: TallyKey, tallies: Mapping[TallyKey, Tally], names: Names, *, named: bool
) -> tuple[Tally | None, Tally | None]:
    """The current parts of a counter, its own and that of ``_other``; without parts, all of it is its own. ``named``:
    whether the queue was shown under its own name the last time.

    When a queue gets its name for the first time, its own part is shown as 0 first: Prometheus would not
    see the events that a counter already has when it first appears.
    """
    whole = tallies[key]
    own, other = tallies.get(own_part(key)), tallies.get(other_part(key))
    if key.queue in names.shown and own is None:
        return (None if other is None else Tally()), other
    if key.queue in names.shown or names.leave_out(key.queue):
        return whole.minus(other), other
    if named and own is None:
        own = whole.minus(None)
    return own, whole.minus(own)
