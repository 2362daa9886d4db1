"""Dialects by lot, and as a command line writes them."""

import random
from dataclasses import fields, replace

import pytest

from exporter.simulator import (
    CURIOSITIES,
    DEPLOYMENTS,
    DIALECTS,
    DOCUMENTED,
    PLAUSIBLE,
    Dialect,
    Order,
    draw_dialect,
    in_small,
    parse_dialect,
    spell_dialect,
)

NAMED = {**DIALECTS, **DEPLOYMENTS}


def test_keys_and_values() -> None:
    console = parse_dialect("filter=job_status,sort=submitted_time,zone=+08:00")
    assert console == replace(
        DOCUMENTED,
        status_filter="job_status",
        sort_keys=frozenset({Order.SUBMITTED}),
        zone_offset_seconds=8 * 3600,
    )
    assert parse_dialect("sort=none,unknown_sort_key=problem,cache=60") == replace(
        DOCUMENTED, sort_keys=frozenset(), unknown_sort_key="problem", cache_seconds=60
    )
    assert parse_dialect("zone=-03:30").zone_offset_seconds == -12_600
    assert parse_dialect("times-local,zone=utc") == DOCUMENTED
    assert parse_dialect("order=hpcjob_uuid,filter_after_cut=yes,sort=job_id+modified_time") == (
        replace(
            DOCUMENTED,
            default_order=Order.UUID,
            filter_after_cut=True,
            sort_keys=frozenset({Order.JOB_ID, Order.MODIFIED}),
        )
    )


@pytest.mark.parametrize("name", NAMED)
def test_a_name_alone_or_with_what_differs(name: str) -> None:
    assert parse_dialect(name) == NAMED[name]
    assert NAMED[spell_dialect(NAMED[name])] == NAMED[name]
    assert parse_dialect(f"{name},page_cap=33") == replace(NAMED[name], page_cap=33)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no such dialect: "),
        ("klingon", "no such dialect: klingon"),
        ("documented,colour=red", "no such switch of a dialect: colour"),
        ("filter=jobstatus", "filter=jobstatus is none of jobs_status, job_status, either"),
        ("filter", "no such dialect: filter"),
        ("page_cap=many", "page_cap=many is not a whole number"),
        ("page_cap=0", "page_cap=0: a page has at least one job"),
        ("lag=-5", "lag=-5 is not a whole number"),
        ("zone=Asia/Shanghai", "zone=Asia/Shanghai is neither utc nor like +08:00"),
        ("sort=colour", "sort=colour is none of hpcjob_uuid, job_id"),
        ("filter_after_cut=true", "filter_after_cut=true is none of yes, no"),
    ],
)
def test_what_cannot_be_read(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse_dialect(text)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("curiosities", [0, 2])
def test_what_is_drawn_can_be_written_down(curiosities: int) -> None:
    drawn = {draw_dialect(random.Random(seed), curiosities=curiosities) for seed in range(300)}
    assert len(drawn) > 290
    assert {parse_dialect(spell_dialect(dialect)) for dialect in drawn} == drawn


def test_every_value_is_drawn_and_curiosities_only_where_wanted() -> None:
    rng = random.Random(1)
    plausible = [draw_dialect(rng) for _ in range(500)]
    curious = [draw_dialect(rng, curiosities=3) for _ in range(500)]
    assert set(PLAUSIBLE) == {field.name for field in fields(Dialect)}
    for name, values in PLAUSIBLE.items():
        assert getattr(DOCUMENTED, name) in values
        assert {getattr(dialect, name) for dialect in plausible} == set(values)
        assert set(CURIOSITIES.get(name, ())) <= {getattr(dialect, name) for dialect in curious}
        assert not set(CURIOSITIES.get(name, ())) & set(values)
    assert draw_dialect(random.Random(7)) == draw_dialect(random.Random(7))


def test_in_small() -> None:
    small = in_small(parse_dialect("depth=10000,filtered_page_cap=50"), 8)
    assert (small.page_cap, small.filtered_page_cap, small.depth_limit) == (8, 4, 80)
    assert in_small(DOCUMENTED, 8) == replace(DOCUMENTED, page_cap=8)
