"""Makes the frozen snapshot of a ledger, with its labels folded, hashed or left out. Pure."""

from collections.abc import Iterable, Mapping

from exporter.ledger.records import JobTotals, Tally, TallyKey
from exporter.ledger.store import Ledger
from exporter.ledger.totals import EMPTY, GroupKey, Log
from exporter.model import END_STATUSES, LEFT_OUT_REASONS, hidden
from exporter.profile import UNKNOWN
from exporter.publishing.counting import Counts, Statuses
from exporter.publishing.folding import KINDS, divide, other_part, own_part
from exporter.publishing.naming import Changed, Label, LabelRules, Names
from exporter.publishing.usage_rows import ShownRows, UsageRows
from exporter.snapshot import (
    OTHER,
    RECENT_SECONDS,
    WAIT_BUCKETS_SECONDS,
    ClusterSnapshot,
    DurationTally,
    JobCount,
    LeftOut,
    QueueMoment,
    UserGroup,
)
from exporter.snapshot import Tally as ShownTally

COUNTED = "counted"
"""The label under which the ledger keeps the queues whose counters have been shown."""
COUNTERS = (
    ("submitted", ""), ("started", ""), ("wait", ""),
    *((kind, status) for kind in ("ended", "run") for status in sorted(END_STATUSES)),
)  # fmt: skip
"""The counters that every queue has: kind and status."""
TIMED = frozenset({"wait", "run"})
"""The kinds of counters that are histograms."""


class Publisher:
    """Makes the snapshots of one ledger."""

    def __init__(self, rules: LabelRules, *, history_wanted: bool = True) -> None:
        self._rules = rules
        self._history_wanted = history_wanted
        self._log = Log()
        self._queues = Label("queue", rules.queues, rules.queue_limit)
        self._users = Label("user", rules.users, rules.user_limit, rules.user_mode)
        self._statuses = Statuses()
        self._counts = Counts({}, {}, self._statuses)
        self._folded = _FoldedTallies()
        self._usage = UsageRows()

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """The snapshot of a ledger; None while not all active jobs are known.

        It writes to the ledger which names are shown, so call it within a transaction.
        """
        progress = ledger.progress
        if not progress.active_known:
            return None
        log, self._log = self._log, Log()  # if this fails, the next call starts anew
        if not ledger.groups.is_logging_to(log):
            log = ledger.groups.start_log()
            self._queues.begin()
            self._users.begin()
            self._counts = Counts({}, {}, self._statuses)
            ledger.usage.reconsider()
        changes = self._changes(ledger, log)
        self._queues.add(changes)
        self._users.add(changes)
        # This also shows users whose jobs were submitted, ended and deleted between two syncs.
        for pair in filter(self._wants, ledger.usage.due_pairs):
            ledger.note_activity(*pair, taken_at)
        active_from_at = taken_at - RECENT_SECONDS
        recent = frozenset(
            pair for pair, at in ledger.activity().items()
            if at >= active_from_at and self._wants(pair)
        )  # fmt: skip
        self._fold_counters(ledger, recent)
        self._users.choose(ledger, {user for _, user in recent})
        folded, queues, users = self._folded, self._queues.names, self._users.names
        if self._counts.names[0] is not queues or self._counts.names[1] is not users:
            self._counts = Counts(queues, users, self._statuses)
            changes = self._changes(ledger, dict.fromkeys(ledger.totals(), EMPTY))
        self._counts.take(changes, ledger.groups.active_pairs(), recent)
        counts = self._counts.rows(complete=progress.complete, ended=self._history_wanted)
        used = self._usage.show(ledger.usage, self._counts, queues, users)
        snapshot = ClusterSnapshot(
            taken_at=taken_at,
            counts=counts,
            oldest_pending=()
            if progress.profile.zone.value == UNKNOWN
            else _oldest(ledger.oldest_pending(), queues),
            submitted=folded.totals("submitted"),
            started=folded.totals("started"),
            ended=folded.totals("ended"),
            waits=folded.durations("wait"),
            runs=folded.durations("run"),
            core_seconds=used["cores"],
            user_waits=used["wait"],
            user_groups=self._groups(users, counts, used),
            history_complete=progress.complete,
            history_known=ledger.size,
            history_expected=progress.expected,
            folded_users=self._users.folded if self._rules.user_mode != "off" else 0,
            folded_queues=self._queues.folded,
            left_out=tuple(
                LeftOut(reason, ledger.count_status(status))
                for status, reason in LEFT_OUT_REASONS.items()
            ),
        )
        log.clear()
        self._log = log
        return snapshot

    def _fold_counters(self, ledger: Ledger, recent: frozenset[tuple[str, str]]) -> None:
        """Choose which queues are shown, and fold the counters of the others."""
        counted, named = _counted(ledger), ledger.shown("queue")
        # This includes queues that are not wanted: if they are one day, their counters continue.
        countable = counted | {key.queue for key in ledger.tallies()}
        kept = {queue for queue, _ in recent}.union(filter(self._queues.wanted, countable))
        present = self._queues.choose(ledger, kept)
        ledger.remember_shown(COUNTED, present | countable)
        # Prometheus does not see the events that a counter has when it first appears: so it is 0 first.
        self._folded.fold(ledger, present, counted, named, self._queues.names)

    def _wants(self, pair: tuple[str, str]) -> bool:
        return self._queues.wanted(pair[0]) and self._users.wanted(pair[1])

    def _changes(self, ledger: Ledger, before: Mapping[GroupKey, JobTotals]) -> list[Changed]:
        """How many jobs there are now, of what is wanted, where there were so many before."""
        return [
            Changed(key, then, ledger.groups.group(key))
            for key, then in before.items()
            if not hidden(key[0]) and self._wants(key[1:])
        ]

    def _groups(
        self, users: Names, counts: Iterable[JobCount], used: ShownRows
    ) -> tuple[UserGroup, ...]:
        if self._rules.groups is None:
            return ()
        names = {row.user for row in counts} | {row.user for rows in used.values() for row in rows}
        return users.groups(self._rules.groups(), frozenset(names))


