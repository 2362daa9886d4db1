"""Samples as they are rendered: those that differ in one label as a run, those of a histogram together.
Pure.

From one publication to the next, most of a cluster's samples stay as they are. What they are made of
shows which do, without making them.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.core import Sample

from exporter.snapshot import WAIT_BUCKETS_SECONDS, Columns, DurationTally


def format_value(value: float) -> str:
    """A number as prometheus-client writes it: shortest form, exponents from 1e6 on, as Go does."""
    text = repr(value)
    point = text.find(".")
    if value > 0 and point > 6:  # seven digits before the point
        return f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.") + f"e+{point - 1:02d}"
    return _NOT_FINITE.get(text, text)


_NOT_FINITE = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_BOUNDS = [format_value(float(bound)) for bound in (*WAIT_BUCKETS_SECONDS, float("inf"))]


class Run(NamedTuple):
    """Samples that differ in one label only, or several for each of its values. Two runs of equal
    ``items`` are the same."""

    names: tuple[str, ...]
    """Of the samples of each value."""
    labels: Mapping[str, str]
    """Those that are the same for all."""
    label: str
    """The one that is not."""
    items: Columns
    """What the samples are made of: the label's values, then the numbers of each name."""

    def samples(self) -> Iterator[Sample]:
        """One by one."""
        for value, *numbers in zip(*self.items, strict=True):
            labels = {**self.labels, self.label: value}
            for name, number in zip(self.names, numbers, strict=True):
                yield Sample(name, labels, float(number))

    @property
    def key(self) -> tuple[str, ...]:
        """Which run of a cluster it is."""
        return (*self.names, *self.labels.values())


def pieces(items: Columns) -> Iterator[Columns]:
    """Some of a run's values at a time: of a long one, little changes from one time to the next."""
    last = max(0, (len(items[0]) - _PIECE // 2) // _PIECE)  # no short one is left at the end
    for number in range(last + 1):
        behind = (number + 1) * _PIECE if number < last else None
        yield tuple([column[number * _PIECE : behind] for column in items])


_PIECE = 32


class Histogram(NamedTuple):
    """The samples of one histogram. Two of equal ``items`` are the same."""

    name: str
    labels: Mapping[str, str]
    items: DurationTally

    @property
    def key(self) -> tuple[str, ...]:
        """Which histogram of a cluster it is."""
        return (self.name, *self.labels.values())

    @property
    def buckets(self) -> Run:
        """The samples of its buckets."""
        counts = tuple(accumulate(self.items.bucket_counts))
        return Run((f"{self.name}_bucket",), self.labels, "le", (_BOUNDS, counts))

    @property
    def totals(self) -> tuple[Sample, Sample]:
        """How many there are, and their sum."""
        count, seconds = sum(self.items.bucket_counts), self.items.sum_seconds
        labels = dict(self.labels)
        return (
            Sample(f"{self.name}_count", labels, float(count)),
            Sample(f"{self.name}_sum", labels, float(seconds)),
        )

    def samples(self) -> Iterator[Sample]:
        """One by one."""
        yield from self.buckets.samples()
        yield from self.totals


Part = Sample | Run | Histogram
