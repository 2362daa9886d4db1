"""Decoding an answer of job/list (API reference, section 3). Pure.

Tolerant of how a value is written, intolerant of what would make a wrong count:

- No record is dropped: that would leave a page that is shorter than the part of the list it stands
  for, and whoever pages by offsets would miscount. One without an identity or a status is a job in a
  hidden status (see ``model.hidden``), recognised by its ``job_id``, or else by its content. An
  identity that comes twice in one page makes the page bad, even with equal contents.
- ``hpc_job_set: null`` is an empty page; a page without the field is bad unless ``total_count``
  says that there is nothing to list.
- Wrong is worse than absent: a number of cores that is no whole number from 0 to ``_MOST_CORES``
  counts as 0, as if it were missing; for times, see ``times``.
- Queue and user are passed on as they are, blanks within and around them included: they are names.
  What becomes a label, the status too, is cut to ``LONGEST_NAME`` here, before anybody keeps it.
- What a strict parser of JSON refuses is read leniently, see ``lenient``, unless it is cut off or no
  JSON at all.

No error message quotes the answer: it holds people's command lines. Positions and field names only.
"""

import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from hashlib import blake2b
from itertools import compress
from sys import intern
from typing import Any

import msgspec

from exporter.api.answer import (
    LONGEST_NAME,
    UNREADABLE,
    Reply,
    as_text,
    bad,
    read,
    shortened,
    total_count_of,
    understood,
    unreadable,
    whole_number,
)
from exporter.api.times import Moments, read_times
from exporter.model import NO_IDENTITY, NO_STATUS, Job, LeftOut, Page, hidden

_MOST_CORES = 2**31 - 1
_CLOCKS_APART_SECONDS = 3600
"""A start that lies so long before the submission is by a clock that is wrong."""
_LONGEST_JOB_ID = 64  # characters


class _Record(msgspec.Struct, gc=False):
    # Any: how a value is written must not make a page bad. Fields not named here are skipped.
    hpcjob_uuid: Any = None
    job_status: Any = None
    run_user: Any = None
    queue_name: Any = None
    core_limit: Any = None
    submitted_time: Any = None
    started_time: Any = None
    modified_time: Any = None


class _Rest(msgspec.Struct, gc=False):
    """What is looked for in a record that lacks something; most records lack nothing."""

    job_id: Any = None
    name: Any = None
    hpq_name: Any = None
    scheduler_queue_name: Any = None
    hpcqueue_id: Any = None


_NoRecord = list[Any] | str | float | bool | None
"""What may stand in place of a record and contains nothing."""


class _Written(msgspec.Struct):
    hpc_job_set: list[msgspec.Raw] = []


class _Answer(Reply):
    total_count: Any = None
    hpc_job_set: list[_Record | _NoRecord] | msgspec.UnsetType | None = msgspec.UNSET


_ANSWER = msgspec.json.Decoder(_Answer)
_WRITTEN = msgspec.json.Decoder(_Written)
_REST = msgspec.json.Decoder(_Rest | _NoRecord)
_new = tuple.__new__
"""Makes a job in less time than its own constructor, which is written in Python: every record of every page is one."""
_UNDERSCORES = re.compile(r"^[\s_]+")
"""Taken off the API's statuses, as one with an underscore in front would be hidden."""


def decode_page(
    body: bytes,
    *,
    timezone: tzinfo,
    server_time_at: float | None = None,
    scrub: Callable[[str], str] = str,
) -> Page:
    """The page in an answer's body.

    ``timezone`` is that of times that carry none. ``scrub`` takes secrets out of the server's own
    words before they go into an error. Raises RefusedError where ``find_refusal`` finds one, else
    PayloadError.
    """
    answer = understood(_ANSWER, body, scrub)
    total_count = total_count_of(answer.total_count)
    listed = answer.hpc_job_set
    if isinstance(listed, msgspec.UnsetType):
        if total_count != 0:
            raise bad("the answer has no hpc_job_set")
        listed = None
    records = [each if isinstance(each, _Record) else _Record() for each in listed or ()]
    times = read_times(records, timezone, server_time_at)
    jobs: Sequence[Job] = list(map(_job, records, times.moments))
    left_out: tuple[LeftOut, ...] = ()
    if not _is_whole(jobs):
        jobs, left_out = _made_whole(jobs, body)
    uuids = [job.uuid for job in jobs]
    if len(set(uuids)) != len(uuids):
        raise bad("the same hpcjob_uuid comes twice in one page")
    jobs, names_cut = _with_short_names(jobs)
    return Page(
        tuple(jobs),
        total_count,
        server_time_at,
        times.zoneless,
        times.zoned,
        frozenset(compress(uuids, times.bare)),
        left_out,
        names_cut,
    )


