"""A ledger -> the frozen snapshot that is shown: labels folded, hashed or left out. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from exporter.ledger.records import Tally, TallyKey
from exporter.ledger.store import Ledger
from exporter.ledger.totals import NONE, Log
from exporter.model import END_STATUSES, LEFT_OUT_REASONS, hidden
from exporter.profile import UNKNOWN
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    ClusterSnapshot,
    DurationTally,
    LeftOut,
    QueueMoment,
)
from exporter.snapshot import Tally as ShownTally
from exporter.sync.counting import Changed, Counts, Weights
from exporter.sync.intake import RECENT_SECONDS

OTHER = "_other"
COUNTED = "counted"
"""Under this word the ledger keeps the queues whose counters have been shown."""
COUNTERS = (
    ("submitted", ""), ("started", ""), ("wait", ""),
    *((kind, status) for kind in ("ended", "run") for status in sorted(END_STATUSES)),
)  # fmt: skip
"""Those that every queue has: kind and status."""
TIMED = frozenset({"wait", "run"})
"""Those that are histograms."""
_TAKE_OVER_FACTOR = 2
_TAKE_OVER_MARGIN = 10


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the configuration says about labels."""

    user_mode: Literal["name", "hash", "off"] = "name"
    user_limit: int = 500
    queue_limit: int = 200


def choose_shown(
    active: Mapping[str, int], present: frozenset[str], before: frozenset[str], limit: int
) -> frozenset[str]:
    """Which values of a label keep a name of their own. Pure.

    ``active`` has the active jobs of each, ``present`` those that have any job. What was shown
    stays shown while it has jobs, unless another has far more active ones: names must not come and
    go with every scrape.
    """

    def weight(value: str) -> tuple[int, str]:
        return (-active.get(value, 0), value)

    kept = sorted(before & present, key=weight)[:limit]
    shown = set(kept)
    waiting = sorted(present - shown, key=weight)
    shown.update(waiting[: limit - len(shown)])
    waiting = waiting[max(0, limit - len(kept)) :]
    for value, weakest in zip(waiting, reversed(kept), strict=False):
        enough = _TAKE_OVER_FACTOR * active.get(weakest, 0) + _TAKE_OVER_MARGIN
        if active.get(value, 0) <= enough:
            break
        shown.discard(weakest)
        shown.add(value)
    return frozenset(shown)


def pseudonym(user: str) -> str:
    """A name that stays the same and does not show who it is at a glance. Whoever knows all the
    names can still find out: it is no anonymity."""
    return hashlib.blake2s(user.encode(), digest_size=6).hexdigest()


class Publisher:
    """Makes the snapshots of one ledger."""

    def __init__(self, rules: LabelRules, *, history_wanted: bool = True) -> None:
        self._rules = rules
        self._history_wanted = history_wanted
        self._names: dict[str, _Names] = {}
        self._log = Log()
        self._weights = (Weights(1), Weights(2))
        self._counts = Counts({}, {})
        self._folded = _FoldedTallies()

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """What is to be shown of a ledger; None while the active jobs are not known.

        Remembers in the ledger which names are shown: call it within a transaction.
        """
        progress = ledger.progress
        if not progress.active_known:
            return None
        log, self._log = self._log, Log()  # if this fails, the next time begins anew
        if not ledger.groups.is_told_to(log):
            log = ledger.groups.follow()
            self._weights = (Weights(1), Weights(2))
            self._counts = Counts({}, {})
        changes = _changes(ledger, log)
        for weights in self._weights:
            weights.add(changes)
        recent = _recent_pairs(ledger, taken_at)
        counted = _counted(ledger)
        kept = {queue for queue, _ in recent} | counted | {key.queue for key in ledger.tallies()}
        queues = _shown(ledger, "queue", self._weights[0], kept, self._rules.queue_limit)
        kept = {user for _, user in recent}
        users = _shown(ledger, "user", self._weights[1], kept, self._rules.user_limit)
        queue_names = self._named("queue", queues.shown)
        user_names = self._named("user", users.shown, self._rules.user_mode)
        ledger.remember_shown(COUNTED, queues.present)
        # Nobody sees the first events of a counter that is born with them: it is shown at 0 first.
        folded = self._folded
        folded.fold(ledger.tallies(), queues.present, counted, queue_names)
        if self._counts.names[0] is not queue_names or self._counts.names[1] is not user_names:
            self._counts = Counts(queue_names, user_names)
            changes = _all(ledger)
        self._counts.take(changes, ledger.groups.active_pairs(), recent)
        ended_shown = progress.complete and self._history_wanted
        snapshot = ClusterSnapshot(
            taken_at=taken_at,
            counts=self._counts.rows(frozenset() if ended_shown else END_STATUSES),
            oldest_pending=()
            if progress.profile.zone.value == UNKNOWN
            else _oldest(ledger.oldest_pending(), queue_names),
            submitted=folded.totals("submitted"),
            started=folded.totals("started"),
            ended=folded.totals("ended"),
            waits=folded.durations("wait"),
            runs=folded.durations("run"),
            history_complete=progress.complete,
            history_known=ledger.size,
            history_expected=progress.expected,
            folded_users=users.folded if self._rules.user_mode != "off" else 0,
            folded_queues=queues.folded,
            left_out=tuple(
                LeftOut(reason, ledger.count_status(status))
                for status, reason in LEFT_OUT_REASONS.items()
            ),
        )
        log.clear()
        self._log = log
        return snapshot

    def _named(self, label: str, shown: frozenset[str], mode: str = "name") -> "_Names":
        names = self._names.get(label)
        if names is None or names.shown != shown:
            names = self._names[label] = _Names(shown, mode)
        return names


