"""What a benchmark gives: figures beside their goals, and curves for the plots."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

CALLS, WRONG, MEGABYTES = "calls", "wrong counts", "MB"
MICROSECONDS, MILLISECONDS, SECONDS = "µs", "ms", "s"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    ours: float
    naive: float | None = None
    """Of the naive exporter, or whatever else it is held against."""
    unit: str = CALLS
    at_most: float | None = None
    """The goal, for ``judged``."""
    at_least: float | None = None
    judged: float | None = None
    """What the goal is about, where it is not ``ours`` itself."""
    exact: bool = False
    """Whether it is the same on every machine: counted, not timed."""

    @property
    def value(self) -> float:
        """What is held against the goal."""
        return self.ours if self.judged is None else self.judged

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.at_most is None and self.at_least is None:
            return None
        below = self.at_most is None or self.value <= self.at_most
        return below and (self.at_least is None or self.value >= self.at_least)

    @property
    def ratio(self) -> float | None:
        """How many times less, or more, than the other one; None where it says nothing."""
        if not self.naive or not self.ours:
            return None
        return max(self.naive, self.ours) / min(self.naive, self.ours)


@dataclass(frozen=True, slots=True)
class Curve:
    """A line in a plot."""

    plot: str
    name: str
    points: list[tuple[float, float]]


@dataclass(slots=True)
class Findings:
    """What one part found."""

    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        figures = [
            {**asdict(each), "reached": each.reached, "ratio": each.ratio} for each in self.figures
        ]
        return {
            "figures": figures,
            "curves": [asdict(each) for each in self.curves],
            "remarks": self.remarks,
        }


@dataclass(frozen=True, slots=True)
class Part:
    """One benchmark, selectable by its name."""

    name: str
    title: str
    other: str
    """What the column beside ours is about."""
    measure: Callable[..., Findings]
    """Called with a ``Bench``."""
