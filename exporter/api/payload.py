"""Decoding an answer of job/list (API reference, section 3), or of cluster/list. Pure.

Tolerant of how a value is written, intolerant of what would make a wrong count:

- No record is dropped: that would leave a page that is shorter than the part of the list it stands
  for, and whoever pages by offsets would miscount. One without an identity or a status is a job in a
  hidden status (see ``model.hidden``); one by which it cannot be known again makes the page bad, as
  does an identity that comes twice in one page, even with equal contents.
- ``hpc_job_set: null`` is an empty page; a page without the field is bad unless ``total_count``
  says that there is nothing to list.
- Wrong is worse than absent: a number of cores that is no whole number from 0 to ``_MOST_CORES`` is
  0, which is what a list that does not say it gives; for times, see ``times``.
- Queue and user are passed on as they are, blanks within and around them included: they are names.
  What becomes a label, the status too, is cut to ``LONGEST_NAME`` here, before anybody keeps it.
- What a strict reader of JSON refuses is read leniently, see ``lenient``; to answers that are cut off
  or no JSON at all that makes no difference.

No error message quotes the answer: it holds people's command lines. Positions and field names only.
"""

import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Any, TypeVar

import msgspec

from exporter.api.lenient import rewritten
from exporter.api.refusal import REQUEST_CODE, refusal_of
from exporter.api.times import Moments, read_times
from exporter.errors import PayloadError, RefusedError
from exporter.model import NO_IDENTITY, NO_STATUS, Job, LeftOut, ListedCluster, Page, hidden

_MOST_CORES = 2**31 - 1
_LONGEST_JOB_ID = 64  # characters
_HTTP_OK = 200
_REQUEST_STATUSES = frozenset(range(400, 500)) - {401, 403, 407, 429}
"""With a problem document, these say that the request itself is not understood."""
LONGEST_NAME = 200  # characters, with the mark of one that was cut
_CUT = "…"
_LONGEST_MESSAGE = 200  # characters of the server's own words in an error


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
    """What is asked of a record that lacks something; most do not."""

    job_id: Any = None
    name: Any = None
    hpq_name: Any = None
    scheduler_queue_name: Any = None
    hpcqueue_id: Any = None


class _Rests(msgspec.Struct):
    hpc_job_set: list[_Rest] = []


class _Verdict(msgspec.Struct):
    ret_code: Any = None
    message: Any = None
    # Of a problem document (RFC 9457), as the server's framework gives it in place of the above:
    title: Any = None
    detail: Any = None
    status: Any = None


class _Answer(msgspec.Struct):
    ret_code: Any = None
    message: Any = None
    total_count: Any = None
    hpc_job_set: list[_Record] | msgspec.UnsetType | None = msgspec.UNSET


class _Clusters(msgspec.Struct):
    ret_code: Any = None
    cluster_set: list[dict[str, Any]] | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_CLUSTERS = msgspec.json.Decoder(_Clusters)
_RESTS = msgspec.json.Decoder(_Rests)
_VERDICT = msgspec.json.Decoder(_Verdict)
_COUNTED = ("pending", "running", "finished", "stopped")
"""Statuses of which cluster/list counts the jobs."""
_UNDERSCORES = re.compile(r"^[\s_]+")
"""Of the API's own, they would hide a status."""
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)


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
    try:
        answer = _read(_ANSWER, body)
    except _UNREADABLE as error:
        refused = find_refusal(body, scrub=scrub)
        if refused is not None:
            raise refused from None
        raise _unreadable(body, error) from None
    ret_code = _whole_number(answer.ret_code)
    if ret_code != 0:
        raise find_refusal(body, scrub=scrub) or _bad("the answer has no ret_code")
    total_count = _total_count(answer.total_count)
    records = answer.hpc_job_set
    if isinstance(records, msgspec.UnsetType):
        if total_count != 0:
            raise _bad("the answer has no hpc_job_set")
        records = None
    moments, zoneless, zoned = read_times(records or (), timezone)
    jobs: Sequence[Job] = list(map(_job, records or (), moments))
    left_out: tuple[LeftOut, ...] = ()
    if not _is_whole(jobs):
        jobs, left_out = _made_whole(jobs, body)
    if len({job.uuid for job in jobs}) != len(jobs):
        raise _bad("the same hpcjob_uuid comes twice in one page")
    jobs, names_cut = _with_short_names(jobs)
    return Page(tuple(jobs), total_count, server_time_at, zoneless, zoned, left_out, names_cut)


def decode_clusters(body: bytes, *, scrub: Callable[[str], str] = str) -> tuple[ListedCluster, ...]:
    """The clusters in an answer of cluster/list. Their fields may be nested in ``app_cluster``. Raises
    RefusedError or PayloadError."""
    try:
        answer = _read(_CLUSTERS, body)
    except _UNREADABLE as error:
        refused = find_refusal(body, scrub=scrub)
        raise (refused or _unreadable(body, error)) from None
    if _whole_number(answer.ret_code) != 0:
        raise find_refusal(body, scrub=scrub) or _bad("the answer has no ret_code")
    clusters = []
    for each in answer.cluster_set or ():
        nested = each.get("app_cluster")
        fields = {**nested, **each} if isinstance(nested, dict) else each
        if cluster_id := _text(fields.get("cluster_id")).strip():
            name, status = (_text(fields.get(f"cluster_{what}")) for what in ("name", "status"))
            counts = {each: _whole_number(fields.get(f"{each}_job_count")) for each in _COUNTED}
            jobs = {each: count for each, count in counts.items() if count is not None}
            clusters.append(ListedCluster(cluster_id, name, status.strip().lower(), jobs))
    return tuple(clusters)


