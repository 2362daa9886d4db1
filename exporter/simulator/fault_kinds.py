"""Every way in which an answer can be wrong, by name.

``ret-CODE``
    A refusal with that ``ret_code``: all of section 4 of the API reference, or any other.
``http-STATUS``
    A gateway's HTML page with that HTTP status.
lists
    Those of ``list_faults.py``: the answer fits the list, but the list is wrong.
objects
    Those of ``_OBJECT_FAULTS``: JSON that looks right but has absurd contents.
bodies
    Those of ``_BODY_FAULTS``: what is not JSON, or JSON of another kind.
wires
    Those of ``_WIRE_FAULTS``: resets, stalls, drips, floods, redirects, lengths that lie.

Refusals by code and the faults of lists and objects also happen to callers in process.
"""

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from exporter.simulator.answers import (
    HTML_HEADERS,
    JSON_HEADERS,
    Answer,
    Delivery,
    Ending,
    Part,
    html_answer,
    json_answer,
)
from exporter.simulator.list_faults import LIST_FAULTS
from exporter.simulator.listing import JOB_LIST_ACTION
from exporter.simulator.refusal import RefusalError

ERROR_CODES: Mapping[int, str] = {
    1100: "InvalidRequestFormat",
    1101: "InvalidRequestMethod, unknown method or value",
    1200: "AuthFailure, access key or signature is wrong",
    1300: "RequestHasExpired",
    1400: "PermissionDenied",
    2100: "ResourceNotFound",
    2500: "QuotaExceeded",
    4100: "LicenceExpired",
    5000: "InternalError, list hpc job failed",
    5100: "ServerBusy",
    5300: "ResourceUpdating",
}
"""The documented codes of refusal."""

