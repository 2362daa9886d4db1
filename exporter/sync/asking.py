"""The two ends of a sync: what a conversation yields, and what it may assume of the other end."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from exporter.errors import ApiError, SyncError
from exporter.model import JobListQuery, Page
from exporter.profile import TraitName


class Purpose(IntEnum):
    """What a call is for; the smaller goes first when the budget is short."""

    FRESH = 0
    AUDIT = 1
    HISTORY = 2


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that a conversation wants made."""

    query: JobListQuery
    purpose: Purpose = Purpose.FRESH


T = TypeVar("T")
Asking = Generator[Ask, Page, T]
"""A conversation that ends with a T. Errors of a call are thrown into it."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A conversation has ended, with this result."""

    value: T


def advance(asking: Asking[T], answer: Page | ApiError | None) -> Ask | Finished[T]:
    """Give a conversation the answer to what it asked (None to start it); returns what it asks
    next. An error that it does not know how to live with comes back out."""
    try:
        if isinstance(answer, ApiError):
            return asking.throw(answer)
        return next(asking) if answer is None else asking.send(answer)
    except StopIteration as done:
        return Finished(done.value)


Allowance = Callable[[Purpose], int]
"""How many calls the budget leaves for a purpose just now."""

_REASONS: dict[TraitName, str] = {"order": "order", "status_filter": "filter"}


class Contradiction(SyncError):  # noqa: N818 - says what is the matter
    """An answer contradicts the profile. The sync ends without a trace, and the trait is found
    anew."""

    def __init__(self, trait: TraitName, evidence: str, *, reason: str = "") -> None:
        super().__init__(
            reason or _REASONS.get(trait, "payload"),
            f"the server does not do what it did: {evidence}",
            advice=f"Nothing is counted from it; the next sync finds out anew ({trait}).",
        )
        self.trait: TraitName = trait
        self.evidence = evidence


class CollapseUnconfirmed(SyncError):  # noqa: N818 - says what is the matter
    """A large part of the list, or of the active jobs, seems to be gone. A later sync must say so,
    too, before it is believed."""

    def __init__(self, what: str, known: int, left: int) -> None:
        super().__init__(
            "payload",
            f"of {known} {what} the server shows {left}",
            advice="Nothing is counted from it; it is believed if the next sync says so, too.",
        )
