"""How a queue's counters are divided between its own name and the sum of the others. Pure.

For Prometheus, a counter that falls has begun anew at 0. So a queue that gets or loses its name, or is
left out, takes nothing along: what was added to the others stays there, and its own counters go on
from where they were. What happens while it is left out is its own: nobody sees it, and the sum of the
others does not jump when it is wanted again. The ledger keeps both parts of each counter of such a queue.
"""

from collections.abc import Mapping
from typing import NamedTuple

from exporter.ledger.records import Tally, TallyKey
from exporter.publishing.naming import Names

KINDS = frozenset({"submitted", "started", "wait", "ended", "run"})
"""Those of whole counters; the parts have other ones."""


def own_part(key: TallyKey) -> TallyKey:
    """Where the ledger keeps what of a counter belongs to the queue's own name."""
    return key._replace(kind=f"own {key.kind}")


def other_part(key: TallyKey) -> TallyKey:
    """Where it keeps what has been added to the sum of the others."""
    return key._replace(kind=f"other {key.kind}")


class Parts(NamedTuple):
    """Of one counter. Without parts, all of it belongs to the queue's own name."""

    own: Tally | None = None
    other: Tally | None = None


def divide(key: TallyKey, tallies: Mapping[TallyKey, Tally], names: Names, *, named: bool) -> Parts:
    """The parts of a counter as it is now, where the queue was or was not ``named`` the last time.

    Of a queue that gets its name for the first time, the own part is shown at 0 first: nobody sees the
    first events of a counter that is born with them.
    """
    whole = tallies[key]
    own, other = tallies.get(own_part(key)), tallies.get(other_part(key))
    if key.queue in names.shown and own is None:
        return Parts(None if other is None else Tally(), other)
    if key.queue in names.shown or names.leave_out(key.queue):
        return Parts(whole.minus(other), other)
    if named and own is None:
        own = whole.minus(None)
    return Parts(own, whole.minus(own))
