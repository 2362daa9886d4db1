"""Makes the frozen snapshot of a ledger, with its labels folded, hashed or left out. Pure."""

from collections.abc import Iterable, Mapping

from exporter.labels import OTHER, FirstNames
from exporter.ledger.counters import NOTHING, USER_KINDS, CounterKey
from exporter.ledger.records import JobTotals
from exporter.ledger.store import Ledger
from exporter.ledger.totals import EMPTY, GroupKey, Pair
from exporter.model import END_STATUSES, LEFT_OUT_REASONS, hidden
from exporter.profile import UNKNOWN
from exporter.publishing.naming import Changed, Label, LabelRules
from exporter.publishing.rows import ALWAYS_SHOWN, STATUS_LIMIT, CounterRows, JobRows
from exporter.snapshot import (
    RECENT_SECONDS,
    ClusterSnapshot,
    Grouped,
    JobCount,
    LeftOut,
    QueueMoment,
    Usage,
    UserGroup,
)

QUEUE_COUNTERS = (
    ("submitted", ""), ("started", ""), ("waits", ""),
    *((kind, status) for kind in ("ended", "runs") for status in sorted(END_STATUSES)),
)  # fmt: skip
"""The counters that every queue has: kind and status."""


class Publisher:
    """Makes the snapshots of one ledger. It keeps what it has added up for the last one, and adds what has
    changed since; but it begins anew if that one failed or was rolled back, and with another ledger."""

    def __init__(self, rules: LabelRules, *, history_wanted: bool = True) -> None:
        self._rules = rules
        self._history_wanted = history_wanted
        self._last_reading = object()
        self._statuses = FirstNames((*ALWAYS_SHOWN, *END_STATUSES), STATUS_LIMIT)
        self._counting: set[str] = set()
        """The queues that have counters, which are kept."""
        self._label_anew()
        self._add_up_anew()

    def snapshot(self, ledger: Ledger, taken_at: float) -> ClusterSnapshot | None:
        """The snapshot of a ledger; None while not all active jobs are known.

        It writes to the ledger which names are shown, so call it within a transaction.
        """
        progress, zone = ledger.progress, ledger.progress.profile.zone
        if not progress.active_known:
            return None
        self._take(ledger, taken_at)
        counters = self._counters
        counts = self._jobs.rows(
            ended=progress.complete and self._history_wanted, others=progress.known == "all"
        )
        core_seconds, user_waits = counters.usage("cores"), counters.usage("wait")
        return ClusterSnapshot(
            taken_at=taken_at,
            counts=counts,
            oldest_pending=() if zone.value == UNKNOWN else self._oldest(ledger.oldest_pending()),
            submitted=counters.totals("submitted"),
            started=counters.totals("started"),
            ended=counters.totals("ended"),
            waits=counters.durations("waits"),
            runs=counters.durations("runs"),
            core_seconds=core_seconds,
            user_waits=user_waits,
            user_groups=self._groups(counts, core_seconds, user_waits),
            history_complete=progress.complete,
            history_known=ledger.size,
            history_expected=progress.expected,
            folded_users=self._users.folded,
            folded_queues=self._queues.folded,
            left_out=tuple(
                LeftOut(reason, ledger.count_status(status))
                for status, reason in LEFT_OUT_REASONS.items()
            ),
        )

    def _take(self, ledger: Ledger, taken_at: float) -> None:
        """Add up what has changed in the ledger since the last snapshot."""
        last_reading, self._last_reading = self._last_reading, object()
        counters, begins = ledger.counters, ledger.last_reading is not last_reading
        if begins:
            ledger.groups.start_log()
            counters.reconsider()
            self._label_anew()
            self._counting = _queues(counters.shown) - {OTHER} | _queues(counters["elsewhere"])
        changes = self._changes(ledger, ledger.groups.log)
        self._queues.add(changes)
        self._users.add(changes)
        self._counting |= _queues(counters.due)
        # This also shows users whose jobs were submitted, ended and deleted between two syncs.
        for kind, queue, user in counters.due:
            if kind in USER_KINDS and self._wants((queue, user)):
                ledger.note_activity(queue, user, taken_at)
        active_from_at = taken_at - RECENT_SECONDS
        recent = frozenset(
            pair for pair, at in ledger.activity().items()
            if at >= active_from_at and self._wants(pair)
        )  # fmt: skip
        present = self._queues.present
        anew = self._choose_names(ledger, recent) or begins
        if anew:
            self._add_up_anew()
            changes = self._changes(ledger, dict.fromkeys(ledger.totals(), EMPTY))
            present = frozenset()
        newly_live = self._jobs.take(changes, ledger.groups.active_groups, recent)
        live = {CounterKey(kind, *pair) for pair in newly_live for kind in USER_KINDS}
        for queue in self._queues.present - present:
            live.update(CounterKey(kind, queue, status) for kind, status in QUEUE_COUNTERS)
        credited = counters.credit(live, self._series, self._counters.has)
        self._counting |= _queues(credited) - {OTHER}
        if anew:
            credited = dict.fromkeys(counters.shown, NOTHING)
        self._counters.take(credited, counters.shown)
        ledger.groups.log.clear()
        ledger.last_reading = self._last_reading

    def _label_anew(self) -> None:
        rules = self._rules
        self._queues = Label("queue", rules.queues, rules.queue_limit)
        self._users = Label("user", rules.users, rules.user_limit, rules.user_mode)

    def _add_up_anew(self) -> None:
        """Forget what was added up by names."""
        self._jobs = JobRows(self._statuses, self._queues, self._users)
        self._counters = CounterRows(self._queues, self._users)

    def _choose_names(self, ledger: Ledger, recent: frozenset[Pair]) -> bool:
        """Choose which queues and users are shown. Returns whether these are others than before."""
        kept = {queue for queue, _ in recent}.union(filter(self._queues.wanted, self._counting))
        renamed = self._queues.choose(ledger, kept)
        return self._users.choose(ledger, {user for _, user in recent}) or renamed

    def _wants(self, pair: Pair) -> bool:
        return self._queues.wanted(pair[0]) and self._users.wanted(pair[1])

    def _series(self, key: CounterKey) -> CounterKey | None:
        """The series that a counter is added to; None while there is none."""
        queue = self._queues.series(key.queue)
        of = self._users.series(key.of) if key.kind in USER_KINDS else key.of
        return None if queue is None or of is None else CounterKey(key.kind, queue, of)

    def _changes(self, ledger: Ledger, before: Mapping[GroupKey, JobTotals]) -> list[Changed]:
        """How many jobs there are now, of what is wanted, where there were so many before."""
        return [
            Changed(key, then, ledger.groups.group(key))
            for key, then in before.items()
            if not hidden(key[0]) and self._wants(key[1:])
        ]

    def _oldest(self, oldest: Mapping[str, int]) -> tuple[QueueMoment, ...]:
        found: dict[str, int] = {}
        for queue, at in oldest.items():
            if self._queues.wanted(queue):
                name = self._queues[queue]
                found[name] = min(at, found.get(name, at))
        return tuple(QueueMoment(queue, float(at)) for queue, at in sorted(found.items()))

    def _groups(self, *shown: Grouped[JobCount] | Grouped[Usage]) -> tuple[UserGroup, ...]:
        """The groups of the users of these rows."""
        if self._rules.groups is None:
            return ()
        names = {user for rows in shown for users, *_ in rows.groups.values() for user in users}
        return self._users.groups(self._rules.groups(), names)


def _queues(counters: Iterable[CounterKey]) -> set[str]:
    """The queues of those counters that are not of users."""
    return {key.queue for key in counters if key.kind not in USER_KINDS}
