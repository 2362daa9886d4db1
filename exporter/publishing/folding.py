"""The counters of queues, divided between their own names and ``_other``. Pure.

Prometheus takes a counter that falls for one that has restarted at 0. So when a queue is folded, gets its
name back, or is left out, nothing moves: what was added to ``_other`` stays there, and the queue's own
counters continue from where they were. What happens while a queue is left out is added to its own
counters, which are not shown then. So ``_other`` does not jump when the queue is wanted again. The ledger
keeps both parts of each counter of such a queue.
"""

from collections.abc import Mapping
from itertools import zip_longest

from exporter.labels import OTHER
from exporter.ledger.records import Tally, TallyKey
from exporter.ledger.store import Ledger
from exporter.model import END_STATUSES
from exporter.publishing.naming import Label
from exporter.snapshot import WAIT_BUCKETS_SECONDS, DurationTally
from exporter.snapshot import Tally as ShownTally

COUNTERS = (
    ("submitted", ""), ("started", ""), ("wait", ""),
    *((kind, status) for kind in ("ended", "run") for status in sorted(END_STATUSES)),
)  # fmt: skip
"""The counters that every queue has: kind and status."""
KINDS = frozenset(kind for kind, _ in COUNTERS)
"""The kinds of whole counters; their parts have other ones."""
TIMED = frozenset({"wait", "run"})
"""The kinds of counters that are histograms."""


class QueueCounters:
    """The counters by the names that are shown. Only those that have counted are added up again."""

    def __init__(self, queues: Label) -> None:
        self._queues = queues
        self._begun: frozenset[str] = frozenset()
        """The queues whose counters are all there."""
        self._counted: dict[TallyKey, tuple[int, float]] = {}
        self._own: dict[TallyKey, Tally] = {}
        self._folded: dict[TallyKey, dict[TallyKey, Tally]] = {}
        """For each shown counter, what is its own, and the parts of others that are added up in it."""
        self._totals: dict[TallyKey, ShownTally] = {}
        self._durations: dict[TallyKey, DurationTally] = {}

    def take(self, ledger: Ledger, counted: frozenset[str], named: frozenset[str]) -> None:
        """Add up all counters of the queues that are present, and what any queue has ever added to ``_other``.

        ``counted`` are the queues whose counters have been shown before, ``named`` those whose were shown
        under their own name. Counters that were not shown before are 0 this time."""
        tallies, names = ledger.tallies(), self._queues
        touched = {
            TallyKey(kind, names[queue], status)
            for queue in names.present - self._begun
            for kind, status in COUNTERS
        }
        self._begun = names.present
        for key, tally in list(tallies.items()):
            if key.queue not in counted or key.kind not in KINDS:
                continue
            now = (tally.count, tally.sum_seconds)
            if now == self._counted.get(key):
                continue
            is_named = key.queue in named
            own, other = _divide(key, tallies, names, named=is_named)
            for place, part in ((_own_part(key), own), (_other_part(key), other)):
                if part is not None:  # so that a restart shows the same
                    ledger.put_tally(place, part)
            if key.queue in names.shown:
                self._own[key] = own or tally
                touched.add(key)
            if other:
                into = key._replace(queue=OTHER)
                self._folded.setdefault(into, {})[_other_part(key)] = other
                touched.add(into)
            if is_named or key.queue not in names.shown:  # else its own part is shown the next time
                self._counted[key] = now
        for into in touched:
            self._add_up(into)

    def totals(self, kind: str) -> tuple[ShownTally, ...]:
        """The counters of one kind, in order."""
        return tuple(sorted(each for key, each in self._totals.items() if key.kind == kind))

    def durations(self, kind: str) -> tuple[DurationTally, ...]:
        """The histograms of one kind, in order."""
        return tuple(sorted(each for key, each in self._durations.items() if key.kind == kind))

    def _add_up(self, into: TallyKey) -> None:
        _, queue, status = into
        tallies = [tally for _, tally in sorted(self._folded.get(into, {}).items())]
        if into in self._own:
            tallies.append(self._own[into])
        if into.kind not in TIMED:
            total = sum(tally.count for tally in tallies)
            self._totals[into] = ShownTally(queue, status, total)
            return
        none = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
        buckets = zip_longest(none, *(tally.buckets for tally in tallies), fillvalue=0)
        seconds = sum((tally.sum_seconds for tally in tallies), 0.0)
        self._durations[into] = DurationTally(queue, status, tuple(map(sum, buckets)), seconds)


def _own_part(key: TallyKey) -> TallyKey:
    """The key of the part that is shown under the queue's own name."""
    return key._replace(kind=f"own {key.kind}")


def _other_part(key: TallyKey) -> TallyKey:
    """The key of the part that was added to ``_other``."""
    return key._replace(kind=f"other {key.kind}")


def _divide(
    key: TallyKey, tallies: Mapping[TallyKey, Tally], names: Label, *, named: bool
) -> tuple[Tally | None, Tally | None]:
    """The current parts of a counter, its own and that of ``_other``; without parts, all of it is its own. ``named``:
    whether the queue was shown under its own name the last time.

    When a queue gets its name for the first time, its own part is shown as 0 first: Prometheus would not
    see the events that a counter already has when it first appears.
    """
    whole = tallies[key]
    own, other = tallies.get(_own_part(key)), tallies.get(_other_part(key))
    if key.queue in names.shown and own is None:
        return (None if other is None else Tally()), other
    if key.queue in names.shown or not names.wanted(key.queue):
        return whole.minus(other), other
    if named and own is None:
        own = whole.minus(None)
    return own, whole.minus(own)