def _counted(ledger: Ledger) -> frozenset[str]:
    """The queues whose counters have been shown before."""
    counted = ledger.shown(COUNTED)
    if not counted and ledger.shown("queue"):  # an earlier version showed all that it counted
        return frozenset(key.queue for key in ledger.tallies())
    return counted


def _oldest(oldest: Mapping[str, int], queues: Names) -> tuple[QueueMoment, ...]:
    found: dict[str, int] = {}
    for queue, at in oldest.items():
        if not queues.leave_out(queue):
            name = queues[queue]
            found[name] = min(at, found.get(name, at))
    return tuple(QueueMoment(queue, float(at)) for queue, at in sorted(found.items()))


def _store_parts(ledger: Ledger, key: TallyKey, own: Tally | None, other: Tally | None) -> None:
    """Write the parts to the ledger, so that a restart shows the same."""
    for place, part in ((own_part(key), own), (other_part(key), other)):
        if part is not None:
            ledger.put_tally(place, part)


class _FoldedTallies:
    """The counters by the names that are shown. Only those that have counted are folded again."""

    def __init__(self) -> None:
        self._tallies: Mapping[TallyKey, Tally] = {}
        self._names: Names | None = None
        self._begin()

    def _begin(self) -> None:
        self._begun: frozenset[str] = frozenset()
        """The queues whose counters are all there."""
        self._counted: dict[TallyKey, tuple[int, float]] = {}
        self._sources: dict[TallyKey, dict[TallyKey, Tally]] = {}
        """For each shown counter, the counters and parts that are added up in it."""
        self._folded: dict[TallyKey, ShownTally | DurationTally] = {}
        """The shown counters, in the order of their keys."""

    def fold(
        self,
        ledger: Ledger,
        queues: frozenset[str],
        counted_before: frozenset[str],
        named_before: frozenset[str],
        names: Names,
    ) -> None:
        """Add up all counters of these ``queues``, and what any queue has ever added to ``_other``.
        Counters that were not shown before are 0 this time."""
        tallies = ledger.tallies()  # the same mapping as before, unless it was read anew
        gone = self._begun - queues  # for instance by a sync that was rolled back
        if tallies is not self._tallies or names is not self._names or gone:
            self._tallies, self._names = tallies, names
            self._begin()
        touched = {
            TallyKey(kind, names[queue], status): None
            for queue in queues - self._begun
            for kind, status in COUNTERS
        }
        self._begun |= queues
        for key, tally in list(tallies.items()):
            if key.queue not in counted_before or key.kind not in KINDS:
                continue
            counted = (tally.count, tally.sum_seconds)
            if counted == self._counted.get(key):
                continue
            named = key.queue in named_before
            own, other = divide(key, tallies, names, named=named)
            _store_parts(ledger, key, own, other)
            if key.queue in names.shown:
                self._sources.setdefault(key, {})[key] = own or tally
                touched[key] = None
            if other:
                into = key._replace(queue=OTHER)
                self._sources.setdefault(into, {})[other_part(key)] = other
                touched[into] = None
            if named or key.queue not in names.shown:  # else its own part is shown the next time
                self._counted[key] = counted
        anew = {into: self._sum(into) for into in touched}
        known_all = anew.keys() <= self._folded.keys()
        self._folded.update(anew)
        if not known_all:
            self._folded = {key: self._folded[key] for key in sorted(self._folded)}

    def totals(self, kind: str) -> tuple[ShownTally, ...]:
        """The counters of one kind."""
        return tuple(each for each in self._of(kind) if isinstance(each, ShownTally))

    def durations(self, kind: str) -> tuple[DurationTally, ...]:
        """The histograms of one kind."""
        return tuple(each for each in self._of(kind) if isinstance(each, DurationTally))

    def _of(self, kind: str) -> Iterable[ShownTally | DurationTally]:
        return (each for key, each in self._folded.items() if key.kind == kind)

    def _sum(self, into: TallyKey) -> ShownTally | DurationTally:
        tallies = [tally for _, tally in sorted(self._sources.get(into, {}).items())]
        if into.kind not in TIMED:
            return ShownTally(into.queue, into.status, sum(tally.count for tally in tallies))
        buckets = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
        for tally in tallies:
            for place, count in enumerate(tally.buckets):
                buckets[place] += count
        seconds = sum((tally.sum_seconds for tally in tallies), 0.0)
        return DurationTally(into.queue, into.status, tuple(buckets), seconds)
