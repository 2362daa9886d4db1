"""Metric families -> the text that scrapers read. Pure.

The same text as prometheus-client's, which the tests hold it against, at a fraction of the time:
one line of samples is the same in the text format and in OpenMetrics, so that it is written once
for both; only the lines above a family's samples differ.
"""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from exporter.collector import format_value
from exporter.web.negotiation import Format

LINES_AT_A_TIME = 100
"""Lines rendered before others are let in; some tenths of a millisecond."""

OPENMETRICS_END = "# EOF\n"


def render_header(family: Family, wanted: Format) -> str:
    """The lines above the family's samples. Raises ValueError for a type that we do not have."""
    if family.type not in {"counter", "gauge", "histogram"}:
        raise ValueError(f"{family.name}: no exposition for the type {family.type}")
    name, text = family.name, family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    if wanted is Format.OPENMETRICS:
        text = text.replace('"', r"\"")
        unit = f"# UNIT {name} {family.unit}\n" if family.unit else ""
    else:
        unit = ""
        if family.type == "counter":
            name += "_total"
    return f"# HELP {name} {text}\n# TYPE {name} {family.type}\n{unit}"


def render_samples(
    samples: Iterable[Sample], let_others_in: Callable[[], None] = lambda: None
) -> str:
    """One line for each sample; ``let_others_in`` is called every few hundred lines."""
    lines: list[str] = []
    known: dict[str, str] = {}
    for number, sample in enumerate(samples, 1):
        pairs = []
        for name, value in sorted(sample.labels.items()):
            escaped = known.get(value)
            if escaped is None:
                escaped = known[value] = _escape(value)
            pairs.append(f'{name}="{escaped}"')
        labels = f"{{{','.join(pairs)}}}" if pairs else ""
        lines.append(f"{sample.name}{labels} {format_value(float(sample.value))}\n")
        if number % LINES_AT_A_TIME == 0:
            let_others_in()
    return "".join(lines)


def render(families: Iterable[Family], wanted: Format) -> str:
    """Whole families; the end mark of OpenMetrics is the caller's."""
    return "".join(render_header(f, wanted) + render_samples(f.samples) for f in families)


def encode(text: str) -> bytes:
    """UTF-8. A lone surrogate, which no UTF-8 can hold, becomes ``?`` and spoils nothing else."""
    return text.encode("utf-8", "replace")


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
