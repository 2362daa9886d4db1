"""Every part runs, and what can be counted reaches its goal. Nothing that depends on time is
judged: machines differ."""

from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.figures import Curve, Figure, Findings, Part
from tests.bench.parts import PARTS
from tests.bench.plot import Axis, draw
from tests.bench.report import Result
from tests.bench.workshop import Bench

COUNTING = (
    *("steady", "short", "submission", "fleet", "starting", "contact", "restarting", "deleting"),
    "trace",
)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_in_small_counts_what_it_should(part: Part, tmp_path: Path) -> None:
    findings = part.measure(Bench(tmp_path, quick=True))
    assert findings.figures or "Left out" in findings.remarks[0]
    counted = [figure for figure in findings.figures if figure.exact]
    assert bool(counted) is (part.name in COUNTING) or not findings.figures
    assert not [figure for figure in counted if figure.reached is False]
    assert all(curve.points for curve in findings.curves)


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure("none", 5), None),
        (Figure("just", 5, at_most=5), True),
        (Figure("over", 5.1, at_most=5), False),
        (Figure("under", 4, at_least=5), False),
        (Figure("judged by another number", 400, 200, judged=2, at_most=3), True),
    ],
    ids=lambda value: value.name if isinstance(value, Figure) else "",
)
def test_a_figure_knows_whether_its_goal_is_reached(figure: Figure, reached: bool | None) -> None:
    assert figure.reached is reached


def test_a_missed_goal_stands_out_in_the_table_and_in_the_document() -> None:
    findings = Findings([Figure("calls", 7, 100, at_most=5)], remarks=["A remark."])
    result = Result(Part("some", "Some calls", "naive exporter", lambda _: findings), findings, 1.0)
    (line,) = (line for line in report.markdown(result).splitlines() if "calls |" in line[:9])
    assert line == "| calls | 100 | 7 calls | 14.29 | ≤ 5 | NO |"
    assert report.table(result).rows[0].style == "bold red"


def test_the_document_has_a_place_for_every_part() -> None:
    text = report.DOCUMENT.read_text()
    for name in ("machine", *PARTS):
        assert report.between(text, name, "new content") != text


def test_a_place_is_filled_and_the_rest_is_left_alone() -> None:
    text = "before\n<!-- bench x -->\nold\n<!-- end x -->\nafter\n"
    assert report.between(text, "x", "new") == (
        "before\n<!-- bench x -->\n\nnew\n\n<!-- end x -->\nafter\n"
    )


def test_a_logarithmic_axis_ends_at_powers_of_ten() -> None:
    ticks = Axis("jobs", logarithmic=True).ticks(1_000, 1_000_000)
    assert ticks == [1_000, 10_000, 100_000, 1_000_000]
    assert Axis("jobs", logarithmic=True).place(10_000, ticks) == pytest.approx(1 / 3)


def test_a_plot_names_its_curves() -> None:
    curves = [
        Curve("p", "one", [(0, 1), (5, 100)]),
        Curve("p", "two", [(0, 10), (5, 10)]),
    ]
    drawn = draw("A & B", Axis("x"), Axis("y", logarithmic=True), curves)
    assert "<title>A &amp; B</title>" in drawn
    assert drawn.count("<polyline") == 2
    assert ">one<" in drawn
    assert ">two<" in drawn
