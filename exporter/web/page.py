"""The landing page: is everything all right, and if not, what should be done.

One HTML text without a script, a font or anything else to fetch but its icon. Whatever comes from a
configuration, a cloud or an error is escaped, and the policy would not let it do anything anyway.
``templates/page.html`` says how it is put together.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from exporter.clock import Clock, Instant, instant
from exporter.collector import AccountQuota, ReloadStatus
from exporter.snapshot import ClusterSnapshot, ClusterState, SnapshotBoard
from exporter.texts import Words
from exporter.texts.servers import difference
from exporter.web.look import Look
from exporter.web.manual import INDEX
from exporter.web.negotiation import preferred_language
from exporter.web.summary import (
    ClusterSummary,
    Counts,
    FoundZone,
    Health,
    Standing,
    Totals,
    count,
    summarize,
    totals,
)

REFRESH_SECONDS = 15

MOST_NAMES = 5
"""Clusters that are named where the same is to be said of all of them."""

_SIGNS = {
    Health.DOWN: "✖",
    Health.FAILING: "▲",
    Health.STARTING: "…",
    Health.PARTIAL: "✔",
    Health.FILLING: "✔",
    Health.WELL: "✔",
}
"""Shapes that differ without colour."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which clusters a reader wants to see, as the page's address tells."""

    cluster: str = ""
    """A part of a name, an id, a zone or an account."""
    failing: bool = False
    """Only those that need attention."""
    found: bool = False
    """Every name that discovery has left out."""
    typing: bool = False
    """A name is being typed, which a refresh would lose."""

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> "Wanted":
        """What ``?cluster=NAME&show=failing`` asks for, or ``?show=found``; ``&filter`` for the field in
        which a name is typed."""
        show = query.get("show", "")
        return cls(
            query.get("cluster", ""), show == "failing", show == "found", typing="filter" in query
        )

    def has(self, summary: ClusterSummary) -> bool:
        """Whether this cluster is to be shown."""
        who, part = summary.state.identity, self.cluster.strip().casefold()
        names = (who.name, who.cluster_id, who.zone, who.account)
        found = any(part in name.casefold() for name in names)
        return found and (summary.needs_attention or not self.failing)

    @property
    def all_link(self) -> str:
        """The address of the page with those that are well, too."""
        return self._link({})

    @property
    def failing_link(self) -> str:
        """The address of the page with those only that need attention."""
        return self._link({"show": "failing"})

    @property
    def filter_link(self) -> str:
        """The address of the same page with a field to type a name into."""
        return self._link(({"show": "failing"} if self.failing else {}) | {"filter": ""})

    @property
    def found_link(self) -> str:
        """The address of the page with all that discovery has left out."""
        return self._link({"show": "found"}) + "#found"

    def _link(self, more: dict[str, str]) -> str:
        query = urlencode(
            ({"cluster": self.cluster} if self.cluster else {}) | more, errors="replace"
        )
        return f"./?{query}" if query else "./"


@dataclass(frozen=True, slots=True)
class Grafana:
    """Where our dashboards are."""

    url: str
    """Without a slash at its end."""

    def overview(self) -> str:
        """The address of the dashboard of all clusters."""
        return f"{self.url}/d/ehpc-overview"

    def cluster(self, name: str) -> str:
        """The address of the one of a cluster, by ``cluster_name``."""
        return f"{self.url}/d/ehpc-cluster?var-cluster={quote(name, safe='', errors='replace')}"


@dataclass(frozen=True, slots=True)
class PageParts:
    """What the page tells of."""

    board: SnapshotBoard
    clock: Clock
    version: str
    telemetry_path: str
    quotas: Callable[[], Sequence[AccountQuota]]
    reload: Callable[[], ReloadStatus]
    grafana: Callable[[], str] = str
    """The address of the Grafana that has our dashboards; empty if there is none."""
    discovered: Callable[[], Sequence[FoundZone]] = tuple
    """By zone, what discovery has found; empty where nothing is looked for."""


@dataclass(slots=True)
class Differing:
    """One thing that servers do otherwise than documented, and which do."""

    what: str
    do: str
    evidence: dict[str, list[str]] = field(default_factory=dict)
    """The names of clusters, by what shows it."""


