"""Sits between a client and the cloud: limits the calls, and records what answers look like."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from exporter.api.budget import CallGate
from exporter.api.shape import Shape, shape_of
from exporter.api.transport import RawAnswer, Transport
from exporter.clock import Clock
from exporter.errors import BudgetExhausted

OUT_OF_CALLS = "calls"
"""The ``reason`` of a call that is not made because enough have been."""


class CallLimit:
    """A ``CallGate`` before another one, which lets so many calls through and no more."""

    def __init__(self, gate: CallGate, most: int) -> None:
        self._gate = gate
        self.most = most
        self.made = 0
        self._until = most

    @property
    def left(self) -> int:
        """How many calls may still be made just now."""
        return max(0, min(self.most, self._until) - self.made)

    @contextmanager
    def at_most(self, calls: int) -> Iterator[None]:
        """Within the block, let no more than so many calls through."""
        before, self._until = self._until, min(self._until, self.made + calls)
        try:
            yield
        finally:
            self._until = before

    def admit(self, cluster_name: str) -> None:
        """See ``CallGate``."""
        if not self.left:
            raise BudgetExhausted(
                OUT_OF_CALLS, f"{self.made} calls have been made", until_at=0.0, advice=""
            )
        self._gate.admit(cluster_name)
        self.made += 1

    def over_quota(self) -> None:
        """See ``CallGate``."""
        self._gate.over_quota()

    def passed(self) -> None:
        """See ``CallGate``."""
        self._gate.passed()


@dataclass(frozen=True, slots=True)
class Exchange:
    """What one answer looked like, without its content."""

    path: str
    status: int
    seconds: float
    size_bytes: int
    shape: Shape | None
    """None if it is no JSON object."""
    clock_off_seconds: float | None
    """How far this machine's clock is ahead of the server's; None if the answer has no ``Date``."""
    quota_headers: tuple[tuple[str, str], ...]


class Overheard:
    """A ``Transport`` around another one; it records what answers look like."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self.exchanges: list[Exchange] = []

    def exchange(self, url: str, method: str = "GET") -> RawAnswer:
        """See ``Transport``."""
        answer = self._transport.exchange(url, method)
        # A Date has whole seconds, cut off: on average it is half a second older than it says.
        now_at = self._clock.now_at() - answer.elapsed_seconds / 2 - 0.5
        self.exchanges.append(
            Exchange(
                path=urlsplit(url).path,
                status=answer.status,
                seconds=answer.elapsed_seconds,
                size_bytes=len(answer.body),
                shape=shape_of(answer.body),
                clock_off_seconds=None if answer.date_at is None else now_at - answer.date_at,
                quota_headers=answer.quota_headers,
            )
        )
        return answer
