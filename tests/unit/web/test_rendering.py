"""Our text is prometheus-client's text, and its parsers read back what went in."""

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import collector
from exporter.samples import Run
from exporter.web.negotiation import Format
from exporter.web.rendering import (
    OPENMETRICS_END,
    encode,
    render,
    render_run,
    render_samples,
)
from tests.unit.board_states import good_state, hostile_state, new_state
from tests.unit.reference import is_misprinted

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}[a-z]", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    '"\\\n n', max_size=6
)
NUMBERS = st.integers(0, 10**18) | st.floats(min_value=0)
VALUES = (st.floats() | st.integers(0, 10**17).map(float)).filter(lambda v: not is_misprinted(v))


class Registry:
    """What prometheus-client's writers take."""

    def __init__(self, families: list[Family]) -> None:
        self.families = families

    def collect(self) -> Iterator[Family]:
        return iter(self.families)


@st.composite
def families(draw: st.DrawFn) -> list[Family]:
    found = []
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["gauge", "counter", "histogram"]))
        unit = draw(st.sampled_from(["", "seconds"]))
        family = Family(f"x_{name}", draw(TEXTS), kind, unit)
        labels = draw(st.lists(NAMES.map(lambda n: f"l_{n}"), max_size=4, unique=True))
        suffixes = {
            "gauge": [""],
            "counter": ["_total"],
            "histogram": ["_bucket", "_count", "_sum"],
        }
        for _ in range(draw(st.integers(0, 5))):
            pairs = {label: draw(TEXTS) for label in labels}
            for suffix in suffixes[kind]:
                family.add_sample(family.name + suffix, pairs, draw(VALUES))
        found.append(family)
    return found


@given(families())
def test_text_is_prometheus_clients(some: list[Family]) -> None:
    assert encode(render(some, Format.TEXT)) == generate_latest(Registry(some))


@given(families())
def test_openmetrics_is_prometheus_clients(some: list[Family]) -> None:
    ours = render(some, Format.OPENMETRICS) + OPENMETRICS_END
    assert encode(ours) == generate_openmetrics(Registry(some))


def test_states_are_written_as_prometheus_client_writes_them() -> None:
    some = [
        family
        for state in (good_state(), new_state(), hostile_state())
        for family in collector.cluster_families(state)
    ]
    assert encode(render(some, Format.TEXT)) == generate_latest(Registry(some))
    ours = render(some, Format.OPENMETRICS) + OPENMETRICS_END
    assert encode(ours) == generate_openmetrics(Registry(some))


@given(st.lists(st.tuples(TEXTS, TEXTS, VALUES), max_size=5, unique_by=lambda row: row[:2]))
def test_parsers_read_back_what_went_in(rows: list[tuple[str, str, float]]) -> None:
    family = Family("x_jobs", "Any \\ \n help.", "gauge")
    for queue, user, value in rows:
        family.add_sample("x_jobs", {"queue": queue, "user": user}, value)
    (from_openmetrics,) = parse_openmetrics(render([family], Format.OPENMETRICS) + OPENMETRICS_END)
    assert comparable(from_openmetrics.samples) == comparable(family.samples)
    assert from_openmetrics.documentation == family.documentation
    (from_text,) = parse_text(render([family], Format.TEXT))
    assert comparable(from_text.samples) == comparable(family.samples)


def comparable(samples: list[Sample]) -> list[tuple[str, dict[str, str], float | str]]:
    return [
        (s.name, s.labels, "NaN" if math.isnan(s.value) else float(s.value)) for s in samples
    ]  # fmt: skip


def test_a_lone_surrogate_spoils_nothing_else() -> None:
    family = Family("x_jobs", "Help.", "gauge")
    family.add_sample("x_jobs", {"user": "a\ud800b"}, 1.0)
    assert encode(render([family], Format.TEXT)).endswith(b'x_jobs{user="a?b"} 1.0\n')


def test_a_type_that_we_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="info"):
        render([Family("x", "Help.", "info")], Format.TEXT)


@given(
    labels=st.dictionaries(st.sampled_from(["cluster_name", "queue", "status"]), st.text()),
    label=st.sampled_from(["le", "user", "a"]),
    rows=st.lists(st.tuples(st.text(), NUMBERS, NUMBERS)),
    names=st.sampled_from([("x_count",), ("x_count", "x_sum")]),
)
def test_a_run_is_its_samples(
    labels: dict[str, str],
    label: str,
    rows: list[tuple[str, float, float]],
    names: tuple[str, ...],
) -> None:
    columns = tuple([row[place] for row in rows] for place in range(len(names) + 1))
    run = Run(names, labels, label, columns)
    assert render_run(run) == render_samples(run.samples())
