"""What ``/metrics`` answers: rendered when something is published, joined when it is scraped.

What is known of a cluster changes only when its poller publishes. Its lines of each family are
rendered then, on the publisher's thread, and compressed: several gzip members in a row are one gzip
stream (RFC 1952, section 2.2) for whoever reads it by the book. What its syncs
counted is rendered at the same time. So it costs the same however many clusters there are.

A scrape puts the lines of all clusters, family by family, behind each other; it renders only what is
alive between publications (calls, quota, process), and leaves out what has become too old. It never
waits for a publisher.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from exporter import catalog, collector
from exporter.clock import Clock, Instant, instant
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.samples import Histogram, Part, Run, pieces
from exporter.snapshot import ClusterState, SnapshotBoard
from exporter.telemetry import Owner, Telemetry
from exporter.web.negotiation import Format
from exporter.web.packing import (
    Bunch,
    Lines,
    Pieces,
    bunched,
    joined,
    packed,
    plain,
    stream,
    together,
    whole,
)
from exporter.web.rendering import (
    OPENMETRICS_END,
    encode,
    render,
    render_header,
    render_histogram,
    render_run,
    render_samples,
)

LIVE_SECONDS = 1.0
"""How old the families of the process and of the exporter itself can be; a cluster's are never old."""

PIECES_AT_A_TIME = 32
"""Pieces rendered before others are let in: some 1,000 lines, less than a millisecond."""


@dataclass(frozen=True, slots=True)
class ExporterFacts:
    """What of the exporter itself is to be shown, besides its telemetry."""

    build: BuildInfo
    reload: Callable[[], ReloadStatus]
    quotas: Callable[[], Sequence[AccountQuota]]


@dataclass(frozen=True, slots=True)
class _Rendered:
    """The lines of a run of samples, or of a histogram."""

    items: Any
    """What it is made of."""
    lines: Pieces
    """Of each piece of a run."""


