"""Metric families -> the text that scrapers read. Pure.

The same text as prometheus-client's, which the tests hold it against, at a fraction of the time:
one line of samples is the same in the text format and in OpenMetrics, so that it is written once
for both; only the lines above a family's samples differ.
"""

from collections.abc import Iterable
from functools import lru_cache

from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from exporter.samples import Histogram, Run, format_value
from exporter.web.negotiation import Format

OPENMETRICS_END = "# EOF\n"

_SEVEN_DIGITS = 1_000_000
_KEPT_TEXTS = 10_000
"""Of label values, which come again and again, as they are written."""


def render_header(family: Family, wanted: Format) -> str:
    """The lines above the family's samples. Raises ValueError for a type that we do not have."""
    if family.type not in {"counter", "gauge", "histogram", "summary"}:
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


def render_run(run: Run) -> str:
    """One line for each of its samples."""
    before = "".join(
        f'{name}="{_escape(value)}",'
        for name, value in sorted(run.labels.items())
        if name < run.label
    )
    behind = "".join(
        f',{name}="{_escape(value)}"'
        for name, value in sorted(run.labels.items())
        if name > run.label
    )
    heads = [f'{name}{{{before}{run.label}="' for name in run.names]
    tail = f'"{behind}}} '
    values = map(_escape, run.items[0])
    numbers = map(_formatted, run.items[1:])
    if len(heads) == 1:
        (head,), (of_all,) = heads, numbers
        return "".join([f"{head}{v}{tail}{n}\n" for v, n in zip(values, of_all, strict=True)])
    return "".join(
        [
            f"{head}{value}{tail}{number}\n"
            for value, *of_item in zip(values, *numbers, strict=True)
            for head, number in zip(heads, of_item, strict=True)
        ]
    )


def _formatted(numbers: Iterable[float]) -> list[str]:
    """Most are small whole numbers, whose text is plain."""
    return [
        f"{number}.0"
        if type(number) is int and 0 <= number < _SEVEN_DIGITS
        else format_value(float(number))
        for number in numbers
    ]


def render_histogram(histogram: Histogram) -> str:
    """One line for each of its samples."""
    return render_run(histogram.buckets) + render_samples(histogram.totals)


def render_samples(samples: Iterable[Sample]) -> str:
    """One line for each sample."""
    lines: list[str] = []
    for sample in samples:
        pairs = [f'{name}="{_escape(value)}"' for name, value in sorted(sample.labels.items())]
        labels = f"{{{','.join(pairs)}}}" if pairs else ""
        lines.append(f"{sample.name}{labels} {format_value(float(sample.value))}\n")
    return "".join(lines)


def render(families: Iterable[Family], wanted: Format) -> str:
    """Whole families; the end mark of OpenMetrics is the caller's."""
    return "".join(render_header(f, wanted) + render_samples(f.samples) for f in families)


def encode(text: str) -> bytes:
    """UTF-8. A lone surrogate, which no UTF-8 can hold, becomes ``?`` and spoils nothing else."""
    return text.encode("utf-8", "replace")


@lru_cache(_KEPT_TEXTS)
def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
