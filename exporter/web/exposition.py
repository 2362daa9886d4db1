"""What ``/metrics`` answers: rendered when something is published, not when it is scraped.

The families of the clusters change only when a poller publishes or a cluster's data grow stale.
They are rendered then, on the publisher's thread, cluster by cluster and only where a state is a
new one, and compressed there too. What is alive between publications (telemetry, quota, process)
is small; it is rendered on a scrape, if anything was counted since or a second has passed. The two
are joined by concatenation: two gzip members in a row are one gzip stream (RFC 1952, section 2.2).

A scrape therefore compares a few numbers and hands out bytes. It never waits for a publisher.
"""

import gzip
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric as Family

from exporter import collector
from exporter.clock import Clock, Instant, instant
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.snapshot import ClusterState, SnapshotBoard
from exporter.telemetry import Telemetry
from exporter.web.negotiation import Format
from exporter.web.rendering import OPENMETRICS_END, encode, render, render_header, render_samples

LIVE_SECONDS = 1.0
"""How old the process and quota families can be; everything else is never old."""

_GZIP_LEVEL = 1
"""The fastest; it shrinks this text ten times, and the best one does little better."""


@dataclass(frozen=True, slots=True)
class ExporterFacts:
    """What of the exporter itself is to be shown, besides its telemetry."""

    build: BuildInfo
    reload: Callable[[], ReloadStatus]
    quotas: Callable[[], Sequence[AccountQuota]]


@dataclass(frozen=True, slots=True)
class _Bodies:
    """Some text in both formats, in pieces; each asked-for form of it is made once."""

    pieces: Callable[[Format], Iterable[bytes]]
    made: dict[tuple[Format, bool], bytes] = field(default_factory=dict)

    def get(self, wanted: Format, *, compressed: bool) -> bytes:
        body = self.made.get((wanted, compressed))
        if body is None:
            body = b"".join(self.pieces(wanted))
            if compressed:
                body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            self.made[wanted, compressed] = body
        return body


@dataclass(frozen=True, slots=True)
class _Published:
    """The clusters' families as of one board, and until when they may be shown so."""

    states: Mapping[str, ClusterState]
    blocks: Mapping[str, tuple[bytes, ...]]
    """By cluster, its lines of each of ``collector.CLUSTER_METRICS``."""
    composed_at: float
    expires: Instant
    """When the next cluster's gauges are to be withdrawn, by either clock."""
    bodies: _Bodies


@dataclass(frozen=True, slots=True)
class _Live:
    """The other families as of one moment."""

    changes: int
    rendered_at_monotonic: float
    bodies: _Bodies