class LandingPage:
    """Makes the page of what is on the board at the moment. Any thread may ask."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._look = Look("page", **_FILTERS)
        self._counted: dict[str, tuple[ClusterSnapshot, Counts]] = {}

    def __call__(self, accept_language: str, query: Mapping[str, str]) -> tuple[str, str]:
        """The HTML in the reader's language, and its ``Content-Security-Policy``."""
        parts = self._parts
        now = instant(parts.clock)
        say = Words(preferred_language(accept_language))
        states = parts.board.current()
        summaries = summarize(states, self._count, now)
        self._counted = {name: each for name, each in self._counted.items() if name in states}
        wanted = Wanted.of_query(query)
        shown = [summary for summary in summaries if wanted.has(summary)]
        address = parts.grafana()
        html = self._look(
            lang=say("page.lang"), home="./", say=say, now=now, refresh_seconds=REFRESH_SECONDS,
            version=parts.version, telemetry_path=parts.telemetry_path, docs=INDEX,
            grafana=Grafana(address) if address else None,
            standing=Standing.of(summaries), wanted=wanted, shown=shown, total=totals(shown),
            failing=Health.FAILING, reloaded=parts.reload().successful, quotas=parts.quotas(),
            differing=_differing(shown, say), zones=parts.discovered(),
            most_names=MOST_NAMES,
        )  # fmt: skip
        return html, self._look.policy

    def _count(self, state: ClusterState, snapshot: ClusterSnapshot) -> Counts:
        """Add up each snapshot once, however often it is looked at."""
        name = state.identity.name
        known = self._counted.get(name)
        if known is None or known[0] is not snapshot:
            known = self._counted[name] = (snapshot, count(snapshot))
        return known[1]


def _differing(shown: Sequence[ClusterSummary], say: Words) -> list[Differing]:
    """What servers do otherwise than documented; what several do, once."""
    found: dict[str, Differing] = {}
    for summary in shown:
        state = summary.state
        for name, trait in state.profile.undocumented().items():
            if name == "zone" and state.zone_contradicted:
                continue  # that is the configuration's fault, and told of as such
            unknown = ("trait_unknown", {"trait": say(f"trait.{name}")})
            key, parts = difference(name, trait.value) or unknown
            what, do = say(f"differs.{key}", **parts), say(f"do.{key}")
            one = found.setdefault(what, Differing(what, do))
            names = one.evidence.setdefault(_evidence(trait.evidence, say), [])
            names.append(state.identity.name)
    return list(found.values())


def _evidence(evidence: str, say: Words) -> str:
    """In the reader's language, or as it was found."""
    return (say.evidence(evidence) if say.language == "zh" else None) or evidence


def _some(names: Sequence[str], say: Words) -> str:
    told = say.joined(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return say("page.and_more", names=told, number=more) if more > 0 else told


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0 else 1.0


def _wait(counts: Counts | Totals, say: Words, now: Instant) -> str:
    """How long the first has waited. That is not known while the zone of times is not."""
    if counts.oldest_pending_at is not None:
        return say.duration(now.at - counts.oldest_pending_at)
    return "–" if counts.pending else say("page.none_waiting")


def _age(state: ClusterState, say: Words, now: Instant) -> str:
    age_seconds = state.age_seconds(now)
    return "–" if age_seconds is None else say.duration(age_seconds)


def _strategy(strategy: str, say: Words) -> str:
    known = ("delta", "sweep", "scan")
    return say(f"page.strategies.{strategy}") if strategy in known else ""


def _section(reason: str, say: Words) -> str:
    """Where the manual has a failure's reason."""
    return f"term-{reason}" if re.fullmatch(r"[a-z0-9_]+", reason) else say("page.reasons")


_FILTERS: Mapping[str, Callable[..., str]] = {
    "age": _age,
    "evidence": _evidence,
    "number": _number,
    "percent": lambda part, whole: str(round(100 * _ratio(part, whole))),
    "section": _section,
    "share": lambda part, whole: f"{_ratio(part, whole):.3f}",
    "sign": _SIGNS.__getitem__,
    "some": _some,
    "strategy": _strategy,
    "wait": _wait,
}
"""What the template calls so."""
