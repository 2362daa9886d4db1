"""Small plots in plain SVG: lines over axes, each linear or logarithmic."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from tests.bench.figures import Curve

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 186, 44, 54
COLOURS = ("#c2410c", "#64748b", "#0f766e")
"""By place: what it is held against, what lies between, ours. Readable on white, also in grey."""
STYLE = "font-family:system-ui,sans-serif;font-size:13px"

HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    f' style="{STYLE}">'
)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis."""

    title: str
    logarithmic: bool = False

    def ticks(self, least: float, most: float) -> list[float]:
        """Where it is labelled; the first and the last are its ends."""
        if self.logarithmic:
            return [10.0**power for power in range(floor(log10(least)), ceil(log10(most)) + 1)]
        step = 10 ** floor(log10(most or 1))
        step = next(s for s in (step / 5, step / 2, step, 2 * step) if most / s <= 8)
        return [step * number for number in range(ceil(most / step) + 1)]

    def place(self, value: float, ticks: Sequence[float]) -> float:
        """From 0 to 1."""
        if self.logarithmic:
            low, high = log10(ticks[0]), log10(ticks[-1])
            return (log10(max(value, ticks[0])) - low) / (high - low)
        return (value - ticks[0]) / (ticks[-1] - ticks[0])


def draw(title: str, across: Axis, up: Axis, curves: Sequence[Curve]) -> str:
    """The plot, as SVG."""
    every_x = [x for curve in curves for x, _ in curve.points]
    every_y = [max(y, 1.0) if up.logarithmic else y for curve in curves for _, y in curve.points]
    x_ticks = across.ticks(min(every_x), max(every_x))
    y_ticks = up.ticks(min(every_y), max(every_y))

    def spot(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        right = LEFT + across.place(x, x_ticks) * wide
        return round(right, 1), round(HEIGHT - BOTTOM - up.place(y, y_ticks) * high, 1)

    lines = [
        HEAD,
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, anchor="start", weight="600"),
    ]
    for tick in y_ticks:
        left, height = spot(x_ticks[0], tick)
        lines.append(
            f'<line x1="{left}" y1="{height}" x2="{WIDTH - RIGHT}" y2="{height}" stroke="#e2e8f0"/>'
        )
        lines.append(_text(left - 8, height + 4, f"{tick:,.0f}", anchor="end"))
    for tick in x_ticks:
        left, height = spot(tick, y_ticks[0])
        lines.append(_text(left, height + 20, f"{tick:,.0f}"))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    lines.append(_text(middle, HEIGHT - 12, across.title))
    lines.append(_text(LEFT, TOP - 4, up.title, anchor="start", colour="#475569"))
    for curve, colour in zip(curves, COLOURS, strict=False):
        lines += _line(curve, colour, [spot(x, y) for x, y in curve.points])
    return "\n".join([*lines, "</svg>"]) + "\n"


def _line(curve: Curve, colour: str, spots: list[tuple[float, float]]) -> list[str]:
    path = " ".join(f"{x},{y}" for x, y in spots)
    found = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    if len(spots) <= 12:
        found += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in spots]
    x, y = spots[-1]
    found.append(_text(x + 10, y + 4, curve.name, anchor="start", colour=colour, weight="600"))
    return found


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "middle",
    colour: str = "#0f172a",
    weight: str = "400",
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )
