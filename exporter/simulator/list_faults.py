"""Faults that change the list itself while an answer is made from it, by name.

Unlike a wrong answer, such a list is consistent: pages, filters and totals agree with each other.
"""

import zlib
from collections.abc import Callable, Mapping

from exporter.simulator.joblist import JobList
from exporter.simulator.listed import ListedJob

_FEW = 30

_Wrong = Callable[[list[ListedJob], JobList, int], list[ListedJob]]


def _half(rows: list[ListedJob], _: JobList, __: int) -> list[ListedJob]:
    return [job for job in rows if zlib.crc32(job.uuid.encode()) % 2]


def _one_page(rows: list[ListedJob], jobs: JobList, page_cap: int) -> list[ListedJob]:
    newest = {job.uuid for job in jobs.page(limit=page_cap).jobs}
    return [job for job in rows if job.uuid in newest]


def _rows_twice(rows: list[ListedJob], _: JobList, __: int) -> list[ListedJob]:
    return rows + rows[:_FEW]


LIST_FAULTS: Mapping[str, _Wrong] = {
    "empty-list": lambda _, __, ___: [],
    "one-page": _one_page,
    "half-the-shards": _half,
    "rows-twice": _rows_twice,
}
"""What becomes of all rows of a list, in the order that the request wants, given the list itself and
the length of its pages.

``one-page`` leaves as many of the newest jobs as fill a page, ``half-the-shards`` half of the jobs,
always the same; ``rows-twice`` has the first 30 rows once more at the end.
"""
