"""A ledger -> the frozen snapshot that is shown: labels folded, hashed or left out. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from exporter.ledger.records import JobTotals, Tally, TallyKey
from exporter.ledger.store import Ledger
from exporter.model import END_STATUSES, LEFT_OUT_REASONS, hidden
from exporter.profile import UNKNOWN
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    ClusterSnapshot,
    DurationTally,
    JobCount,
    LeftOut,
    QueueMoment,
)
from exporter.snapshot import Tally as ShownTally
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
ALWAYS_SHOWN = ("pending", "running")
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
        self._rows: dict[tuple[str, str, str], JobCount] = {}
        """Of the last snapshot, in order: from one to the next little changes."""
        self._folded = _FoldedTallies()

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """What is to be shown of a ledger; None while the active jobs are not known.

        Remembers in the ledger which names are shown: call it within a transaction.
        """
        progress = ledger.progress
        if not progress.active_known:
            return None
        known = ledger.totals()
        totals = {key: value for key, value in known.items() if not hidden(key[0])}
        recent = _recent_pairs(ledger, taken_at)
        counted = _counted(ledger)
        kept = {queue for queue, _ in recent} | counted | {key.queue for key in ledger.tallies()}
        queues = _shown(ledger, "queue", _active(totals, 1), kept, self._rules.queue_limit)
        kept = {user for _, user in recent}
        users = _shown(ledger, "user", _active(totals, 2), kept, self._rules.user_limit)
        queue_names = self._named("queue", queues.shown)
        user_names = self._named("user", users.shown, self._rules.user_mode)
        ledger.remember_shown(COUNTED, queues.present)
        # Nobody sees the first events of a counter that is born with them: it is shown at 0 first.
        folded = self._folded
        folded.fold(ledger.tallies(), queues.present, counted, queue_names)
        return ClusterSnapshot(
            taken_at=taken_at,
            counts=self._counts(ledger, totals, queue_names, user_names, taken_at),
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
            left_out=_left_out(known),
        )

    def _counts(
        self,
        ledger: Ledger,
        totals: Mapping[tuple[str, str, str], JobTotals],
        queues: "_Names",
        users: "_Names",
        taken_at: float,
    ) -> tuple[JobCount, ...]:
        hidden = (
            frozenset[str]() if ledger.progress.complete and self._history_wanted else END_STATUSES
        )
        sums: dict[tuple[str, str, str], tuple[int, int]] = {}
        for (status, queue, user), value in totals.items():
            if status in hidden:
                continue
            key = (status, queues[queue], users[user])
            other = sums.get(key)
            sums[key] = value if other is None else (other[0] + value[0], other[1] + value[1])
        for queue, user in _live_pairs(ledger, totals, taken_at):
            for status in ALWAYS_SHOWN:
                sums.setdefault((status, queues[queue], users[user]), (0, 0))
        return self._rows_of(sums)

    def _rows_of(
        self, sums: Mapping[tuple[str, str, str], tuple[int, int]]
    ) -> tuple[JobCount, ...]:
        before = self._rows
        order = before if before.keys() == sums.keys() else sorted(sums)
        rows = {}
        for key in order:
            row, (jobs, cores) = before.get(key), sums[key]
            if row is None or row.jobs != jobs or row.cores != cores:
                row = JobCount(*key, jobs, cores)
            rows[key] = row
        self._rows = rows
        return tuple(rows.values())

    def _named(self, label: str, shown: frozenset[str], mode: str = "name") -> "_Names":
        names = self._names.get(label)
        if names is None or names.shown != shown:
            names = self._names[label] = _Names(shown, mode)
        return names


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


def _active(totals: Mapping[tuple[str, str, str], JobTotals], place: int) -> dict[str, int]:
    """How many active jobs each value of a label has that has any job."""
    active: dict[str, int] = defaultdict(int)
    for key, value in totals.items():
        active[key[place]] += value.jobs if key[0] not in END_STATUSES else 0
    return active


def _shown(
    ledger: Ledger,
    label: Literal["queue", "user"],
    active: Mapping[str, int],
    kept: Set[str],
    limit: int,
) -> "_Shown":
    """Which values of a label have a name of their own, of those with jobs and the ``kept`` ones."""
    present = frozenset(active) | kept
    shown = choose_shown(active, present, ledger.shown(label), limit)
    ledger.remember_shown(label, shown)
    return _Shown(shown, present)


def _live_pairs(
    ledger: Ledger, totals: Mapping[tuple[str, str, str], JobTotals], taken_at: float
) -> Iterable[tuple[str, str]]:
    live = {(queue, user) for status, queue, user in totals if status not in END_STATUSES}
    return live | _recent_pairs(ledger, taken_at)


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


def _left_out(totals: Mapping[tuple[str, str, str], JobTotals]) -> tuple[LeftOut, ...]:
    records = dict.fromkeys(LEFT_OUT_REASONS, 0)
    for (status, _, _), value in totals.items():
        if status in records:
            records[status] += value.jobs
    return tuple(LeftOut(LEFT_OUT_REASONS[status], n) for status, n in records.items())


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
