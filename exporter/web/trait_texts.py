"""What the landing page says of a server that does something otherwise than documented. Data."""

from collections.abc import Mapping
from typing import NamedTuple

from exporter.profile import UNKNOWN, TraitName


class TraitText(NamedTuple):
    """One difference, in plain words."""

    what: str
    means: str
    """What it costs, or means for the numbers."""


_DEARER_SYNCS = "A sync asks for the active jobs, too: some calls in place of one."
_WHOLE_LIST = (
    "The whole list is read again and again: many calls, and jobs that have ended are counted late."
)

_BY_VALUE: Mapping[tuple[TraitName, str], TraitText] = {
    ("status_filter", "job_status"): TraitText(
        "It filters by job_status; the documentation calls that jobs_status.",
        "Nothing: it is asked so.",
    ),
    ("status_filter", "none"): TraitText(
        "It does not filter jobs by their status.",
        "Active jobs are looked for where they stand in the list: a sync costs more calls.",
    ),
    ("order", "change_only"): TraitText(
        "It sorts by the last change, but not by submission.",
        "Jobs that are deleted cost more calls to find.",
    ),
    ("order", "submission"): TraitText(
        "It sorts by submission, but not by the last change.", _DEARER_SYNCS
    ),
    ("order", "default"): TraitText(
        "It sorts by submission, whatever order is asked for.", _DEARER_SYNCS
    ),
    ("order", "none"): TraitText("It does not sort the list.", _WHOLE_LIST),
    ("total_count", "cluster"): TraitText(
        "Its total_count is that of the cluster, also where only some jobs are asked for.",
        "Checks of the counts cost more calls.",
    ),
    ("total_count", "none"): TraitText(
        "It tells no total_count, or one that is not to be believed.", _WHOLE_LIST
    ),
    ("zone", "contradicted"): TraitText(
        "Its times are not in the zone that the configuration says.",
        "Waiting times are wrong. Set timezone: auto at the cluster, or the right zone.",
    ),
    ("zone", UNKNOWN): TraitText(
        "Its times carry no zone, and none has been proven yet.",
        "No waiting times are published until jobs are seen to change, which proves it.",
    ),
}
_BY_TRAIT: Mapping[TraitName, TraitText] = {
    "page_size": TraitText(
        "Its answers hold {value} jobs at most; documented are 100.",
        "Whatever is read costs as many more calls.",
    ),
    "depth": TraitText(
        "It shows {value} jobs from either end of a list, and no more.",
        "The history of a longer list stays incomplete: its ended jobs are not counted by status.",
    ),
    "zone": TraitText(
        "Its times that carry no zone are {value}, not UTC.", "Nothing: they are read so."
    ),
    "lag": TraitText(
        "Its answers may be {value} s behind earlier ones.",
        "Nothing is counted from such an answer; changes show later by so much.",
    ),
}
_UNKNOWN = TraitText(
    "What it does is not known, or is being found out anew ({name}).",
    "Until it is known, a sync may cost more calls.",
)


def trait_text(name: TraitName, value: str) -> TraitText:
    """The words for a trait that is not as documented."""
    text = _BY_VALUE.get((name, value))
    if text is None:
        text = _BY_TRAIT.get(name, _UNKNOWN) if value != UNKNOWN else _UNKNOWN
    return TraitText(text.what.format(name=name, value=value), text.means)