def _changes(ledger: Ledger, log: Log) -> list[Changed]:
    """What has changed of what is shown."""
    return [
        Changed(key, before, ledger.groups.group(key))
        for key, before in log.items()
        if not hidden(key[0])
    ]


def _all(ledger: Ledger) -> list[Changed]:
    """The same, as if nothing had been known."""
    return [Changed(key, NONE, now) for key, now in ledger.totals().items() if not hidden(key[0])]


@dataclass(frozen=True, slots=True)
class _Shown:
    shown: frozenset[str]
    present: frozenset[str]

    @property
    def folded(self) -> int:
        return len(self.present - self.shown)


class _Names(dict[str, str]):
    """How the values of one label are written; found out once for each."""

    def __init__(self, shown: frozenset[str], mode: str = "name") -> None:
        super().__init__()
        self.shown = shown
        self._mode = mode

    def __missing__(self, value: str) -> str:
        name = self[value] = self._written(value)
        return name

    def _written(self, value: str) -> str:
        if self._mode == "off":
            return ""
        if value not in self.shown:
            return OTHER
        return pseudonym(value) if self._mode == "hash" else value


def _shown(
    ledger: Ledger,
    label: Literal["queue", "user"],
    weights: Weights,
    kept: Set[str],
    limit: int,
) -> "_Shown":
    """Which values of a label have a name of their own, of those with jobs and the ``kept`` ones."""
    present = frozenset(weights.groups) | kept
    shown = choose_shown(weights.active, present, ledger.shown(label), limit)
    ledger.remember_shown(label, shown)
    return _Shown(shown, present)


def _recent_pairs(ledger: Ledger, taken_at: float) -> frozenset[tuple[str, str]]:
    """The (queue, user) pairs that had an active job within the last hour, and have none now."""
    return frozenset(
        pair for pair, at in ledger.activity().items() if at >= taken_at - RECENT_SECONDS
    )


def _counted(ledger: Ledger) -> frozenset[str]:
    """The queues whose counters have been shown before."""
    counted = ledger.shown(COUNTED)
    if not counted and ledger.shown("queue"):  # an earlier version has shown all that it counted
        return frozenset(key.queue for key in ledger.tallies())
    return counted


def _oldest(oldest: Mapping[str, int], queues: _Names) -> tuple[QueueMoment, ...]:
    found: dict[str, int] = {}
    for queue, at in oldest.items():
        name = queues[queue]
        found[name] = min(at, found.get(name, at))
    return tuple(QueueMoment(queue, float(at)) for queue, at in sorted(found.items()))


class _FoldedTallies:
    """The counters under the names that are shown. Only what has been counted is folded anew."""

    def __init__(self) -> None:
        self._tallies: Mapping[TallyKey, Tally] = {}
        self._names: _Names | None = None
        self._begin()

    def _begin(self) -> None:
        self._begun: frozenset[str] = frozenset()
        """The queues that have all their counters."""
        self._counted: dict[TallyKey, tuple[int, float]] = {}
        self._sources: dict[TallyKey, list[TallyKey]] = {}
        self._folded: dict[TallyKey, ShownTally | DurationTally] = {}
        """By shown name, in the order of the keys."""

    def fold(
        self,
        tallies: Mapping[TallyKey, Tally],
        queues: frozenset[str],
        shown_before: frozenset[str],
        names: _Names,
    ) -> None:
        """Add up all counters of these ``queues``, without the events of those that were not shown
        before. ``tallies`` may be the same mapping as before, with more counted in it; one that was
        read anew is another."""
        if tallies is not self._tallies or names is not self._names:
            self._tallies, self._names = tallies, names
            self._begin()
        touched = {
            TallyKey(kind, names[queue], status): None
            for queue in queues - self._begun
            for kind, status in COUNTERS
        }
        self._begun |= queues
        for key, tally in tallies.items():
            if key.queue not in shown_before:
                continue
            counted = (tally.count, tally.sum_seconds)
            known = self._counted.get(key)
            if counted == known:
                continue
            into = key._replace(queue=names[key.queue])
            if known is None:
                self._sources.setdefault(into, []).append(key)
            self._counted[key] = counted
            touched[into] = None
        anew = {into: self._sum(into) for into in touched}
        known_all = anew.keys() <= self._folded.keys()
        self._folded.update(anew)
        if not known_all:
            self._folded = {key: self._folded[key] for key in sorted(self._folded)}

    def totals(self, kind: str) -> tuple[ShownTally, ...]:
        """Of one kind of counter."""
        return tuple(each for each in self._of(kind) if isinstance(each, ShownTally))

    def durations(self, kind: str) -> tuple[DurationTally, ...]:
        """Of one kind of histogram."""
        return tuple(each for each in self._of(kind) if isinstance(each, DurationTally))

    def _of(self, kind: str) -> Iterable[ShownTally | DurationTally]:
        return (each for key, each in self._folded.items() if key.kind == kind)

    def _sum(self, into: TallyKey) -> ShownTally | DurationTally:
        tallies = [self._tallies[key] for key in sorted(self._sources.get(into, ()))]
        if into.kind not in TIMED:
            return ShownTally(into.queue, into.status, sum(tally.count for tally in tallies))
        buckets = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
        for tally in tallies:
            for place, count in enumerate(tally.buckets):
                buckets[place] += count
        seconds = sum((tally.sum_seconds for tally in tallies), 0.0)
        return DurationTally(into.queue, into.status, tuple(buckets), seconds)
