"""How a sync and its caller talk: what a conversation yields, and which errors it raises."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from exporter.errors import ApiError, SyncError
from exporter.model import JobListQuery, Page, Purpose
from exporter.profile import TraitName


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that a conversation asks its caller to make."""

    query: JobListQuery
    purpose: Purpose = Purpose.FRESH


T = TypeVar("T")
Asking = Generator[Ask, Page, T]
"""A conversation that returns a T. It is sent the page of each call, or the call's error is thrown into it."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A conversation has ended with this result."""

    value: T


def advance(asking: Asking[T], answer: Page | ApiError | None) -> Ask | Finished[T]:
    """Send a conversation an answer (None starts it). Returns its next query or its result. Raises its errors."""
    try:
        if isinstance(answer, ApiError):
            return asking.throw(answer)
        return next(asking) if answer is None else asking.send(answer)
    except StopIteration as done:
        return Finished(done.value)


Allowance = Callable[[Purpose], int]
"""How many calls the budget leaves for a purpose at the moment."""

_REASONS: dict[TraitName, str] = {"order": "order", "status_filter": "filter"}


class Contradiction(SyncError):  # noqa: N818 - says what is the matter
    """An answer contradicts the profile. The sync is rolled back, and the trait is calibrated again."""

    def __init__(self, trait: TraitName, evidence: str, *, reason: str = "") -> None:
        super().__init__(
            reason or _REASONS.get(trait, "payload"),
            f"the server does not do what it did: {evidence}",
            advice=f"Nothing is counted from it; the next sync finds out anew ({trait}).",
        )
        self.trait: TraitName = trait
        self.evidence = evidence


class CollapseUnconfirmed(SyncError):  # noqa: N818 - says what is the matter
    """Much of the list, or of the active jobs, seems gone, or it seems another list: believed if found again later."""

    def __init__(self, evidence: str) -> None:
        super().__init__(
            "payload",
            evidence,
            advice="Nothing is counted from it; it is believed if the next sync says so, too.",
        )
