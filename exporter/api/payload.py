"""Decoding an answer of job/list (API reference, section 3). Pure.

Tolerant of how a value is written, intolerant of what would make a wrong count:

- A record without an identity or a status makes the page bad, as does an identity that comes twice
  in one page, even with equal contents: dropping one would leave a page that is shorter than the
  part of the list it stands for, and whoever pages by offsets would miscount.
- ``hpc_job_set: null`` is an empty page; a page without the field is bad unless ``total_count``
  says that there is nothing to list.
- Wrong is worse than absent: a time that cannot be read, or is no plausible one (the zero times of
  databases and languages, 1970, after 2100), is None; a number of cores that is no whole
  number from 0 to ``_MOST_CORES`` is 0, which is what a list that does not say it gives.
- Queue and user are passed on as they are, blanks within and around them included: they are names.

No error message quotes the answer: it holds people's command lines. Positions and field names only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

import msgspec

from exporter.api.refusal import refusal_of
from exporter.errors import PayloadError, RefusedError
from exporter.model import Job, Page

_MOST_CORES = 2**31 - 1
_LATEST_AT = 4_102_444_800  # 2100-01-01; later ones are placeholders such as 9999-12-31
_LEAST_MILLISECONDS = 100_000_000_000  # as seconds it would be the year 5138, as milliseconds 1973
_MINUTES = {f":{minute:02}": minute * 60 for minute in range(60)}
_SECONDS = {f":{second:02}": second for second in range(60)}
_SECONDS_UTC = _SECONDS | {f"{text}Z": second for text, second in _SECONDS.items()}
_LAST_SECOND_OF_HOUR = 3599
_MOST_HOURS = 16384  # two years of them
_SHORTEST_TIME = len("2021-08-19T14:06")
_LONGEST_MESSAGE = 200  # characters of the server's own words in an error


class _Record(msgspec.Struct, gc=False):
    # Any: how a value is written must not make a page bad. Fields not named here are skipped.
    hpcjob_uuid: str
    job_status: str
    run_user: Any = None
    queue_name: Any = None
    core_limit: Any = None
    submitted_time: Any = None
    started_time: Any = None
    modified_time: Any = None


class _QueueNames(msgspec.Struct, gc=False):
    name: Any = None
    hpq_name: Any = None
    scheduler_queue_name: Any = None
    hpcqueue_id: Any = None


class _Names(msgspec.Struct):
    hpc_job_set: list[_QueueNames] = []


class _Verdict(msgspec.Struct):
    ret_code: Any = None
    message: Any = None


class _Answer(_Verdict):
    total_count: Any = None
    hpc_job_set: list[_Record] | msgspec.UnsetType | None = msgspec.UNSET


_ANSWER = msgspec.json.Decoder(_Answer)
_NAMES = msgspec.json.Decoder(_Names)
_VERDICT = msgspec.json.Decoder(_Verdict)
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)


def decode_page(
    body: bytes,
    *,
    timezone: tzinfo,
    server_time_at: float | None = None,
    scrub: Callable[[str], str] = str,
) -> Page:
    """The page in an answer's body.

    ``timezone`` is that of times that carry none; where its clocks go back, an ambiguous time is
    taken for the earlier one. ``scrub`` takes secrets out of the server's own words before they
    go into an error. Raises RefusedError for a ``ret_code`` other than 0, else PayloadError.
    """
    try:
        answer = _ANSWER.decode(body)
    except _UNREADABLE as error:
        refused = find_refusal(body, scrub=scrub)
        if refused is not None:
            raise refused from None
        raise _unreadable(body, error) from None
    _check_verdict(answer, scrub)
    total_count = _total_count(answer.total_count)
    records = answer.hpc_job_set
    if isinstance(records, msgspec.UnsetType):
        if total_count != 0:
            raise _bad("the answer has no hpc_job_set")
        records = None
    jobs = _jobs(records or (), timezone)
    if not all(job.queue for job in jobs):
        jobs = _with_queues(jobs, body)
    return Page(tuple(jobs), total_count, server_time_at)


def find_refusal(body: bytes, *, scrub: Callable[[str], str] = str) -> RefusedError | None:
    """The API's own error in an answer that is no page, as one with an HTTP error may carry it."""
    try:
        verdict = _VERDICT.decode(body)
    except _UNREADABLE:
        return None
    ret_code = _whole_number(verdict.ret_code)
    return _refused(ret_code, verdict.message, scrub) if ret_code else None


def _check_verdict(answer: _Answer, scrub: Callable[[str], str]) -> None:
    ret_code = _whole_number(answer.ret_code)
    if ret_code is None:
        raise _bad("the answer has no ret_code")
    if ret_code:
        raise _refused(ret_code, answer.message, scrub)


def _refused(ret_code: int, message: Any, scrub: Callable[[str], str]) -> RefusedError:
    kind = refusal_of(ret_code)
    text = f"the API refused the call with code {ret_code} ({kind.meaning})"
    words = _one_line(scrub(message)) if isinstance(message, str) else ""
    return RefusedError(
        ret_code,
        kind.reason,
        f"{text}: {words}" if words else text,
        retryable=kind.retryable,
        advice=kind.advice,
    )