def _job(record: _Record, moments: Moments) -> Job:
    uuid, status = record.hpcjob_uuid, record.job_status
    queue, user, cores = record.queue_name, record.run_user, record.core_limit
    submitted_at, started_at, modified_at = moments
    if started_at and submitted_at and started_at < submitted_at - _CLOCKS_APART_SECONDS:
        started_at = None
    return _new(Job, (
        uuid if type(uuid) is str else "",
        # Of words that come again and again, one is kept.
        intern(status.strip().lower()) if type(status) is str else "",
        intern(queue if type(queue) is str else as_text(queue)),
        intern(user if type(user) is str else as_text(user)),
        cores if type(cores) is int and 0 <= cores <= _MOST_CORES else _cores(cores),
        submitted_at,
        started_at,
        modified_at,
    ))  # fmt: skip


def _with_short_names(jobs: Sequence[Job]) -> tuple[Sequence[Job], int]:
    """The jobs with names that fit into a label, and how many had to be cut."""
    if all(len(job.status) + len(job.queue) + len(job.user) <= LONGEST_NAME for job in jobs):
        return jobs, 0
    names = [(job.status, job.queue, job.user) for job in jobs]
    short = [
        job._replace(status=shortened(job.status), queue=shortened(job.queue),
                     user=shortened(job.user))
        for job in jobs
    ]  # fmt: skip
    return short, sum(len(name) > LONGEST_NAME for three in names for name in three)


def _is_whole(jobs: Sequence[Job]) -> bool:
    """Whether each job has an identity, a status and a queue."""
    named = all(map(str.strip, {job.queue for job in jobs}))
    known = not any(map(hidden, {job.status for job in jobs}))
    return named and known and _are_identities([job.uuid for job in jobs])


def _are_identities(uuids: Sequence[str]) -> bool:
    return all(map(str.strip, uuids)) and "\0" not in "".join(uuids)


def _made_whole(jobs: Sequence[Job], body: bytes) -> tuple[list[Job], tuple[LeftOut, ...]]:
    """Find elsewhere in the records what jobs lack, and which of them cannot be counted."""
    try:
        written = list(map(bytes, read(_WRITTEN, body).hpc_job_set))
        rests = [read(_REST, each) for each in written]
    except UNREADABLE as error:
        raise unreadable(body, error) from None
    whole, left_out = [], []
    for job, record, read_rest in zip(jobs, written, rests, strict=True):
        rest = read_rest if isinstance(read_rest, _Rest) else _Rest()
        job_id = _job_id(rest)
        status = _UNDERSCORES.sub("", job.status) or NO_STATUS
        queue = job.queue if job.queue.strip() else _queue(rest)
        uuid = job.uuid
        if not _are_identities([uuid]):
            uuid = f"job_id:{job_id}" if job_id else _written(record)
            status = NO_IDENTITY
        if hidden(status):
            left_out.append(LeftOut(status, job_id))
        whole.append(job._replace(uuid=uuid, status=status, queue=queue))
    return whole, tuple(left_out)


def _job_id(rest: _Rest) -> str:
    text = as_text(rest.job_id).strip()
    return text if text.isprintable() and len(text) <= _LONGEST_JOB_ID else ""


def _written(record: bytes) -> str:
    """An identity made from a record's whole content, without revealing it."""
    return f"written:{blake2b(record, digest_size=16).hexdigest()}"


def _queue(rest: _Rest) -> str:
    fields = (rest.name, rest.hpq_name, rest.scheduler_queue_name, rest.hpcqueue_id)
    return next((text for field in fields if (text := as_text(field)).strip()), "")


def _cores(value: Any) -> int:
    cores = whole_number(value)
    return cores if cores is not None and 0 <= cores <= _MOST_CORES else 0