class ProcessFamilies:
    """The ``process_*`` and ``python_*`` families, from a registry of our own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def __call__(self) -> list[Family]:
        """As they are now."""
        return list(self._registry.collect())


class Exposition:
    """Keeps the answers to scrapes ready.

    Publishers call ``refresh`` after each change of the board; the web calls ``scrape``.
    """

    def __init__(
        self,
        board: SnapshotBoard,
        telemetry: Telemetry,
        clock: Clock,
        facts: ExporterFacts,
        process_families: Callable[[], Iterable[Family]],
    ) -> None:
        self._board = board
        self._telemetry = telemetry
        self._clock = clock
        self._facts = facts
        self._process_families = process_families
        self._publishers = threading.Lock()
        self._wanted: frozenset[tuple[Format, bool]] = frozenset()
        self._outdated: Mapping[str, ClusterState] | None = None
        self._published = self._compose({}, {})
        self._live = self._render_live()
        self._answers: dict[tuple[Format, bool], tuple[_Published, _Live, bytes]] = {}

    def refresh(self) -> None:
        """Render what is new on the board. For the publisher's thread: takes milliseconds."""
        with self._publishers:
            self._refresh()

    def scrape(self, wanted: Format, *, compressed: bool) -> bytes:
        """The whole answer to a scrape. At most one thread at a time, that of the web."""
        form = (wanted, compressed)
        live = self._live = self._current_live()
        published = self._current_published()
        answer = self._answers.get(form)
        if answer is None or answer[0] is not published or answer[1] is not live:
            self._wanted |= {form}
            body = published.bodies.get(wanted, compressed=compressed)
            body += live.bodies.get(wanted, compressed=compressed)
            answer = self._answers[form] = (published, live, body)
        return answer[2]

    def _refresh(self) -> None:
        states = self._board.current()
        before = self._published
        blocks = {
            name: before.blocks[name] if before.states.get(name) is state else _blocks(state)
            for name, state in states.items()
        }
        published = self._compose(states, blocks)
        for wanted, compressed in self._wanted:
            published.bodies.get(wanted, compressed=compressed)
        self._published = published

    def _compose(
        self, states: Mapping[str, ClusterState], blocks: Mapping[str, tuple[bytes, ...]]
    ) -> _Published:
        now = instant(self._clock)
        shown: list[tuple[frozenset[str], tuple[bytes, ...]]] = []
        expires = Instant(float("inf"), float("inf"))
        for name in sorted(states):
            shown.append((collector.withdrawn_names(states[name], now), blocks[name]))
            for until in collector.expiries(states[name]):
                if now.at <= until.at and now.seconds <= until.seconds:
                    expires = Instant(
                        min(expires.at, until.at), min(expires.seconds, until.seconds)
                    )

        def pieces(wanted: Format) -> Iterable[bytes]:
            for index, family in enumerate(_CLUSTER_FAMILIES):
                yield encode(render_header(family, wanted))
                for withdrawn, lines in shown:
                    if family.name not in withdrawn:
                        yield lines[index]

        return _Published(states, blocks, now.at, expires, _Bodies(pieces))

    def _current_published(self) -> _Published:
        """What was published, less what has to be withdrawn by now."""
        published = self._published
        now, expires = instant(self._clock), published.expires
        if published.composed_at <= now.at <= expires.at and now.seconds <= expires.seconds:
            return published
        fresh = self._compose(published.states, published.blocks)
        if self._publishers.acquire(blocking=False):
            try:
                if self._published is published:
                    self._published = fresh
            finally:
                self._publishers.release()
        return fresh

    def _current_live(self) -> _Live:
        live = self._live
        now = self._clock.monotonic_seconds()
        if now - live.rendered_at_monotonic >= LIVE_SECONDS:
            self._catch_up()
        elif self._telemetry.changes == live.changes:
            return live
        return self._render_live()

    def _catch_up(self) -> None:
        """Refresh for a publisher that has not, between two looks, or that died over it."""
        rendered = self._published.states
        if rendered is self._board.current():
            self._outdated = None
        elif rendered is not self._outdated:
            self._outdated = rendered
        elif self._publishers.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._publishers.release()

    def _render_live(self) -> _Live:
        changes = self._telemetry.changes
        facts = self._facts
        families = [
            *self._telemetry.families(),
            *collector.exporter_families(facts.quotas(), facts.build, facts.reload()),
            *self._process_families(),
        ]

        def pieces(wanted: Format) -> Iterable[bytes]:
            yield encode(render(families, wanted))
            if wanted is Format.OPENMETRICS:
                yield encode(OPENMETRICS_END)

        return _Live(changes, self._clock.monotonic_seconds(), _Bodies(pieces))


def _blocks(state: ClusterState) -> tuple[bytes, ...]:
    return tuple(
        encode(render_samples(samples, _let_others_in))
        for samples in collector.cluster_samples(state)
    )


def _let_others_in() -> None:
    """Give up the interpreter for a moment, so that a scrape need not wait for a publication."""
    time.sleep(0)


_CLUSTER_FAMILIES = tuple(collector.new_family(metric) for metric in collector.CLUSTER_METRICS)
