"""The landing page: is all well, and if not, what is to be done.

One HTML text without a script, a font or anything else to fetch but its icon. Whatever comes from a
configuration, a cloud or an error is escaped, and the policy would not let it do anything anyway.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from exporter.clock import Clock, Instant, instant
from exporter.collector import AccountQuota, ReloadStatus
from exporter.snapshot import ClusterSnapshot, ClusterState, SnapshotBoard, SyncFailure
from exporter.web.look import BASE_STYLE, head, policy
from exporter.web.manual import INDEX, RUNBOOKS
from exporter.web.page_texts import Texts, duration, texts_for
from exporter.web.summary import ClusterSummary, Cores, Counts, Health, count, summarize
from exporter.web.trait_texts import TraitText, trait_text

REFRESH_SECONDS = 15

_SIGNS = {
    Health.DOWN: "✖",
    Health.FAILING: "▲",
    Health.STARTING: "…",
    Health.PARTIAL: "✔",
    Health.FILLING: "✔",
    Health.WELL: "✔",
}
"""Shapes that differ without colour."""

_STYLE = (
    BASE_STYLE
    + """
h2{font-size:1rem;margin:1.5rem 0 .5rem}
.banner{margin:1rem 0;padding:.8rem 1rem;border:1px solid;border-left-width:.4rem;
border-radius:.4rem;background:var(--card);font-size:1.25rem;font-weight:600}
.banner a{font-size:1rem;font-weight:400}
.well,.filling,.partial{color:var(--good)}.down{color:var(--bad)}.failing{color:var(--warn)}
.starting{color:var(--soft)}
table{width:100%}tbody th{min-width:8rem}tbody+tbody{border-top:1px solid var(--line)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.big{font-weight:600}
td.big{min-width:7.5rem}thead th{overflow-wrap:normal}thead .n,.strategy{white-space:normal}
.strategy .small{white-space:nowrap}
.trouble{border-left:.2rem solid;padding-left:.6rem;white-space:pre-line}
meter,progress{width:100%;max-width:18rem;height:1rem}
footer{margin-top:1.5rem}
@media(max-width:63rem){thead{position:absolute;left:-200vw}table,tbody,tr,td,tbody th{display:block}
tbody{padding:.4rem 0}td,tbody th{padding:.2rem .7rem}
td.n{display:flex;justify-content:space-between;white-space:normal}
td[data-label]::before{content:attr(data-label);color:var(--soft);margin-right:1rem}
nav{margin-left:0}}
"""
)

_POLICY = policy(_STYLE)


@dataclass(frozen=True, slots=True)
class PageParts:
    """What the page tells of."""

    board: SnapshotBoard
    clock: Clock
    version: str
    telemetry_path: str
    quotas: Callable[[], Sequence[AccountQuota]]
    reload: Callable[[], ReloadStatus]


class LandingPage:
    """Makes the page of what is on the board at the moment. For one thread, that of the web."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts
        self._counted: dict[str, tuple[ClusterSnapshot, Counts]] = {}

    def __call__(self, accept_language: str) -> tuple[str, str]:
        """The HTML in the reader's language, and its ``Content-Security-Policy``."""
        parts = self._parts
        now = instant(parts.clock)
        texts = texts_for(accept_language)
        summaries = summarize(parts.board.current(), self._count, now)
        body = [
            _header(parts, texts),
            "<main>",
            _banner(summaries, texts),
            "" if parts.reload().successful else _reload_failed(texts),
            _clusters(summaries, now, texts) if summaries else "",
            _undocumented(summaries, texts),
            _accounts(parts.quotas(), texts),
            "</main>",
            f'<footer class="small soft">{_say(texts.refreshes, seconds=REFRESH_SECONDS)}</footer>',
        ]
        return _document(texts, "".join(body)), _POLICY

    def _count(self, state: ClusterState, snapshot: ClusterSnapshot) -> Counts:
        """Add up each snapshot once, however often it is looked at."""
        name = state.identity.name
        known = self._counted.get(name)
        if known is None or known[0] is not snapshot:
            known = self._counted[name] = (snapshot, count(snapshot))
        return known[1]


def _header(parts: PageParts, texts: Texts) -> str:
    links = [
        (f".{parts.telemetry_path}", texts.metrics),
        ("./-/healthy", texts.health),
        ("./-/ready", texts.ready),
        (INDEX, texts.docs),
    ]
    anchors = "".join(f'<a href="{escape(to)}">{escape(word)}</a>' for to, word in links)
    name = f'ehpc-exporter <span class="soft">{escape(parts.version)}</span>'
    return f"<header><h1>{name}</h1><nav>{anchors}</nav></header>"


def _document(texts: Texts, body: str) -> str:
    return (
        f'<!doctype html><html lang="{texts.lang}"><head>{head("./")}<title>ehpc-exporter</title>'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _banner(summaries: Sequence[ClusterSummary], texts: Texts) -> str:
    bad = sum(summary.needs_attention for summary in summaries)
    waiting = sum(summary.health is Health.STARTING for summary in summaries)
    everything = len(summaries)
    if not summaries:
        health, words = Health.STARTING, escape(texts.no_clusters)
    elif bad:
        worst = summaries[0].health
        health = worst if worst.needs_attention else Health.FAILING
        words = _say(texts.attention, bad=bad, all=everything)
    elif waiting:
        health = Health.STARTING
        words = _say(texts.starting, waiting=waiting, all=everything)
    else:
        health, words = Health.WELL, escape(texts.all_well)
    return f'<p class="banner {health.value}" role="status">{_sign(health)} {words}</p>'


def _reload_failed(texts: Texts) -> str:
    link = _runbook("ehpcconfigreloadfailed", texts)
    return f'<p class="banner failing">{_sign(Health.FAILING)} {escape(texts.reload_failed)} {link}</p>'


def _clusters(summaries: Sequence[ClusterSummary], now: Instant, texts: Texts) -> str:
    heads = "".join(
        f'<th scope="col" class="{kind}">{escape(word)}</th>'
        for kind, word in (
            ("", texts.cluster), ("", texts.status), ("n", texts.pending), ("n", texts.running),
            ("n", texts.cores_waiting), ("n", texts.oldest_wait), ("n", texts.age),
            ("n", texts.strategy), ("n", texts.history),
        )
    )  # fmt: skip
    bodies = "".join(_cluster(summary, now, texts) for summary in summaries)
    return f"<table><thead><tr>{heads}</tr></thead>{bodies}</table>"


def _cluster(summary: ClusterSummary, now: Instant, texts: Texts) -> str:
    state, health, counts = summary.state, summary.health, summary.counts
    who = state.identity
    pending = running = cores = oldest = "–"
    if counts is not None:
        pending, running = f"{counts.pending:,}", f"{counts.running:,}"
        cores, oldest = f"{counts.cores_waiting:,}", texts.none_waiting
        if counts.oldest_pending_at is not None:
            oldest = duration(now.at - counts.oldest_pending_at, texts)
    age_seconds = state.age_seconds(now)
    age = "–" if age_seconds is None else duration(age_seconds, texts)
    cells = [
        (texts.pending, f'<span class="big">{escape(pending)}</span>'),
        (texts.running, escape(running)),
        (texts.cores_waiting, escape(cores) + _room(summary.cores, texts)),
        (texts.oldest_wait, escape(oldest)),
        (texts.age, escape(age)),
        (texts.strategy, _strategy(state, texts)),
        (texts.history, _history(state, texts)),
    ]
    name = f'{escape(who.name)}<br><span class="small soft">{escape(who.zone)}</span>'
    if summary.status:
        name += f' <span class="small failing" lang="en">{escape(summary.status)}</span>'
    words = f"{_sign(health)} {escape(texts.state[health.value])}"
    return (
        f'<tbody><tr><th scope="row">{name}</th><td class="{health.value} big">{words}</td>'
        + "".join(
            f'<td class="n" data-label="{escape(label)}"><div>{cell}</div></td>'
            for label, cell in cells
        )
        + f"</tr>{_trouble(state, health, now.at, texts)}</tbody>"
    )


def _room(cores: Cores | None, texts: Texts) -> str:
    """What there is to run what waits, a line of its own."""
    if cores is None:
        return ""
    total = f"{cores.total:,}"
    if cores.free is None:
        words = _say(texts.cores_in_all, cores=total)
    else:
        words = _say(texts.cores_free, cores=total, free=f"{cores.free:,}")
    return f'<br><span class="small soft">{words}</span>'


def _strategy(state: ClusterState, texts: Texts) -> str:
    if state.strategy is None:
        return "–"
    words = escape(texts.strategies.get(state.strategy, ""))
    interval = duration(state.effective_interval_seconds, texts)
    every = _say(texts.every, interval=interval)
    return (
        f'<span class="strategy"><span title="{words}">{escape(state.strategy)}</span>'
        f' <span class="small soft">{every}</span></span>'
    )


def _history(state: ClusterState, texts: Texts) -> str:
    snapshot = state.snapshot
    if snapshot is None:
        return "–"
    if snapshot.history_complete:
        return escape(texts.history_complete)
    known = f"{snapshot.history_known:,}"
    if not snapshot.history_expected:
        return escape(known)
    share = min(1.0, snapshot.history_known / snapshot.history_expected)
    words = _say(texts.history_of, known=known, expected=f"{snapshot.history_expected:,}")
    return f'<progress value="{share:.3f}">{words}</progress><br><span class="small">{words}</span>'


def _trouble(state: ClusterState, health: Health, now_at: float, texts: Texts) -> str:
    troubles = []
    if state.failure is not None:
        ago = _say(texts.failed_ago, ago=duration(now_at - state.failure.at, texts))
        troubles.append((health.value, _failure(ago, state.failure, texts)))
    if state.ledger_on_disk is False:
        link = _runbook("ehpcledgerinmemory", texts)
        troubles.append(("failing", f"{escape(texts.ledger_in_memory)} {link}"))
    if state.zone_contradicted:
        text = trait_text("zone", state.profile.zone.value)
        words = escape(f"{text.what} {text.means} ({state.profile.zone.evidence})")
        troubles.append(("failing", f'<span lang="en">{words}</span>'))
    if state.history_obstacle is not None:
        stuck = escape(texts.history_stuck)
        troubles.append(("starting", _failure(stuck, state.history_obstacle, texts)))
    return "".join(
        f'<tr><td colspan="9"><div class="trouble {kind}">{words}</div></td></tr>'
        for kind, words in troubles
    )


def _failure(begin: str, failure: SyncFailure, texts: Texts) -> str:
    advice = ""
    if failure.advice:
        advice = (
            f"<br><strong>{escape(texts.next_step)}</strong>"
            f' <span lang="en">{escape(failure.advice)}</span>'
        )
    said = f'<span lang="en">{escape(failure.reason)}: {escape(failure.message)}</span>'
    known = re.fullmatch(r"[a-z0-9_]+", failure.reason)
    more = _runbook(f"term-{failure.reason}" if known else "reasons-of-failures", texts)
    return f"{begin} {said}{advice} {more}"


def _undocumented(summaries: Sequence[ClusterSummary], texts: Texts) -> str:
    """What servers do otherwise than documented; what several do, once."""
    found: dict[TraitText, dict[str, list[str]]] = {}
    for summary in summaries:
        state = summary.state
        for name, trait in state.profile.undocumented().items():
            if name == "zone" and state.zone_contradicted:
                continue  # that is the configuration's fault, and told of as such
            by_evidence = found.setdefault(trait_text(name, trait.value), {})
            by_evidence.setdefault(trait.evidence, []).append(state.identity.name)
    if not found:
        return ""
    labels = (texts.difference, texts.meaning, texts.evidence)
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    rows = []
    for text, by_evidence in found.items():
        told = "<br>".join(
            f'{escape(", ".join(names))}: <span class="soft">{escape(evidence)}</span>'
            for evidence, names in by_evidence.items()
        )
        cells = zip(labels, (escape(text.what), escape(text.means), told), strict=True)
        tds = (f'<td lang="en" data-label="{escape(label)}">{cell}</td>' for label, cell in cells)
        rows.append(f"<tbody><tr>{''.join(tds)}</tr></tbody>")
    return (
        f"<h2>{escape(texts.undocumented)}</h2>"
        f'<table class="small"><thead><tr>{heads}</tr></thead>{"".join(rows)}</table>'
    )


def _runbook(section: str, texts: Texts) -> str:
    return f'<a href="{RUNBOOKS}#{section}" hreflang="en">{escape(texts.runbook)}</a>'


def _accounts(quotas: Sequence[AccountQuota], texts: Texts) -> str:
    if not quotas:
        return ""
    rows = []
    for quota in quotas:
        share = min(1.0, quota.used / quota.allowed) if quota.allowed > 0 else 1.0
        words = _say(
            texts.quota_of,
            used=f"{quota.used:,.0f}", allowed=f"{quota.allowed:,.0f}", percent=round(100 * share),
        )  # fmt: skip
        meter = f'<meter value="{share:.3f}" low="0.8" high="0.95" optimum="0">{words}</meter>'
        trouble = ""
        if quota.on_disk is False:
            link = _runbook("ehpcbudgetinmemory", texts)
            trouble = f'<div class="trouble failing">{escape(texts.budget_in_memory)} {link}</div>'
        rows.append(
            f'<tbody><tr><th scope="row">{escape(quota.account)}</th>'
            f"<td>{meter}<br>{words}{trouble}</td></tr></tbody>"
        )
    heads = "".join(f'<th scope="col">{escape(w)}</th>' for w in (texts.account, texts.quota))
    return (
        f"<h2>{escape(texts.accounts)}</h2>"
        f"<table><thead><tr>{heads}</tr></thead>{''.join(rows)}</table>"
    )


def _sign(health: Health) -> str:
    return f'<span aria-hidden="true">{_SIGNS[health]}</span>'


def _say(text: str, **values: object) -> str:
    """A text with its blanks filled in, escaped."""
    return escape(text.format(**values))
