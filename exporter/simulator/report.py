"""A report on real servers, as clusters of the simulated cloud that behave like them.

What is read of it::

    {"clusters": [{"cluster_id": "ehpc-1",
                   "zone": "jinan1a",
                   "traits": {"status_filter": "job_status", "order": "submission"},
                   "jobs": {"pending": 12, "running": 5, "finished": 2000}}]}

``zone`` may be missing, and so may any trait: one that is missing or ``unknown`` is as documented.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from exporter.simulator.dialect import Dialect
from exporter.simulator.listed import END_STATUSES, JobRow
from exporter.simulator.spelling import parse_dialect

_SPAN_SECONDS = 30 * 86400
"""How long ago the first job was submitted."""
_QUEUES = ("默认队列", "gpu-a100", "debug")
_USERS = ("admin", "usr-vceaHsJu", "zhangwei", "李娜", "wang.fang")

_WORDS: Mapping[str, Mapping[str, str]] = {
    "status_filter": {
        # Known only where the other name, sent beside it, is refused.
        "jobs_status": "filter=jobs_status,unknown_param=1100",
        "job_status": "filter=job_status,unknown_param=1100",
        "both": "filter=either",
        "none": "filters=ignored",
    },
    "order": {
        "change": "sort=any",
        "change_only": "sort=modified_time,unknown_sort_key=ignored",
        "submission": "sort=submitted_time,unknown_sort_key=ignored",
        # Where a sort key were ignored, the list would seem to be sorted by it.
        "default": "sort=none,unknown_sort_key=1101,order=submitted_time",
        "none": "sort=none,unknown_sort_key=ignored,order=hpcjob_uuid",
    },
    "total_count": {
        "filtered": "total_count=filtered",
        "cluster": "total_count=whole",
        "none": "total_count=missing",
    },
    "depth": {"unlimited": "depth=0"},
    "zone": {"stamped": "times=z", "configured": "zone=utc"},
}
"""By trait and value, how the dialect is written."""
_SWITCHES: Mapping[str, str] = {
    "page_size": "page_cap",
    "depth": "depth",
    "zone": "zone",
    "lag": "lag",
}
"""By trait, the switch that takes its value as it is."""


@dataclass(frozen=True, slots=True)
class ReportedCluster:
    """One cluster of a report."""

    cluster_id: str
    zone: str
    dialect: Dialect
    jobs: Mapping[str, int]
    """By status."""


class _Cluster(msgspec.Struct):
    cluster_id: Annotated[str, msgspec.Meta(min_length=1)]
    zone: str = "jinan1a"
    traits: dict[str, str] = {}
    jobs: dict[str, Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]] = {}


class _Report(msgspec.Struct):
    clusters: Annotated[list[_Cluster], msgspec.Meta(min_length=1)]


def dialect_from_profile(traits: Mapping[str, str]) -> Dialect:
    """How a server with these traits behaves. ``ValueError`` names a trait that is not known."""
    settings = [_setting(trait, value) for trait, value in traits.items() if value != "unknown"]
    return parse_dialect(",".join(("documented", *settings)))


def read_report(text: str) -> list[ReportedCluster]:
    """The clusters of a report. ``ValueError`` says what is wrong with it, and where."""
    try:
        report = msgspec.json.decode(text, type=_Report)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    clusters = []
    for number, each in enumerate(report.clusters):
        try:
            dialect = dialect_from_profile(each.traits)
        except ValueError as error:
            raise ValueError(f"clusters[{number}].traits.{error}") from error
        clusters.append(ReportedCluster(each.cluster_id, each.zone, dialect, each.jobs))
    return clusters


def made_up_rows(counts: Mapping[str, int], now_at: float, seed: int) -> Iterator[JobRow]:
    """So many jobs in each status, in the order of submission; those that live are among the
    youngest."""
    rng = random.Random(seed)
    statuses = [status for status, count in counts.items() for _ in range(count)]
    ended = [status for status in statuses if status in END_STATUSES]
    live = [status for status in statuses if status not in END_STATUSES]
    rng.shuffle(ended)
    rng.shuffle(live)
    length = len(ended) + len(live)
    youngest = length - min(length, 4 * len(live))
    places = set(rng.sample(range(youngest, length), len(live)))
    for number in range(length):
        submitted = int(now_at - _SPAN_SECONDS * (length - number) / length)
        status = live.pop() if number in places else ended.pop()
        yield _row(status, submitted, int(now_at), rng)


def _row(status: str, submitted: int, now_at: int, rng: random.Random) -> JobRow:
    queue, user, cores = rng.choice(_QUEUES), rng.choice(_USERS), 1 << rng.randrange(6)
    if status == "pending":
        return JobRow(status, queue, user, cores, submitted, None, submitted)
    started = submitted + int(rng.random() ** 4 * (now_at - submitted))
    changed = started
    if status in END_STATUSES:
        changed += int(rng.random() ** 4 * (now_at - started))
    return JobRow(status, queue, user, cores, submitted, started, changed)


def _setting(trait: str, value: str) -> str:
    """How the dialect of a server with this trait is written."""
    words = _WORDS.get(trait, {})
    if value in words:
        return words[value]
    if trait not in _SWITCHES:
        known = f"{value} is none of {', '.join(words)}" if words else "no such trait"
        raise ValueError(f"{trait}: {known}")
    setting = f"{_SWITCHES[trait]}={value}"
    try:
        parse_dialect(setting.replace(",", " "))  # one setting, not several
    except ValueError as error:
        raise ValueError(f"{trait}: {error}") from error
    return setting
