"""A ledger -> the frozen snapshot that is shown: labels folded, hashed or left out. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from exporter.ledger.records import JobTotals, Tally, TallyKey
from exporter.ledger.store import Ledger
from exporter.model import END_STATUSES
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    ClusterSnapshot,
    DurationTally,
    JobCount,
    QueueMoment,
)
from exporter.snapshot import Tally as ShownTally
from exporter.sync.intake import RECENT_SECONDS

OTHER = "_other"
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

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """What is to be shown of a ledger; None while the active jobs are not known.

        Remembers in the ledger which names are shown: call it within a transaction.
        """
        progress = ledger.progress
        if not progress.active_known:
            return None
        totals = {key: value for key, value in ledger.totals().items() if key[0]}
        recent = _recent_pairs(ledger, taken_at)
        queues = self._shown(ledger, "queue", totals, recent, self._rules.queue_limit)
        users = self._shown(ledger, "user", totals, recent, self._rules.user_limit)
        queue_names = _Names(queues.shown)
        user_names = _Names(users.shown, self._rules.user_mode)
        tallies = _fold_tallies(ledger.tallies(), queue_names)
        return ClusterSnapshot(
            taken_at=taken_at,
            counts=self._counts(ledger, totals, queue_names, user_names, taken_at),
            oldest_pending=_oldest(ledger.oldest_pending(), queue_names),
            submitted=_plain(tallies, "submitted"),
            started=_plain(tallies, "started"),
            ended=_plain(tallies, "ended"),
            waits=_durations(tallies, "wait"),
            runs=_durations(tallies, "run"),
            history_complete=progress.complete,
            history_known=ledger.size,
            history_expected=progress.expected,
            folded_users=users.folded if self._rules.user_mode != "off" else 0,
            folded_queues=queues.folded,
        )

    def _shown(
        self,
        ledger: Ledger,
        label: Literal["queue", "user"],
        totals: Mapping[tuple[str, str, str], JobTotals],
        recent: frozenset[tuple[str, str]],
        limit: int,
    ) -> "_Shown":
        place = 1 if label == "queue" else 2
        active: dict[str, int] = defaultdict(int)
        for key, value in totals.items():
            active[key[place]] += value.jobs if key[0] not in END_STATUSES else 0
        present = frozenset(active) | {pair[place - 1] for pair in recent}
        if label == "queue":  # counters keep their names, too
            present |= {key.queue for key in ledger.tallies()}
        shown = choose_shown(active, present, ledger.shown(label), limit)
        ledger.remember_shown(label, shown)
        return _Shown(shown, len(present - shown))

    def _counts(
        self,
        ledger: Ledger,
        totals: Mapping[tuple[str, str, str], JobTotals],
        queues: "_Names",
        users: "_Names",
        taken_at: float,
    ) -> tuple[JobCount, ...]:
        with_ended = ledger.progress.complete and self._history_wanted
        jobs: dict[tuple[str, str, str], int] = defaultdict(int)
        cores: dict[tuple[str, str, str], int] = defaultdict(int)
        for (status, queue, user), value in totals.items():
            if status in END_STATUSES and not with_ended:
                continue
            key = (status, queues.of(queue), users.of(user))
            jobs[key] += value.jobs
            cores[key] += value.cores
        for queue, user in _live_pairs(ledger, totals, taken_at):
            for status in ALWAYS_SHOWN:
                jobs[status, queues.of(queue), users.of(user)] += 0
        return tuple(JobCount(*key, jobs[key], cores[key]) for key in sorted(jobs))


@dataclass(frozen=True, slots=True)
class _Shown:
    shown: frozenset[str]
    folded: int


class _Names:
    """How the values of one label are written."""

    def __init__(self, shown: frozenset[str], mode: str = "name") -> None:
        self._shown = shown
        self._mode = mode

    def of(self, value: str) -> str:
        if self._mode == "off":
            return ""
        if value not in self._shown:
            return OTHER
        return pseudonym(value) if self._mode == "hash" else value


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


def _oldest(oldest: Mapping[str, int], queues: _Names) -> tuple[QueueMoment, ...]:
    found: dict[str, int] = {}
    for queue, at in oldest.items():
        name = queues.of(queue)
        found[name] = min(at, found.get(name, at))
    return tuple(QueueMoment(queue, float(at)) for queue, at in sorted(found.items()))


def _fold_tallies(tallies: Mapping[TallyKey, Tally], queues: _Names) -> dict[TallyKey, Tally]:
    folded: dict[TallyKey, Tally] = {}
    for key in sorted(tallies):
        tally = tallies[key]
        into = folded.setdefault(
            key._replace(queue=queues.of(key.queue)),
            Tally(buckets=[0] * (len(WAIT_BUCKETS_SECONDS) + 1)),
        )
        into.count += tally.count
        into.sum_seconds += tally.sum_seconds
        for place, count in enumerate(tally.buckets):
            into.buckets[place] += count
    return folded


def _plain(tallies: Mapping[TallyKey, Tally], kind: str) -> tuple[ShownTally, ...]:
    return tuple(
        ShownTally(key.queue, key.status, tally.count)
        for key, tally in tallies.items()
        if key.kind == kind
    )


def _durations(tallies: Mapping[TallyKey, Tally], kind: str) -> tuple[DurationTally, ...]:
    return tuple(
        DurationTally(key.queue, key.status, tuple(tally.buckets), tally.sum_seconds)
        for key, tally in tallies.items()
        if key.kind == kind
    )
