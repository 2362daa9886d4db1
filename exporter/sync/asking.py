"""The two ends of a sync: what a conversation yields, and what it may assume of the other end."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from exporter.errors import ApiError, SyncError
from exporter.model import JobListQuery, Page


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


def asked(ask: Ask) -> Asking[Page]:
    """One question, as a conversation of its own."""
    return (yield ask)


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


class OrderBroken(SyncError):  # noqa: N818 - says what is the matter
    """The pages are not in the order that was asked for: it is not honoured, or no longer."""

    def __init__(self, message: str) -> None:
        super().__init__("order", message)


class SecondUnreadable(SyncError):  # noqa: N818 - says what is the matter
    """The jobs of one second are in another order at every call, or leave it while they are read:
    they cannot all be met."""

    def __init__(self) -> None:
        super().__init__(
            "order",
            "jobs of the same second cannot all be read: they are not the same at every call",
            advice="Nothing to do: the next sync tries again.",
        )


class PageCutShort(SyncError):  # noqa: N818 - says what is the matter
    """A page has fewer jobs than pages have, and the list goes on after it: jobs were left out."""

    def __init__(self) -> None:
        super().__init__(
            "payload",
            "a page of the list is shorter than others, although the list goes on",
            advice="Nothing is counted from it; the next sync asks again.",
        )


class TotalTooSmall(SyncError):  # noqa: N818 - says what is the matter
    """A page of the whole list reaches beyond its own total: that does not count the list."""

    def __init__(self) -> None:
        super().__init__(
            "payload",
            "the server sends more jobs than it says that there are",
            advice="Its totals are looked at, and done without if it happens again.",
        )


class TotalTooLarge(SyncError):  # noqa: N818 - says what is the matter
    """A filtered list ends before the total of its own last page says so: that counts otherwise."""

    def __init__(self) -> None:
        super().__init__("payload", "a filtered list ends before its total says so")


class FilterBroken(SyncError):  # noqa: N818 - says what is the matter
    """A filtered answer holds jobs that the filter excludes: it is not honoured."""

    def __init__(self, message: str) -> None:
        super().__init__("filter", message)
