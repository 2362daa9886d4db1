"""The findings of a doctor, as text for people."""

import io
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from exporter.api.shape import Shape
from exporter.config import format_duration
from exporter.daemon.differences import Difference, differences
from exporter.daemon.findings import (
    CapacityFindings,
    ClusterFindings,
    Findings,
    cost_of,
    cost_of_all,
)
from exporter.logs import one_line
from exporter.model import ListedCluster
from exporter.profile import NONE, UNKNOWN
from exporter.snapshot import QueueCapacity
from exporter.texts import Words

MOST_QUEUES = 20
"""Of a cluster, in its table."""
CLOCK_STEP_SECONDS = 1.5
"""A ``Date`` has whole seconds."""
_WIDTH_OF_A_FILE = 100
_PLAIN: dict[str, Any] = {"markup": False, "highlight": False}
_HOUR_MINUTES = 60
_GOOD = {"accepted": "green", "refused": "bold red", "unknown": "yellow"}


def write_page(found: Findings, words: Words, stream: TextIO) -> None:
    """Print all of it but what failed."""
    if not stream.isatty():
        # In its encoding: where that has no lines, tables are drawn without.
        encoding = stream.encoding or "utf-8"
        whole = io.TextIOWrapper(io.BytesIO(), encoding, errors="replace", write_through=True)
        _print(found, words, Console(file=whole, width=_WIDTH_OF_A_FILE, **_PLAIN))
        whole.seek(0)
        stream.writelines(f"{line.rstrip()}\n" for line in whole)
        return
    _print(found, words, Console(file=stream, **_PLAIN))


def _print(found: Findings, words: Words, console: Console) -> None:
    page = _Page(found, words, console)
    page.account()
    for cluster in found.clusters:
        page.cluster(cluster)
    page.shapes()
    page.cost()
    page.differences()


def failure_lines(found: Findings, words: Words) -> list[str]:
    """Each failure, with its cause and what to do about it."""
    lines = []
    for failure in found.failures:
        whom = one_line(words.joined(failure.clusters) or words("account", name=found.account.name))
        message = one_line(failure.message)
        lines.append(words("failed", whom=whom, reason=failure.reason, message=message))
        advice = words.advice(failure.advice) or words("try_again")
        lines.append("    " + words("do", text=one_line(advice)))
    return lines


