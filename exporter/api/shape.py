"""The shape of an answer: names of fields and JSON types, never a value. Pure.

The one exception are the statuses of jobs, which are words of the API and label values on
``/metrics``. It helps to diagnose a server that nobody here has seen.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from exporter.api.lenient import rewritten

JOB_FIELDS = frozenset(
    {
        *("hpcjob_uuid", "job_id", "job_name", "job_status", "run_user", "queue_name", "name"),
        *("hpq_name", "scheduler_queue_name", "hpcqueue_id", "categories", "core_limit"),
        *("mem_limit", "job_priority", "job_node_list", "submitted_time", "started_time"),
        *("modified_time", "cmd_line", "exec_cwd", "stdout_redirect_path", "stderr_redirect_path"),
    }
)
"""The documented fields of a job."""
MAY_BE_ABSENT = frozenset({"categories"})
STATUSES = frozenset(
    {"pending", "running", "finished", "exited", "cancelled", "stopped", "unknown"}
)
"""The documented statuses of a job."""
LISTS = ("hpc_job_set", "cluster_set")

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(?P<zone>Z|[+-]\d\d:?\d\d)?")
_DIGITS = re.compile(r"\s*\d+\s*")
_NAME = re.compile(r"\w[\w.-]{0,39}")
_STATUS = re.compile(r"\w[\w -]{0,39}")
_WORDS: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "fraction",
    list: "list",
    dict: "object",
}

Fields = Mapping[str, frozenset[str]]
"""By name, the types that values were seen to have."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What one answer, or several, look like."""

    answer: Fields
    record: Fields
    """The fields of the items of its list."""
    statuses: frozenset[str] = frozenset()
    """The statuses of jobs: trimmed, in lower case."""
    lax: bool = False
    """Whether a strict reader of JSON refuses it."""


def shape_of(body: bytes) -> Shape | None:
    """The shape of one answer; None if it is no JSON object."""
    lax = False
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        lax = True
        try:
            answer = msgspec.json.decode(rewritten(body))
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            return None
    if not isinstance(answer, dict):
        return None
    lists = [answer[name] for name in LISTS if isinstance(answer.get(name), list)]
    records = [each for listed in lists for each in listed if isinstance(each, dict)]
    written = [each["job_status"] for each in records if isinstance(each.get("job_status"), str)]
    statuses = frozenset(status_word(text.strip().lower()) for text in written)
    return Shape(_types([answer]), _types(records), statuses, lax)


def joined(shapes: Iterable[Shape]) -> Shape:
    """The shape of several answers."""
    answer, record = dict[str, frozenset[str]](), dict[str, frozenset[str]]()
    statuses, lax = frozenset[str](), False
    for shape in shapes:
        for fields, more in ((answer, shape.answer), (record, shape.record)):
            for name, types in more.items():
                fields[name] = fields.get(name, frozenset()) | types
        statuses |= shape.statuses
        lax = lax or shape.lax
    return Shape(answer, record, statuses, lax)


def status_word(status: str) -> str:
    """A status that may be shown to anybody."""
    return _known(status, _STATUS)


def _types(objects: Iterable[Mapping[str, Any]]) -> Fields:
    found: dict[str, set[str]] = {}
    for each in objects:
        for written, value in each.items():
            found.setdefault(written, set()).add(_type(written, value))
    fields: dict[str, frozenset[str]] = {}
    for written, types in found.items():
        name = _known(written, _NAME)
        fields[name] = fields.get(name, frozenset()) | types
    return fields


def _type(name: str, value: Any) -> str:
    if not isinstance(value, str):
        return _WORDS.get(type(value), "other")
    if not value.strip():
        return "empty text"
    if name == "job_status" and value != value.strip().lower():
        return "text in capitals or with blanks"
    if time := _TIME.fullmatch(value):
        return "time with a zone" if time["zone"] else "time without a zone"
    return "number in a text" if _DIGITS.fullmatch(value) else "text"


def _known(text: str, pattern: re.Pattern[str]) -> str:
    """The text if it looks like a word of the API; anything else may be somebody's content."""
    return text if pattern.fullmatch(text) else "?"
