"""Under which names users and queues are shown: their own, a pseudonym, none, or that of all others.
Pure."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from exporter.labels import ALL, Groups, Wanted
from exporter.snapshot import OTHER, UserGroup

_TAKE_OVER_FACTOR = 2
_TAKE_OVER_MARGIN = 10
"""Another name takes the place of one that is shown if it has more than so many times its active jobs,
and so many on top."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """What the configuration says about labels."""

    user_mode: Literal["name", "hash", "off"] = "name"
    user_limit: int = 500
    queue_limit: int = 200
    users: Wanted = ALL
    """Who is shown at all."""
    queues: Wanted = ALL
    groups: Callable[[], Groups] | None = None
    """Those of users, as they are now; None for none."""


class WantedCache(dict[str, bool]):
    """Which values of one label are wanted; each is asked for once."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self._wanted = wanted

    def __missing__(self, value: str) -> bool:
        wanted = self[value] = self._wanted(value)
        return wanted


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


class Names(dict[str, str]):
    """How the values of one label are written; found out once for each."""

    def __init__(self, shown: frozenset[str], wanted: WantedCache, mode: str = "name") -> None:
        super().__init__()
        self.shown = shown
        self._wanted = wanted
        self._mode = mode

    def leave_out(self, value: str) -> bool:
        """Whether this value is not wanted."""
        return not self._wanted[value]

    def series(self, value: str) -> str | None:
        """The value to whose counters something of this one is added. While it is not wanted its own,
        where nobody sees it, or, where all are one sum, None."""
        if self.leave_out(value):
            return None if self._mode == "off" else value
        return value if value in self.shown else OTHER

    def has(self, value: str) -> bool:
        """Whether counters of this value are shown. In the sum of all, whatever was in it stays."""
        return value in self.shown or value == OTHER or self._mode == "off"

    def groups(self, groups: Groups, names: frozenset[str]) -> tuple[UserGroup, ...]:
        """In which group each user is that is shown under one of the names; the others are a group."""
        if self._mode == "off":
            return ()
        found = {
            UserGroup(self[user], groups.of(user)) for user in self.shown if self[user] in names
        }
        if OTHER in names and OTHER not in self.shown:
            found.add(UserGroup(OTHER, OTHER))
        return tuple(sorted(found))

    def __missing__(self, value: str) -> str:
        name = self[value] = self._written(value)
        return name

    def _written(self, value: str) -> str:
        if self._mode == "off":
            return ""
        if value not in self.shown:
            return OTHER
        return pseudonym(value) if self._mode == "hash" else value
