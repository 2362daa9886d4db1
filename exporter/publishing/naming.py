"""Under which names users and queues are shown: their own name, a pseudonym, none, or ``_other``. Pure."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from exporter.labels import ALL, OTHER, Groups, Wanted
from exporter.ledger.records import JobTotals
from exporter.ledger.store import Ledger
from exporter.ledger.totals import GroupKey
from exporter.model import END_STATUSES
from exporter.snapshot import UserGroup

_TAKE_OVER_FACTOR = 2
_TAKE_OVER_MARGIN = 10
"""A name takes the place of a shown one if it has more active jobs than this factor times those of the
other, plus this margin."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the configuration says about labels."""

    user_mode: Literal["name", "hash", "off"] = "name"
    user_limit: int = 500
    queue_limit: int = 200
    users: Wanted = ALL
    """Which users are shown at all."""
    queues: Wanted = ALL
    groups: Callable[[], Groups] | None = None
    """Gives the current groups of users; None if there are none."""


class Changed(NamedTuple):
    """A (status, queue, user) of a ledger, with its jobs and cores before and now."""

    key: GroupKey
    before: JobTotals
    now: JobTotals


def choose_shown(
    active: Mapping[str, int], present: frozenset[str], before: frozenset[str], limit: int
) -> frozenset[str]:
    """Which values of a label are shown under their own name. Pure.

    ``active`` has the active jobs of each value, ``present`` the values that have any job, ``before``
    those that were shown. A value stays shown while it has jobs, unless another has far more active
    ones: names must not come and go with every scrape.
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
    """A name that is always the same for a user, and does not show at a glance who it is. This is no
    anonymity: somebody who knows all names can find out."""
    return hashlib.blake2s(user.encode(), digest_size=6).hexdigest()


class Label:
    """A label of one cluster's metrics: how many jobs each of its values has, which are shown, and under
    which names: ``label[value]``."""

    def __init__(
        self, name: Literal["queue", "user"], wanted: Wanted, limit: int, mode: str = "name"
    ) -> None:
        self._name = name
        self._limit = limit
        self._mode = mode
        self._groups: Counter[str] = Counter()
        """In how many groups each value has jobs; values without jobs are not in it."""
        self._active: Counter[str] = Counter()
        """How many active jobs each value has."""
        self._names: dict[str, str] = {}
        """The names of those that are shown under one."""
        self._other = "" if mode == "off" else OTHER
        """The name of the others."""
        self.wanted = cache(wanted)
        self.present: frozenset[str] = frozenset()
        """The values that have jobs, or are kept for another reason."""
        self.shown: frozenset[str] = frozenset()
        """Those that are shown under their own name, if any is."""

    def add(self, changes: Iterable[Changed]) -> None:
        """Take in what has changed."""
        for (status, queue, user), before, now in changes:
            value = queue if self._name == "queue" else user
            self._groups[value] += bool(now.jobs) - bool(before.jobs)
            if status not in END_STATUSES:
                self._active[value] += now.jobs - before.jobs
            if not self._groups[value]:
                del self._groups[value], self._active[value]

    def choose(self, ledger: Ledger, kept: Set[str]) -> bool:
        """Choose which values are shown, of those with jobs and the ``kept`` ones, and note that in the
        ledger. Returns whether these are others than before."""
        self.present = frozenset(self._groups) | kept
        before = ledger.shown(self._name)
        shown = choose_shown(self._active, self.present, before, self._limit)
        ledger.remember_shown(self._name, shown)
        if shown != self.shown:
            self.shown = shown
            if self._mode != "off":
                hashes = self._mode == "hash"
                self._names = {value: pseudonym(value) if hashes else value for value in shown}
        return shown != before

    @property
    def folded(self) -> int:
        """How many values are added up as ``_other``."""
        return 0 if self._mode == "off" else len(self.present - self.shown)

    def __getitem__(self, value: str) -> str:
        return self._names.get(value, self._other)

    def series(self, value: str) -> str | None:
        """The value whose counters those of this value are added to: itself or ``_other``. While it is not
        wanted, its own, which are not shown; or None, where all users are added up in one sum."""
        if not self.wanted(value):
            return None if self._mode == "off" else value
        return value if value in self.shown else OTHER

    def has(self, value: str) -> bool:
        """Whether counters of this value are shown. Where users are off, all are: they are added up."""
        return value in self.shown or value == OTHER or self._mode == "off"

    def groups(self, groups: Groups, names: Set[str]) -> tuple[UserGroup, ...]:
        """The group of each user that is shown under one of the ``names``; ``_other`` has one of its own."""
        if self._mode == "off":
            return ()
        found = {
            UserGroup(self[user], groups.of(user)) for user in self.shown if self[user] in names
        }
        if OTHER in names and OTHER not in self.shown:
            found.add(UserGroup(OTHER, OTHER))
        return tuple(sorted(found))
