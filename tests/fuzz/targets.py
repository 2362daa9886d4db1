"""What is fuzzed. A target takes any bytes; anything that it raises is a defect."""

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

from exporter.api.answer import find_refusal
from exporter.api.payload import decode_page
from exporter.config import config_warnings, parse_config
from exporter.errors import ConfigError, PayloadError, RefusedError
from exporter.logs import LineFormatter
from exporter.model import END_STATUSES, hidden
from exporter.redaction import Redactor
from exporter.web.web_config import parse_web_config

ROOT = Path(__file__).parents[2]
NOWHERE = Path(__file__).parent / "no-such-directory"
"""Relative paths of a made-up file lead to nothing."""
ENVIRONMENT = {"KEY": "an id", "EMPTY": "", "NUL": "a\0b"}
ZONES = (UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"))


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz: bytes go in, nothing comes out."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[str]
    """What a fuzzer would take long to find by itself."""


def page(body: bytes) -> None:
    """An answer of the API is a page, a refusal or no answer; errors are one line, and short."""
    zone = ZONES[len(body) % len(ZONES)]
    try:
        read = decode_page(body, timezone=zone)
    except (PayloadError, RefusedError) as error:
        message = str(error)
        assert message.isprintable(), message
        assert len(message) < 400
    else:
        assert len({job.uuid for job in read.jobs}) == len(read.jobs)
        for job in read.jobs:
            assert job.uuid.strip()
            assert job.status == job.status.strip().lower() != ""
            "".join((job.uuid, job.status, job.queue, job.user)).encode()
            assert 0 <= job.cores < 2**31
            moments = (job.submitted_at, job.started_at, job.modified_at)
            assert all(at is None or 0 <= at < 4_102_444_800 for at in moments)
            assert job.ended == (job.status in END_STATUSES)
        assert len(read.left_out) == sum(hidden(job.status) for job in read.jobs)
        assert read.total_count is None or 0 <= read.total_count < 2**63
    find_refusal(body)


def config(data: bytes) -> None:
    """Any text is a configuration or has problems, each of one line."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        read = parse_config(text, ENVIRONMENT, NOWHERE)
    except ConfigError as error:
        _check_problems(error)
    else:
        assert read.accounts
        assert read.clusters
        assert all(cluster.interval_seconds >= 1 for cluster in read.clusters)
        assert all(account.allowed_calls >= 1 for account in read.accounts)
        config_warnings(read)


def web_config(data: bytes) -> None:
    """Any text is a web configuration or has problems, each of one line."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        read = parse_web_config(text, NOWHERE)
    except ConfigError as error:
        _check_problems(error)
    else:
        assert all(":" not in name for name in read.users)
        values = "".join((*read.headers, *read.headers.values()))
        assert not {"\r", "\n", "\0"} & set(values)


def log_line(data: bytes) -> None:
    """Any message and field make one line, without the secret."""
    text = data.decode("utf-8", "surrogateescape")
    fields = {"name": "exporter.x", "levelno": logging.INFO, "msg": "%s", "args": (text,)}
    record = logging.makeLogRecord({**fields, "field": text})
    for form in ("logfmt", "json"):
        line = LineFormatter(form, Redactor(["wholly-secret"])).format(record)
        assert len(io.StringIO(line, newline=None).readlines()) == 1
        assert line.isprintable()
        assert "wholly-secret" not in line


def _check_problems(error: ConfigError) -> None:
    assert error.problems
    for problem in error.problems:
        assert "\n" not in str(problem), problem
        str(problem).encode()


def _page_seeds() -> list[bytes]:
    record = (
        '{"hpcjob_uuid":"1","job_status":"running","queue_name":"q","run_user":"u","core_limit":4,'
        '"submitted_time":"2021-08-19T14:06:01Z","started_time":1629382001,'
        '"modified_time":"2021-08-19 14:06:01.5+08:00"}'
    )
    other = '{"hpcjob_uuid":"2","job_status":" Finished","name":"n","hpq_name":7,"core_limit":"8"}'
    return [
        b'{"ret_code":0,"total_count":0,"hpc_job_set":null}',
        f'{{"ret_code":0,"total_count":"2","hpc_job_set":[{record},{other}]}}'.encode(),
        b'{"ret_code":1200,"message":"auth failure, [signature not matched]"}',
        b"<html>502 Bad Gateway</html>",
    ]


def _config_seeds() -> list[bytes]:
    small = b"""accounts: [{endpoint: "https://a.example", access_key_id: "${KEY}",
  secret_access_key: s, quota: {requests: 10, period: 1m, share: 0.1}}]
clusters: [{cluster_id: e, zone: z, timezone: Asia/Shanghai, interval: 1s}]
labels: {user: {mode: hash}}
collection: {history: 30d}
"""
    return [(ROOT / "config.example.yaml").read_bytes(), small]


def _web_config_seeds() -> list[bytes]:
    return [
        b"tls_server_config: {cert_file: c, key_file: k, client_auth_type: NoClientCert}\n",
        b"http_server_config:\n  http2: false\n  headers: {X-Frame-Options: deny}\n",
        b"basic_auth_users:\n  u: $2b$04$" + b"a" * 53 + b"\n",
    ]


_YAML_WORDS = ("&a ", "*a", "<<: *a", "!!python/object:os.system", "!!binary ", "|\n ", ">\n ",
               "? ", "- ", ": ", "%YAML 1.1\n", "---\n", "...\n", "~", "0x1f", ".inf", ".nan",
               "1e999", "true", "2001-01-01", "{", "}", "[", "]")  # fmt: skip
TARGETS = {
    "page": Target(
        page,
        _page_seeds,
        ("ret_code", "message", "total_count", "hpc_job_set", "hpcjob_uuid", "job_id", "job_status",
         "run_user", "queue_name", "core_limit", "submitted_time", "started_time",
         "modified_time", "hpq_name", "scheduler_queue_name", "hpcqueue_id", "1e308", "-0.0",
         "9999-12-31T23:59:59", "2021-W33-4", "null", "\\ud800", "\\u0000"),
    ),
    "config": Target(
        config,
        _config_seeds,
        ("accounts", "clusters", "endpoint", "access_key_id", "secret_access_key", "quota",
         "requests", "period", "share", "cluster_id", "zone", "timezone", "interval", "labels",
         "collection", "history", "state", "limit", "${KEY}", "${NUL}", "${", "$$", "https://",
         *_YAML_WORDS),
    ),
    "web_config": Target(
        web_config,
        _web_config_seeds,
        ("tls_server_config", "cert_file", "key_file", "client_ca_file", "client_auth_type",
         "min_version", "max_version", "http_server_config", "headers", "http2",
         "basic_auth_users", "X-Frame-Options", "$2y$10$", *_YAML_WORDS),
    ),
    "log_line": Target(
        log_line,
        lambda: [b"a line\r\n=\"x\"", b"?signature=abc&access_key_id=def", b"wholly-secret"],
        ("signature=", "access_key_id", "secret_access_key", "?", "wholly-secret", "\\x1b["),
    ),
}  # fmt: skip