@dataclass(frozen=True, slots=True)
class _Share:
    """What is shown of one cluster."""

    state: ClusterState
    lines: Lines
    """Of each of ``collector.CLUSTER_METRICS``."""
    expiries: Sequence[Instant]
    """When some of them are to be withdrawn."""
    runs: Mapping[tuple[str, ...], "_Rendered"]
    """By names and labels."""

    def shown(self, now: Instant) -> Lines:
        """Those that are not withdrawn."""
        for until in self.expiries:
            if now.at > until.at or now.seconds > until.seconds:
                return self._without(collector.withdrawn_names(self.state, now))
        return self.lines

    def _without(self, names: frozenset[str]) -> Lines:
        return tuple(
            b"" if family.name in names else lines
            for family, lines in zip(_CLUSTER_FAMILIES, self.lines, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Published:
    """What is shown of the clusters as of one board."""

    states: Mapping[str, ClusterState]
    shares: Mapping[str, _Share]
    """In the order of their names."""
    bunches: Sequence[Bunch]
    """Of all their lines, none withdrawn."""
    expiries: Sequence[Instant]
    """Of all of them."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """The lines of telemetry as of one moment."""

    changes: Mapping[Owner, int]
    lines: Mapping[Owner, Lines]
    """Of each of ``catalog.TELEMETRY``."""
    bunches: Sequence[Bunch]


@dataclass(frozen=True, slots=True)
class _Live:
    """The other families as of one moment."""

    counted: _Counted
    own: Sequence[Family]
    """Of the exporter itself."""
    process: Sequence[Family]
    looked_at_monotonic: float
    """When the process was looked at."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to scrapes as of one moment, and until when they are right."""

    published: _Published
    live: _Live
    composed: Instant
    expires: Instant
    """When the next cluster's gauges are to be withdrawn, by either clock."""
    made: dict[tuple[Format, bool, bool, frozenset[str]], bytes] = field(default_factory=dict)

    def hold(self, now: Instant) -> bool:
        """Whether nothing was withdrawn since, nor a clock set back."""
        until = self.expires
        return self.composed.at <= now.at <= until.at and now.seconds <= until.seconds


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
        self._next = threading.Lock()
        """Held by the one publisher that waits for another to end."""
        self._outdated: Mapping[str, ClusterState] | None = None
        self._published = _Published({}, {}, (), ())
        self._counted = _Counted({}, {}, ())
        self._live = self._look()
        self._answers: _Answers | None = None
        """None when something was published: what nobody is told any more is not kept until the next scrape."""
        self._families: dict[bytes, tuple[Pieces, Pieces]] = {}
        """By the lines above it, what each was last made of, and what came of it."""

    def refresh(self) -> None:
        """Render what is new on the board. For the publisher's thread: takes milliseconds. If another one waits
        to do so, it does this, too: when hundreds publish at once, they go on."""
        if not self._next.acquire(blocking=False):
            return
        with self._publishers:
            self._next.release()
            self._refresh()

    def scrape(
        self,
        wanted: Format,
        *,
        compressed: bool,
        several: bool = False,
        names: frozenset[str] = frozenset(),
    ) -> bytes:
        """The answer to a scrape: the whole, or the families of these names or with samples of these
        names, as in Prometheus' own exporters. At most one thread at a time, that of the web.

        Compressed, it is of one gzip member, or of ``several``, for a reader who is known to read on behind the
        first."""
        live = self._live = self._current_live()
        published, answers, now = self._published, self._answers, instant(self._clock)
        if (
            answers is None
            or answers.published is not published
            or answers.live is not live
            or not answers.hold(now)
        ):
            answers = self._answers = _answers(published, live, now)
        form = (wanted, compressed, compressed and several, names)
        body = answers.made.get(form)
        if body is None:
            families = _families(answers, wanted, names)
            if compressed and several:
                body = stream(
                    chain.from_iterable(map(together if names else self._together, families))
                )
            else:
                body = b"".join(map(plain, families))
                body = whole(body) if compressed else body
            if not names:  # of which there are many
                answers.made[form] = body
        return body

    def _together(self, family: Pieces) -> Pieces:
        """A family with its small pieces joined, made anew only if they are not what they were."""
        known = self._families.get(family[0])
        if known is not None and known[0] == family:
            return known[1]
        pieces = together(family)
        self._families[family[0]] = (family, pieces)
        return pieces

    def _refresh(self) -> None:
        states = self._board.current()
        before = self._published
        self._answers = self._outdated = None
        shares = {
            name: before.shares[name]
            if before.states.get(name) is state
            else _share(state, before.shares.get(name))
            for name, state in sorted(states.items())
        }
        bunches = bunched([share.lines for share in shares.values()], before.bunches)
        expiries = [each for share in shares.values() for each in share.expiries]
        self._published = _Published(states, shares, bunches, expiries)
        self._counted = self._current_counted()

    def _current_counted(self) -> _Counted:
        """What was counted, rendered anew where it is not what it was."""
        before, changes = self._counted, self._telemetry.changes()
        if changes == before.changes:
            return before
        lines = {
            owner: before.lines[owner]
            if before.changes.get(owner) == number
            else self._counted_lines(owner)
            for owner, number in changes.items()
        }
        return _Counted(changes, lines, bunched(list(lines.values()), before.bunches))

    def _counted_lines(self, owner: Owner) -> Lines:
        samples = self._telemetry.samples(owner)
        return tuple(
            packed(encode(render_samples(samples.get(metric, ())))) for metric in catalog.TELEMETRY
        )

    def _current_live(self) -> _Live:
        live = self._live
        if self._clock.monotonic_seconds() - live.looked_at_monotonic >= LIVE_SECONDS:
            self._catch_up()
            return self._look()
        counted = self._counted = self._current_counted()
        if counted is live.counted:
            return live
        return replace(live, counted=counted, own=self._own_families())

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

    def _look(self) -> _Live:
        counted = self._counted = self._current_counted()
        process = list(self._process_families())
        return _Live(counted, self._own_families(), process, self._clock.monotonic_seconds())

    def _own_families(self) -> list[Family]:
        facts = self._facts
        return collector.exporter_families(facts.quotas(), facts.build, facts.reload())


def _share(state: ClusterState, before: _Share | None) -> _Share:
    """What is shown of a cluster; of what it was before, what is still so."""
    known = before.runs if before else {}
    runs: dict[tuple[str, ...], _Rendered] = {}
    rendered = 0

    def lines(part: Part) -> Pieces:
        nonlocal rendered
        if isinstance(part, Sample):
            return (encode(render_samples((part,))),)
        key = part.key
        run = known.get(key)
        if run is None or run.items != part.items:
            run = _rendered(part, run)
            rendered += len(run.lines)
            if rendered >= PIECES_AT_A_TIME:
                rendered = 0
                time.sleep(0)  # so that a scrape need not wait for a publication
        # Not the former items: equal ones that were made anew would be kept twice.
        runs[key] = _Rendered(part.items, run.lines)
        return run.lines

    families = [
        joined(chain.from_iterable(map(lines, parts))) for parts in collector.cluster_parts(state)
    ]
    if before:  # The same for equal lines, which are in those of all clusters, too.
        families = [
            was if was == made else made for was, made in zip(before.lines, families, strict=True)
        ]
    return _Share(state, tuple(families), collector.expiries(state), runs)


def _rendered(part: Run | Histogram, before: _Rendered | None) -> _Rendered:
    """What is not what it was; of the pieces of a run, those are taken that are."""
    if isinstance(part, Histogram):
        return _Rendered(part.items, (packed(encode(render_histogram(part))),))
    known = zip(pieces(before.items), before.lines, strict=False) if before else ()
    lines = (
        was if piece == were else packed(encode(render_run(part._replace(items=piece))))
        for piece, (were, was) in zip(
            pieces(part.items), chain(known, repeat((None, b""))), strict=False
        )
    )
    return _Rendered(part.items, tuple(lines))


def _answers(published: _Published, live: _Live, now: Instant) -> _Answers:
    left = [
        each for each in published.expiries if now.at <= each.at and now.seconds <= each.seconds
    ]
    expires = Instant(
        min((each.at for each in left), default=math.inf),
        min((each.seconds for each in left), default=math.inf),
    )
    return _Answers(published, live, now, expires)


def _families(
    answers: _Answers, wanted: Format, names: frozenset[str] = frozenset()
) -> Iterator[Pieces]:
    """The text: of each family, or of each that is named, what stands above it, then its lines of
    each owner."""
    live, published = answers.live, answers.published
    shown = [share.shown(answers.composed) for share in published.shares.values()]
    of_clusters = bunched(shown, published.bunches)
    yield from _by_family(_CLUSTER_FAMILIES, of_clusters, wanted, names)
    yield from _by_family(_TELEMETRY_FAMILIES, live.counted.bunches, wanted, names)
    end = OPENMETRICS_END if wanted is Format.OPENMETRICS else ""
    others = [family for family in (*live.own, *live.process) if _is_named(family, names)]
    yield b"", encode(render(others, wanted) + end)


def _by_family(
    families: Sequence[Family], bunches: Sequence[Bunch], wanted: Format, names: frozenset[str]
) -> Iterator[Pieces]:
    headers = _HEADERS[wanted]
    of_each = zip(*(bunch.lines for bunch in bunches), strict=True) if bunches else repeat(())
    for family, of_owners in zip(families, of_each, strict=False):
        if _is_named(family, names):
            yield (headers[family.name], *chain.from_iterable(of_owners))


def _is_named(family: Family, names: frozenset[str]) -> bool:
    """Whether a family is asked for; without names all are."""
    endings = _ENDINGS.get(family.type, ("",))
    return not names or any(f"{family.name}{ending}" in names for ending in endings)


_ENDINGS = {"counter": ("", "_total"), "histogram": ("", "_bucket", "_sum", "_count")}
"""What the names of samples have behind that of their family."""


_CLUSTER_FAMILIES = tuple(collector.new_family(metric) for metric in collector.CLUSTER_METRICS)
_TELEMETRY_FAMILIES = tuple(collector.new_family(metric) for metric in catalog.TELEMETRY)
_HEADERS = {
    wanted: {
        family.name: encode(render_header(family, wanted))
        for family in (*_CLUSTER_FAMILIES, *_TELEMETRY_FAMILIES)
    }
    for wanted in Format
}
"""What stands above their lines."""