class _Page:
    def __init__(self, found: Findings, words: Words, console: Console) -> None:
        self._found = found
        self._words = words
        self._console = console

    # -- the account -------------------------------------------------------------------------------

    def account(self) -> None:
        found, say = self._found, self._words
        name, endpoint = one_line(found.account.name), one_line(found.account.endpoint)
        self._head(say("title", account=name, endpoint=endpoint, calls=found.calls))
        table = _plain_table()
        table.add_row(say("row.keys"), Text(say(f"keys.{found.keys}"), style=_GOOD[found.keys]))
        table.add_row(say("row.clock"), self._clock())
        table.add_row(say("row.clusters"), Text(self._clusters()))
        for timing in found.timings:
            told = say(
                "timing",
                path=timing.path,
                calls=timing.calls,
                median=f"{timing.median_seconds:.2f}",
                most=f"{timing.most_seconds:.2f}",
                size=-(-timing.most_bytes // 1000),
            )
            table.add_row(say("row.answers"), Text(told))
        headers = [f"{name}: {value}" for name, value in found.quota_headers]
        table.add_row(say("row.quota"), Text(say.joined(headers) or say("quota.none")))
        self._show(table)

    def _clock(self) -> Text:
        off, say = self._found.clock_off_seconds, self._words
        if off is None:
            return Text(say("clock.unknown"))
        if abs(off) <= CLOCK_STEP_SECONDS:
            return Text(say("clock.right"), style="green")
        direction = "ahead" if off > 0 else "behind"
        return Text(say(f"clock.{direction}", seconds=round(abs(off))), style="yellow")

    def _clusters(self) -> str:
        found, say = self._found, self._words
        if found.listed is None:
            reason = found.list_failure.reason if found.list_failure else ""
            return say("clusters.none", reason=reason)
        names = ", ".join(map(_listed, found.listed))  # lines break at blanks: not within a name
        return say("clusters.listed", number=len(found.listed), names=names)

    # -- a cluster ---------------------------------------------------------------------------------

    def cluster(self, found: ClusterFindings) -> None:
        say = self._words
        self._head(say("head.cluster", name=one_line(found.config.name), calls=found.calls))
        if not found.calls:
            self._line(say("not_asked"))
            return
        if found.failure is not None:
            self._show(Text(say("could_not", reason=found.failure.reason), style="bold red"))
        if found.total is not None:
            self._line(self._jobs(found))
        if found.one_page:
            self._line(say("one_page"))
        elif found.asked:
            plain, filtered = found.longest_page(filtered=False), found.longest_page(filtered=True)
            filters = found.traits["status_filter"] not in (NONE, UNKNOWN)
            words = "pages.filtered" if filters and filtered else "pages"
            self._line(say(words, plain=plain, filtered=filtered))
        if found.shape is not None and found.shape.statuses:
            self._line(say("statuses", names=say.joined(sorted(found.shape.statuses))))
        if found.asked:
            self._show(self._traits(found))
        if found.capacity is not None:
            self._capacity(found.capacity)
        elif self._found.collection.capacity_interval_seconds is None:
            self._line(say("capacity.off"))

    def _capacity(self, found: CapacityFindings) -> None:
        """Which calls answer, and what they tell of the queues."""
        say = self._words
        nodes = sum(found.capacity.nodes.values()) if found.capacity else 0
        counts = {"queues": len(found.queues), "nodes": nodes}
        told = []
        for call, answer in found.answers.items():
            outcome = say(f"capacity.{answer.outcome}", reason=answer.reason)
            if answer.outcome == "answered" and call in counts:
                outcome = say("capacity.counted", number=counts[call])
            elif answer.outcome == "answered" and call == "status" and found.capacity:
                outcome = one_line(found.capacity.status) or outcome
            told.append(say(f"capacity.call.{call}", came=outcome))
        self._line(say("capacity", answers=say.together(told)))
        if found.queues:
            self._show(self._queues(found.queues))

    def _queues(self, queues: Sequence[QueueCapacity]) -> Table:
        say = self._words
        table = Table()
        table.add_column(say("column.queue"), overflow="fold")
        headings = ["cores", "cores_free"]
        if any(queue.gpus.total for queue in queues):
            headings += ["gpus", "gpus_free"]
        for heading in headings:
            table.add_column(say(f"column.{heading}"), justify="right")
        for queue in queues[:MOST_QUEUES]:
            amounts = [*queue.cores, *queue.gpus][: len(headings)]
            shown = ["–" if each is None else f"{each:,.0f}" for each in amounts]
            table.add_row(Text(one_line(queue.names[0])), *shown)
        if len(queues) > MOST_QUEUES:
            table.add_row(say("queues.more", number=len(queues) - MOST_QUEUES))
        return table

    def _jobs(self, found: ClusterFindings) -> str:
        say = self._words
        counts = {**found.active, "total": found.total}
        shown = {
            name: say("jobs.unknown") if count is None else f"{count:,}"
            for name, count in counts.items()
        }
        return say("jobs", **shown)

    def _traits(self, found: ClusterFindings) -> Table:
        say = self._words
        table = Table()
        for heading in ("trait", "found", "evidence"):
            table.add_column(say(f"column.{heading}"), overflow="fold")
        for name, value in found.traits.items():
            written = getattr(found.profile, name).evidence
            evidence = say.evidence(written) or one_line(written)
            style = "dim" if value == "unknown" else ""
            shown = Text(say.value(name, value), style=style)
            table.add_row(say(f"trait.{name}"), shown, Text(evidence))
        return table

    # -- all clusters ------------------------------------------------------------------------------

    def shapes(self) -> None:
        """The fields of records; what is the same for several clusters once."""
        say = self._words
        alike: list[tuple[Shape, list[str]]] = []
        for found in self._found.clusters:
            if found.shape is None:
                continue
            names = next((n for shape, n in alike if shape.record == found.shape.record), None)
            if names is None:
                alike.append((found.shape, [one_line(found.config.name)]))
            else:
                names.append(one_line(found.config.name))
        for shape, names in alike:
            fields = len(shape.record)
            self._head(say("head.shape", names=say.joined(names), number=fields))
            self._show(self._fields(shape))

    def _fields(self, shape: Shape) -> Table:
        say = self._words
        by_types: dict[str, list[str]] = {}
        for name, types in sorted(shape.record.items()):
            shown = say.joined(say(f"type.{each}") for each in sorted(types))
            by_types.setdefault(shown, []).append(name)
        table = Table()
        table.add_column(say("column.types"), overflow="fold")
        table.add_column(say("column.fields"), overflow="fold")
        for shown, names in by_types.items():
            table.add_row(shown, Text(", ".join(names)))  # as above
        return table

    def cost(self) -> None:
        found, say = self._found, self._words
        known = [each for each in found.clusters if each.finished]
        if not known:
            return
        self._head(say("head.cost"))
        table = Table()
        table.add_column(say("column.cluster"), overflow="fold")
        table.add_column(say("column.interval"), justify="right")
        table.add_column(say("column.strategy"))
        for heading in ("sync", "hour", "history"):
            table.add_column(say(f"column.{heading}"), justify="right")
        for each in known:
            cost = cost_of(each, found.collection)
            history = say("not_known") if cost.history_calls is None else f"{cost.history_calls:,}"
            table.add_row(
                Text(one_line(each.config.name)),
                format_duration(each.config.interval_seconds),
                say(f"strategy.{cost.strategy}"),
                self._number(cost.calls_a_sync, at_least=cost.at_least),
                self._number(round(cost.calls_an_hour), at_least=cost.at_least),
                history,
            )
        self._show(table)
        self._line(self._cost_of_all())

    def _number(self, number: int, *, at_least: bool) -> str:
        return self._words("at_least", number=f"{number:,}") if at_least else f"{number:,}"

    def _cost_of_all(self) -> str:
        say, cost = self._words, cost_of_all(self._found)
        calls, allowed = f"{cost.calls_an_hour:,.0f}", f"{cost.allowed_an_hour:,.0f}"
        if cost.history_hours is None:
            return say("cost.unknown", calls=calls, allowed=allowed)
        minutes = cost.history_hours * _HOUR_MINUTES
        unit, number = ("minutes", max(1, round(minutes))) if minutes < 90 else ("hours", 0)
        hours = say(unit, number=number or f"{cost.history_hours:,.1f}")
        return say("cost", calls=calls, allowed=allowed, hours=hours)

    def differences(self) -> None:
        """What differs, and what to do about it."""
        say = self._words
        told = differences(self._found)
        if not told and self._found.failures:
            return
        self._head(say("head.differs"))
        if not told:
            self._line(say("differs.nothing"))
        for each in told:
            what = self._whom(each) + say(f"differs.{each.key}", **each.parts)
            self._show(Text(f"- {what}"))
            what_to_do = say("do", text=say(f"do.{each.key}"))
            self._show(Text(what_to_do, style="dim"), indent=4)

    def _whom(self, difference: Difference) -> str:
        """Which clusters it concerns, if not all that there are."""
        names = list(map(one_line, difference.clusters))
        if not names or len(names) == len(self._found.clusters):
            return ""
        return self._words("of", names=self._words.joined(names))

    # -- lines -------------------------------------------------------------------------------------

    def _head(self, text: str) -> None:
        self._console.print(Text(f"\n{text}", style="bold"))

    def _line(self, text: str) -> None:
        self._show(Text(text))

    def _show(self, shown: RenderableType, indent: int = 2) -> None:
        self._console.print(Padding(shown, (0, 0, 0, indent), expand=False))


def _listed(cluster: ListedCluster) -> str:
    status = f" ({cluster.status})" if cluster.status else ""
    return one_line(f"{cluster.cluster_id}{status}")


def _plain_table() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    return table
