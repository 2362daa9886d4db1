"""What the configuration says about users and queues: which are shown, and each user's group."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NO_GROUP = "_none"
"""The group of users that are in no other one."""

OTHER = "_other"
"""The name of what has none of its own."""


class FirstNames(dict[str, str]):
    """The names under which a server's words are shown, such as statuses: any text may come, and each is a
    series. The ``known`` ones, and the first ``most`` others, keep theirs; later ones are ``_other``."""

    def __init__(self, known: Iterable[str], most: int) -> None:
        super().__init__({word: word for word in known})
        self._most = len(self) + most

    def __missing__(self, word: str) -> str:
        return OTHER if len(self) >= self._most else self.setdefault(word, word)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which values of a label have series; by default all."""

    include: tuple[re.Pattern[str], ...] = (re.compile(".*", re.DOTALL),)
    """One of them must match a value as a whole."""
    exclude: tuple[re.Pattern[str], ...] = ()
    """None of them may."""

    def __call__(self, *names: str) -> bool:
        """Whether a value is wanted that has these names."""

        def matches(patterns: tuple[re.Pattern[str], ...]) -> bool:
            return any(each.fullmatch(name) for each in patterns for name in names)

        return matches(self.include) and not matches(self.exclude)


ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Groups:
    """Of users. A name goes before patterns, and of patterns that match the first counts."""

    names: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()

    def of(self, user: str) -> str:
        """The group of a user."""
        named = self.names.get(user)
        if named is not None:
            return named
        found = (group for pattern, group in self.patterns if pattern.fullmatch(user))
        return next(found, NO_GROUP)
