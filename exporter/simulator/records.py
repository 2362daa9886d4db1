"""A job as the API's JSON shows it, with content that is realistic and sometimes hostile."""

import zlib
from functools import lru_cache
from time import gmtime
from typing import Any

from exporter.simulator.dialect import Dialect
from exporter.simulator.listed import ListedJob

CONTENT_MARK = "private-7f3a9c"
"""This text is in every field of a record that must never be exported, logged or stored."""

_JOB_NAMES = (
    "作业-cwOOs",
    "train",
    'he said "go"',
    "back\\slash\\n",
    "two\nlines",
    "tab\there",
    "<script>alert(1)</script>",
    "emoji 🚀 and \u202ereversed",
    "{}[],:null",
    "  blanks  ",
    "nul\u0000byte",
    "%s %d {0} ${HOME}",
)
_COMMANDS = (
    "mpirun -np 16 ./solver case.inp",
    "python3 train.py --token=s3cr3t --lr 1e-4",
    'bash -c \'echo "$PATH" > out; rm -rf "$TMP"\'',
    "./run.sh 参数 一 二",
    "awk '{print $1\"\\t\"$2}' < in.dat\nexit 0",
)
_ABSENT_STARTS = {"null": None, "empty": "", "zero": "1970-01-01T08:00:00"}
_MANY_NODES = '["node-%d","node-%d"]'


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    moment = gmtime(days * 86400)
    return f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}T"


_TWO_DIGITS = tuple(f"{number:02d}" for number in range(60))


@lru_cache(maxsize=1 << 16)
def time_text(at: int, zone_offset_seconds: int = 0) -> str:
    """A moment as the API writes it, without ``Z``."""
    days, seconds = divmod(at + zone_offset_seconds, 86400)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_day(days)}{_TWO_DIGITS[hour]}:{_TWO_DIGITS[minute]}:{_TWO_DIGITS[second]}"


@lru_cache(maxsize=4096)
def queue_fields(queue: str) -> dict[str, str]:
    """What a queue is called in records."""
    number = zlib.crc32(queue.encode("utf-8", "surrogatepass"))
    return {
        "queue_name": queue,
        "name": queue,
        "hpq_name": queue,
        "scheduler_queue_name": f"q{number % 9973}",
        "hpcqueue_id": f"hpcq-{number:08x}",
        "categories": "share_queue" if number % 3 else "dedicated_queue",
    }


def record(job: ListedJob, dialect: Dialect) -> dict[str, Any]:
    """One item of ``hpc_job_set``."""
    number = job.job_id
    with_z = dialect.times == "z" or (dialect.times == "mixed" and number % 2 == 0)
    suffix, offset = ("Z", 0) if with_z else ("", dialect.zone_offset_seconds)
    folder = f"/home/{CONTENT_MARK}/{number}"
    if job.started_at is None:
        started = _ABSENT_STARTS[dialect.absent_start]
    else:
        started = time_text(job.started_at, offset) + suffix
    running = job.status == "running"
    fields: dict[str, Any] = {
        "hpcjob_uuid": job.uuid,
        "job_id": number,
        "job_name": f"{_JOB_NAMES[number % 12]} {CONTENT_MARK}",
        "job_status": job.status,
        "run_user": job.user,
        **queue_fields(job.queue),
        "core_limit": job.cores or None,
        "mem_limit": None if number % 7 else "4GB",
        "job_priority": 1,
        "job_node_list": _MANY_NODES % (number % 64, number % 61) if running else "[]",
        "submitted_time": time_text(job.submitted_at, offset) + suffix,
        "started_time": started,
        "modified_time": time_text(job.modified_at, offset) + suffix,
        "cmd_line": f"{_COMMANDS[number % 5]} # {CONTENT_MARK}",
        "exec_cwd": folder,
        "stdout_redirect_path": f"{folder}/{number}.out",
        "stderr_redirect_path": f"{folder}/{number}.err",
    }
    if dialect is not _PLAIN:
        _restyle(fields, number, dialect)
    return fields


_PLAIN = Dialect()


def _restyle(fields: dict[str, Any], number: int, dialect: Dialect) -> None:
    if dialect.numbers == "string":
        for name in ("job_id", "core_limit", "job_priority"):
            fields[name] = None if fields[name] is None else str(fields[name])
    if dialect.status_spelling == "untidy":
        status: str = fields["job_status"]
        fields["job_status"] = (f" {status} ", status.upper(), f"{status.title()}\n")[number % 3]
    if dialect.queue_name == "null":
        fields["queue_name"] = None
    elif dialect.queue_name == "absent":
        del fields["queue_name"]
    if dialect.extra_fields:
        del fields["categories"]
        fields["gpu_limit"] = {"type": "未知", "count": [1, 2, {"deep": None}]}
        fields["状态"] = True
        fields["end_time"] = ""