def _one_line(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_MESSAGE else words[: _LONGEST_MESSAGE - 1] + "…"


def _unreadable(body: bytes, error: Exception) -> PayloadError:
    if isinstance(error, msgspec.ValidationError):  # its text has types and a path, no content
        return _bad(f"the answer is not of the shape of a job list: {error}")
    head = body[:64].lstrip()
    if not head:
        what = "the answer is empty"
    elif head.startswith(b"<"):
        what = "the answer is HTML or XML, not JSON"
    else:
        what = f"the answer of {len(body)} bytes is not valid JSON"
    return PayloadError(
        "payload",
        what,
        retryable=True,  # cut off on the way, or a gateway's page
        advice="Check that the account's endpoint is the API's address and that no proxy or "
        "gateway answers in its place.",
    )


def _bad(what: str) -> PayloadError:
    return PayloadError(
        "payload",
        what,
        retryable=False,
        advice="Nothing is counted from such an answer. If it goes on, compare the API's answer "
        "with its documentation and report it.",
    )


def _jobs(records: Sequence[_Record], timezone: tzinfo) -> list[Job]:
    # The documented form of a time has a short way, by look-ups that raise for any other form:
    # a page's times would cost more than its JSON.
    hours, seconds = _hours_of(timezone), _SECONDS_UTC if timezone is UTC else _SECONDS
    jobs = [_job(record, timezone, hours, seconds) for record in records]
    for position, job in enumerate(jobs):
        if not job.status or not job.uuid.strip() or "\0" in job.uuid:
            raise _bad(f"record {position} has no proper hpcjob_uuid or job_status")
    if len({job.uuid for job in jobs}) != len(jobs):
        raise _bad("the same hpcjob_uuid comes twice in one page")
    return jobs


def _job(record: _Record, timezone: tzinfo, hours: "_Hours", seconds: Mapping[str, int]) -> Job:
    submitted, started, modified = (
        record.submitted_time,
        record.started_time,
        record.modified_time,
    )
    submitted_at: int | None
    modified_at: int | None
    try:
        submitted_at = hours[submitted[:13]] + _MINUTES[submitted[13:16]] + seconds[submitted[16:]]
        modified_at = hours[modified[:13]] + _MINUTES[modified[13:16]] + seconds[modified[16:]]
        started_at = (
            hours[started[:13]] + _MINUTES[started[13:16]] + seconds[started[16:]]
            if started
            else None
        )
    except (KeyError, TypeError):
        submitted_at = _moment_at(submitted, timezone)
        started_at = _moment_at(started, timezone)
        modified_at = _moment_at(modified, timezone)
    queue, user, cores = record.queue_name, record.run_user, record.core_limit
    return Job(
        record.hpcjob_uuid,
        record.job_status.strip().lower(),
        queue if type(queue) is str and queue.strip() else _text(queue).strip(),
        user if type(user) is str else _text(user),
        cores if type(cores) is int and 0 <= cores <= _MOST_CORES else _cores(cores),
        submitted_at,
        started_at,
        modified_at,
    )


def _with_queues(jobs: Sequence[Job], body: bytes) -> list[Job]:
    """Name the queues of jobs without ``queue_name``: a second look, as most pages need none."""
    try:
        names = _NAMES.decode(body).hpc_job_set
    except _UNREADABLE as error:
        raise _unreadable(body, error) from None
    return [
        job if job.queue else job._replace(queue=_queue(others))
        for job, others in zip(jobs, names, strict=True)
    ]


def _queue(names: _QueueNames) -> str:
    fields = (names.name, names.hpq_name, names.scheduler_queue_name, names.hpcqueue_id)
    return next((text for field in fields if (text := _text(field)).strip()), "")


def _text(value: Any) -> str:
    """A name, which a sibling call may write as a number."""
    if isinstance(value, str):
        return value
    number = None if isinstance(value, bool) else _whole_number(value)
    return "" if number is None else str(number)


def _total_count(value: Any) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    count = _whole_number(value)
    if count is None or count < 0:
        raise _bad("total_count is not a number of jobs")
    return count


def _cores(value: Any) -> int:
    cores = _whole_number(value)
    return cores if cores is not None and 0 <= cores <= _MOST_CORES else 0


def _whole_number(value: Any) -> int | None:
    """A whole number, however it is written: 12, 12.0, "12", " 12 ", "12.0"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:  # of text that is none, or of thousands of digits
            return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else None
    return value if isinstance(value, int) and abs(value) < 2**63 else None


class _Hours(dict[str, int]):
    """The moments at which hours (``2021-08-19T14``) begin, worked out when first asked.

    An hour in which clocks are changed is never here.
    """

    def __init__(self, timezone: tzinfo) -> None:
        super().__init__()
        self._timezone = timezone

    def __missing__(self, hour: str) -> int:
        begin_at = _iso_at(f"{hour}:00:00", self._timezone)
        end_at = _iso_at(f"{hour}:59:59", self._timezone)
        if begin_at is None or end_at is None or end_at - begin_at != _LAST_SECOND_OF_HOUR:
            raise KeyError(hour)
        if len(self) >= _MOST_HOURS:
            self.clear()
        self[hour] = begin_at
        return begin_at


@lru_cache(maxsize=64)
def _hours_of(timezone: tzinfo) -> _Hours:
    return _Hours(timezone)


def _moment_at(value: Any, timezone: tzinfo) -> int | None:
    """The moment of a time in any form: a space for the T, a fraction, an offset, a number."""
    if isinstance(value, str):
        value = value.strip()
        if len(value) >= _SHORTEST_TIME and value[4] == "-":
            return _iso_at(value.upper(), timezone)
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return _plausible_at(value / 1000 if value >= _LEAST_MILLISECONDS else value)


def _iso_at(text: str, timezone: tzinfo) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone)
        return _plausible_at(moment.timestamp())
    except (ValueError, OverflowError):
        return None


def _plausible_at(moment_at: float) -> int | None:
    return math.floor(moment_at) if 0 < moment_at < _LATEST_AT else None