def find_refusal(
    body: bytes, *, http_status: int = _HTTP_OK, scrub: Callable[[str], str] = str
) -> RefusedError | None:
    """The API's own error in an answer that is no page, whatever its HTTP status: a ``ret_code``
    other than 0, or a problem document that says that the request is not understood."""
    try:
        verdict = _read(_VERDICT, body)
    except _UNREADABLE:
        return None
    ret_code = _whole_number(verdict.ret_code)
    if ret_code:
        return _refused(ret_code, f"code {ret_code}", (verdict.message,), scrub)
    status = http_status if http_status != _HTTP_OK else _whole_number(verdict.status)
    words = (verdict.title, verdict.detail)
    if ret_code is None and status in _REQUEST_STATUSES and any(isinstance(w, str) for w in words):
        return _refused(REQUEST_CODE, f"HTTP status {status}", words, scrub)
    return None


Decoded = TypeVar("Decoded")


def _read(decoder: "msgspec.json.Decoder[Decoded]", body: bytes) -> Decoded:
    try:
        return decoder.decode(body)
    except _UNREADABLE:
        pass  # unless the lenient reading fails as well
    return decoder.decode(rewritten(body))


def _refused(
    ret_code: int, said: str, words: Sequence[Any], scrub: Callable[[str], str]
) -> RefusedError:
    kind = refusal_of(ret_code)
    text = f"the API refused the call with {said} ({kind.meaning})"
    shown = _one_line(scrub(": ".join(word for word in words if isinstance(word, str) and word)))
    return RefusedError(
        ret_code,
        kind.reason,
        f"{text}: {shown}" if shown else text,
        retryable=kind.retryable,
        advice=kind.advice,
    )


def _one_line(text: str) -> str:
    printable = "".join(char if char.isprintable() else " " for char in text)
    words = " ".join(printable.split())
    return words if len(words) <= _LONGEST_MESSAGE else words[: _LONGEST_MESSAGE - 1] + _CUT


def _unreadable(body: bytes, error: Exception) -> PayloadError:
    if isinstance(error, msgspec.ValidationError):  # its text has types and a path, no content
        return _bad(f"the answer is not of the shape of a list: {error}")
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


def _job(record: _Record, moments: Moments) -> Job:
    uuid, status = record.hpcjob_uuid, record.job_status
    queue, user, cores = record.queue_name, record.run_user, record.core_limit
    submitted_at, started_at, modified_at = moments
    return Job(
        uuid if type(uuid) is str else "",
        status.strip().lower() if type(status) is str else "",
        queue if type(queue) is str else _text(queue),
        user if type(user) is str else _text(user),
        cores if type(cores) is int and 0 <= cores <= _MOST_CORES else _cores(cores),
        submitted_at,
        started_at,
        modified_at,
    )


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


def shortened(name: str) -> str:
    """A name as it may become a label's value, with a mark where it had to be cut."""
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - len(_CUT)] + _CUT


def _is_whole(jobs: Sequence[Job]) -> bool:
    """Whether each job has an identity, a status and a queue."""
    if not jobs:
        return True
    uuids, statuses, queues, *_ = zip(*jobs, strict=True)
    named = all(map(str.strip, queues))
    return named and _are_identities(uuids) and not any(map(hidden, set(statuses)))


def _are_identities(uuids: Sequence[str]) -> bool:
    return all(map(str.strip, uuids)) and "\0" not in "".join(uuids)


def _made_whole(jobs: Sequence[Job], body: bytes) -> tuple[list[Job], tuple[LeftOut, ...]]:
    """Find elsewhere in the records what jobs lack, and which of them cannot be counted."""
    try:
        rests = _read(_RESTS, body).hpc_job_set
    except _UNREADABLE as error:
        raise _unreadable(body, error) from None
    whole, left_out = [], []
    for position, (job, rest) in enumerate(zip(jobs, rests, strict=True)):
        job_id = _job_id(rest)
        status = _UNDERSCORES.sub("", job.status) or NO_STATUS
        queue = job.queue if job.queue.strip() else _queue(rest)
        uuid = job.uuid
        if not _are_identities([uuid]):
            if not job_id:
                raise _bad(f"record {position} has no proper hpcjob_uuid and no job_id")
            uuid, status = f"job_id:{job_id}", NO_IDENTITY
        if hidden(status):
            left_out.append(LeftOut(status, job_id))
        whole.append(job._replace(uuid=uuid, status=status, queue=queue))
    return whole, tuple(left_out)


def _job_id(rest: _Rest) -> str:
    text = _text(rest.job_id).strip()
    return text if text.isprintable() and len(text) <= _LONGEST_JOB_ID else ""


def _queue(rest: _Rest) -> str:
    fields = (rest.name, rest.hpq_name, rest.scheduler_queue_name, rest.hpcqueue_id)
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
