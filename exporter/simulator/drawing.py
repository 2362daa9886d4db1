"""Servers drawn at random: which values of a dialect's switches are plausible, and which are
curiosities."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from exporter.simulator.dialect import DOCUMENTED, LISTED_STATUSES, Dialect
from exporter.simulator.listed import Order, TieOrder, Transition

_REFUSED = ("1100", "1101", "5000", "problem", "problem-500")

PLAUSIBLE: Mapping[str, tuple[Any, ...]] = {
    "status_filter": ("jobs_status", "job_status", "either"),
    "unknown_param": ("ignored", "1100", "problem"),
    "sort_keys": (
        frozenset(Order),
        frozenset({Order.SUBMITTED}),
        frozenset({Order.SUBMITTED, Order.JOB_ID}),
        frozenset(),
    ),
    "unknown_sort_key": ("ignored", *_REFUSED),
    "reverse": ("honoured",),
    "default_order": (Order.SUBMITTED, Order.JOB_ID, Order.UUID),
    "default_descending": (True, False),
    "ties": (TieOrder.STABLE, TieOrder.REVERSED),
    "filters": ("honoured", "ignored"),
    "unlisted_status": ("matched", "ignored", "1100", "problem"),
    "unmatched_statuses": (frozenset(),),
    "filter_after_cut": (False, True),
    "total_count": ("filtered", "whole"),
    "total_limit": (0, 10_000),
    "page_cap": (100, 50, 20),
    "filtered_page_cap": (0, 50),
    "depth_limit": (0, 10_000),
    "beyond_depth": ("empty", "1100", "5000", "problem"),
    "depth_of": ("page",),
    "lag_seconds": (0, 5, 20, 60),
    "lagging": ("alternate", "random"),
    "cache_seconds": (0, 5, 20, 60),
    "signed_slash": ("either", "encoded", "plain"),
    "times": ("plain", "z", "mixed"),
    "zone_offset_seconds": (0, 8 * 3600),
    "absent_start": ("null", "empty", "zero"),
    "numbers": ("int", "string"),
    "empty_page": ("list", "null"),
    "status_spelling": ("tidy",),
    "queue_name": ("present", "null", "absent"),
    "text": ("utf8", "escaped"),
    "extra_fields": (False, True),
    "still_transitions": (frozenset(),),
}
"""By name of the switch, what a real server may well do. The counts must be right, with few calls."""

CURIOSITIES: Mapping[str, tuple[Any, ...]] = {
    "unknown_param": ("1101", "5000"),
    "sort_keys": (frozenset({Order.MODIFIED}),),
    "reverse": ("ascending", "descending"),
    "default_order": (Order.MODIFIED, Order.STARTED),
    "ties": (TieOrder.SHUFFLED,),
    "unlisted_status": ("1101", "5000"),
    "unmatched_statuses": (
        LISTED_STATUSES,
        frozenset({"pending"}),
        frozenset({"running"}),
    ),
    "total_count": ("missing",),
    "beyond_depth": ("1101",),
    "depth_of": ("offset",),
    "status_spelling": ("untidy",),
    "still_transitions": (
        frozenset({Transition.START}),
        frozenset({Transition.END, Transition.CANCEL}),
        frozenset({Transition.REQUEUE}),
        frozenset(Transition),
    ),
}
"""The rest, which is only conceivable. The counts must be right or withheld, with any number of calls."""


def draw_dialect(rng: random.Random, *, curiosities: int = 0) -> Dialect:
    """A random server: for each switch the documented value or, as often, any plausible one.

    So many of the switches, at most, have a curious value instead.
    """
    drawn = {
        name: rng.choice(values)
        for name, values in PLAUSIBLE.items()
        if rng.random() < 0.5  # as it is documented otherwise
    }
    for name in rng.sample(sorted(CURIOSITIES), curiosities):
        drawn[name] = rng.choice(CURIOSITIES[name])
    return replace(DOCUMENTED, **drawn)


def in_small(dialect: Dialect, page_cap: int) -> Dialect:
    """The same server for short lists: short pages, and where its lists have a limit, ten pages."""
    return replace(
        dialect,
        page_cap=page_cap,
        filtered_page_cap=max(1, page_cap // 2) if dialect.filtered_page_cap else 0,
        depth_limit=10 * page_cap if dialect.depth_limit else 0,
        total_limit=10 * page_cap if dialect.total_limit else 0,
    )