HTTP_STATUSES = (400, 401, 403, 404, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong."""

    name: str
    seconds: float | None = None
    """Of ``slow``: the delay; of the drips: the gap between bytes."""


def is_fault(name: str) -> bool:
    """Whether there is a fault of that name."""
    kind, _, number = name.partition("-")
    if kind == "http" and number.isascii() and number.isdigit():
        return 100 <= int(number) <= 599
    return is_object_fault(name) or name in _BODY_FAULTS or name in _WIRE_FAULTS


def is_object_fault(name: str) -> bool:
    """Whether the answer that the fault makes is an object, whatever it travels as."""
    kind, _, number = name.partition("-")
    is_refusal = kind == "ret" and number.isascii() and number.isdigit()
    return is_refusal or name in LIST_FAULTS or name in _OBJECT_FAULTS


def is_about_any_answer(name: str) -> bool:
    """Whether there is such a fault, and it can strike other calls than job/list, too."""
    return is_fault(name) and name not in LIST_FAULTS and name not in _OBJECT_FAULTS


def fault_names() -> tuple[str, ...]:
    """Every fault, with the documented codes and the usual HTTP statuses for ``ret`` and ``http``."""
    return (
        *(f"ret-{code}" for code in ERROR_CODES),
        *(f"http-{status}" for status in HTTP_STATUSES),
        *LIST_FAULTS,
        *_OBJECT_FAULTS,
        *_BODY_FAULTS,
        *_WIRE_FAULTS,
    )


def apply_fault(fault: Fault, answer: Answer) -> Answer:
    """The answer that the fault makes of the right one."""
    if is_object_fault(fault.name):
        right = json.loads(answer.body)
        changed = apply_to_object(fault, right)
        return answer if changed is right else json_answer(changed)
    kind, _, number = fault.name.partition("-")
    if kind == "http" and number.isdigit():
        return html_answer(int(number), f"{number} from the gateway")
    if fault.name in _BODY_FAULTS:
        return _BODY_FAULTS[fault.name](answer)
    return _WIRE_FAULTS[fault.name](answer, fault)


def apply_to_object(fault: Fault, answer: dict[str, Any]) -> dict[str, Any]:
    """The same, of an answer that does not travel; what is wrong with a list is in it already."""
    if fault.name in LIST_FAULTS:
        return answer
    if fault.name in _OBJECT_FAULTS:
        return _OBJECT_FAULTS[fault.name](answer)
    code = int(fault.name.partition("-")[2])
    return RefusalError(code, ERROR_CODES.get(code, "UnknownError")).as_object(JOB_LIST_ACTION)


# Objects

_Change = Callable[[dict[str, Any]], dict[str, Any]]
_LASTING = 16
"""One record in so many is always damaged, by its job id."""


def _with_fields(**fields: Any) -> _Change:
    """Replaces fields of the answer; a field of None is null."""
    return lambda answer: {**answer, **fields}


def _without(*names: str) -> _Change:
    return lambda answer: {field: value for field, value in answer.items() if field not in names}


def _with_records(change: Callable[[list[Any]], list[Any]]) -> _Change:
    """Changes the page's records; a page that has none is sent as it is."""

    def changed(answer: dict[str, Any]) -> dict[str, Any]:
        records = answer.get("hpc_job_set")
        return {**answer, "hpc_job_set": change(records)} if records else answer

    return changed


def _first_record(**fields: Any) -> _Change:
    return _with_records(lambda records: [{**records[0], **fields}, *records[1:]])


def _first_record_without(field: str) -> _Change:
    return _with_records(lambda records: [_without(field)(records[0]), *records[1:]])


def _lasting(change: _Change) -> _Change:
    """Changes some records, always the same ones."""
    return _with_records(
        lambda records: [
            change(each) if int(each["job_id"]) % _LASTING == 0 else each for each in records
        ]
    )


_OBJECT_FAULTS: Mapping[str, _Change] = {
    "code-missing": _without("ret_code"),
    "code-text": _with_fields(ret_code="none"),
    "set-is-object": _with_fields(hpc_job_set={"0": {}}),
    "set-is-text": _with_fields(hpc_job_set="none"),
    "set-missing": _without("hpc_job_set"),
    "set-of-nulls": _with_records(lambda records: [None] * len(records)),
    "nested-records": _with_records(lambda records: [[[[{"hpcjob_uuid": "0"}]]]] * len(records)),
    "null-record": _with_records(lambda records: [None, *records[1:]]),
    "total-negative": _with_fields(total_count=-1),
    "total-huge": _with_fields(total_count=10**40),
    "total-text": _with_fields(total_count="many"),
    "total-zero": _with_fields(total_count=0),
    "empty-page": _with_fields(hpc_job_set=[]),
    "no-identity": _first_record_without("hpcjob_uuid"),
    "empty-identity": _first_record(hpcjob_uuid=""),
    "identity-number": _first_record(hpcjob_uuid=12),
    "no-status": _first_record_without("job_status"),
    "null-status": _first_record(job_status=None),
    "status-number": _first_record(job_status=3),
    "lasting-no-identity": _lasting(_without("hpcjob_uuid")),
    "lasting-nameless": _lasting(_without("hpcjob_uuid", "job_id")),
    "lasting-null-status": _lasting(_with_fields(job_status=None)),
    "huge-cores": _first_record(core_limit=10**400),
    "negative-cores": _first_record(core_limit=-8),
    "text-cores": _first_record(core_limit="a few"),
    "nan-memory": _first_record(mem_limit=float("nan")),
    "absurd-times": _first_record(
        submitted_time="yesterday", started_time="0000-99-99T99:99:99Z", modified_time=17
    ),
    "huge-text": _first_record(job_name="x" * 2_000_000),
    "surrogate-in-name": _first_record(job_name="J\udce4ger"),
    "duplicate-records": _with_records(lambda records: records + records[: len(records) // 2 + 1]),
    "too-many-records": _with_records(lambda records: (records * 50)[:500]),
}


# Bodies


def _constant(body: bytes) -> Callable[[Answer], Answer]:
    return lambda _: Answer(200, JSON_HEADERS, body)


def _truncated(answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: max(1, len(answer.body) // 2)])


def _with_bytes(field: str, more: bytes, *, most: int = -1) -> Callable[[Answer], Answer]:
    """Puts bytes in front of a text in so many records, or in all: JSON that is right otherwise."""
    begin = f'"{field}":"'.encode()
    return lambda answer: replace(answer, body=answer.body.replace(begin, begin + more, most))


_GB18030 = "李娜".encode("gb18030")

_BODY_FAULTS: Mapping[str, Callable[[Answer], Answer]] = {
    "html": lambda _: html_answer(200, "Please log in"),
    "empty-body": _constant(b""),
    "truncated-json": _truncated,
    "not-utf8": _with_bytes("run_user", _GB18030),
    "not-utf8-in-name": _with_bytes("job_name", _GB18030, most=1),
    "tab-in-path": _with_bytes("exec_cwd", b"\t", most=1),
    "backslash-in-path": _with_bytes("exec_cwd", rb"C:\x", most=1),
    "newline-in-path": _with_bytes("exec_cwd", b"\n", most=1),
    "json-null": _constant(b"null"),
    "json-list": _constant(b"[]"),
    "json-number": _constant(b"7"),
    "json-string": _constant(b'"ok"'),
    "json-nesting": _constant(b"[" * 500_000 + b"]" * 500_000),
}


# Wires

_ELSEWHERE = "http://127.0.0.1:9/elsewhere"
_BOMB_MEGABYTES = 256


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """A small gzip body that inflates to a large one: one packed megabyte, repeated."""
    megabyte = b" " * (1024 * 1024)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(_BOMB_MEGABYTES):
        checksum = zlib.crc32(megabyte, checksum)
    head = b"\x1f\x8b\x08" + bytes(7)
    tail = struct.pack("<II", checksum, _BOMB_MEGABYTES * len(megabyte))
    return head + packed * _BOMB_MEGABYTES + packer.flush() + tail


def _travelling(
    ending: Ending, first: Part, *, gap_seconds: float = 1.0, filler: bytes = b""
) -> Callable[[Answer, Fault], Answer]:
    def travels(answer: Answer, fault: Fault) -> Answer:
        gap = gap_seconds if fault.seconds is None else fault.seconds
        return replace(answer, delivery=Delivery(ending, first, gap_seconds=gap, filler=filler))

    return travels


def _slow(answer: Answer, fault: Fault) -> Answer:
    delay = 2.0 if fault.seconds is None else fault.seconds
    return replace(answer, delivery=Delivery(delay_seconds=delay))


def _flood(answer: Answer, _: Fault) -> Answer:
    """A list that never ends: valid JSON as far as one has read."""
    record = b'{"hpcjob_uuid":"hpcjob-00000000","job_status":"running"},'
    return Answer(
        200,
        {**answer.headers, "Content-Length": "", "Connection": "close"},
        b'{"action":"HpcJobListJobsResponse","ret_code":0,"total_count":1,"hpc_job_set":[',
        Delivery(Ending.FLOOD, Part.HEAD, filler=record * 1000),
    )


def _flood_of_headers(answer: Answer, _: Fault) -> Answer:
    flood = Delivery(Ending.FLOOD, Part.HALF, filler=b"X-Filler: " + b"x" * 4000 + b"\r\n")
    return Answer(200, {}, b"HTTP/1.1 200 OK\r\n", flood, bare=True)


def _length(change: int) -> Callable[[Answer, Fault], Answer]:
    def lying(answer: Answer, _: Fault) -> Answer:
        stated = max(0, len(answer.body) + change)
        return replace(answer, headers={**answer.headers, "Content-Length": str(stated)})

    return lying


def _redirect(status: int) -> Callable[[Answer, Fault], Answer]:
    return lambda _, __: Answer(status, {**HTML_HEADERS, "Location": _ELSEWHERE}, b"")


def _gzip_bomb(answer: Answer, _: Fault) -> Answer:
    return replace(answer, headers={**answer.headers, "Content-Encoding": "gzip"}, body=_bomb())


def _garbage(_: Answer, __: Fault) -> Answer:
    noise = b"\x16\x03\x01 this is not HTTP\r\n\r\n\x00\xff"
    return Answer(200, {}, noise, Delivery(Ending.CLOSE, Part.HALF), bare=True)


_WIRE_FAULTS: Mapping[str, Callable[[Answer, Fault], Answer]] = {
    "close": _travelling(Ending.CLOSE, Part.NOTHING),
    "close-midway": _travelling(Ending.CLOSE, Part.HALF),
    "reset": _travelling(Ending.RESET, Part.NOTHING),
    "reset-midway": _travelling(Ending.RESET, Part.HALF),
    "stall": _travelling(Ending.STALL, Part.NOTHING),
    "stall-midway": _travelling(Ending.STALL, Part.HALF),
    "drip": _travelling(Ending.DRIP, Part.HEAD),
    "drip-head": _travelling(Ending.DRIP, Part.NOTHING),
    "flood": _flood,
    "flood-head": _flood_of_headers,
    "redirect": _redirect(302),
    "redirect-permanently": _redirect(308),
    "length-too-long": _length(10),
    "length-too-short": _length(-10),
    "gzip-bomb": _gzip_bomb,
    "garbage": _garbage,
    "slow": _slow,
}
