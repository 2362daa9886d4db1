"""Log lines: one line for each event, as logfmt or JSON, without secrets and without endless
repetition.

Fields are given by ``extra``: ``logger.info("cluster is back", extra={"cluster": "cfd"})`` becomes
``ts=2026-01-02T03:04:05.678Z level=info msg="cluster is back" cluster=cfd``.

Where standard error is systemd's journal, which has the moment and the level of each line in fields
of its own, logfmt leaves ``ts`` out, and each line begins with the priority that journald takes for
itself (sd-daemon(3)): ``journalctl -p warning`` works. JSON lines keep ``ts``, for who reads them.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from exporter.redaction import Redactor

LEVELS = ("debug", "info", "warn", "error")

_LEVEL_NUMBERS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_PRIORITIES = {"debug": 7, "info": 6, "warn": 4, "error": 3}  # syslog's
_CROWD_CLUSTERS = 20
_CROWD_SECONDS = 3600.0
"""The same is logged of so many clusters within this time."""
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "color_message",
}  # fmt: skip


class LineFormatter(logging.Formatter):
    """One record, one line, whatever is in it."""

    def __init__(
        self, form: Literal["logfmt", "json"], redactor: Redactor, *, journal: bool = False
    ) -> None:
        super().__init__()
        self._journal = journal
        self._form = form
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        fields = {key: self._clean(value) for key, value in _fields_of(record).items()}
        priority = f"<{_PRIORITIES[_level_word(record.levelno)]}>" if self._journal else ""
        if self._form == "json":
            return priority + one_line(json.dumps(fields, ensure_ascii=False, default=str))
        if self._journal:
            del fields["ts"]
        words = (f"{_bare_key(key)}={_logfmt(value)}" for key, value in fields.items())
        return priority + " ".join(words)

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return float(f"{value:.6g}") if abs(value) < 1e6 else value
        return self._redactor.clean(str(value))


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    moment = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, object] = {
        "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _level_word(record.levelno),
        "msg": _message(record),
    }
    if record.name.partition(".")[0] != "exporter":
        fields["logger"] = record.name
    fields |= {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        fields["stack"] = "".join(traceback.format_exception(error))
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a wrong format string must not cost the line
        return str(record.msg)


def _level_word(number: int) -> str:
    return next((word for word in reversed(LEVELS) if number >= _LEVEL_NUMBERS[word]), LEVELS[0])


def one_line(text: str) -> str:
    """Escape what could end the line or steer a terminal, as JSON escapes it."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else json.dumps(character)[1:-1] for character in text
    )


def _bare_key(key: str) -> str:
    return re.sub(r"[^\w.]", "_", key)


def _logfmt(value: object) -> str:
    if isinstance(value, str):
        bare = value.isprintable() and not re.search(r'[\s"=\\]', value)
        return value if value and bare else one_line(json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


class FewClusters(logging.Filter):
    """Lets the same be said of few clusters within an hour: what is wrong with an account is wrong with all of its
    clusters."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], tuple[float, set[str]]] = {}
        """By message and kind of failure, since when it is told, and of which clusters."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See ``logging.Filter``."""
        cluster, reason = (str(vars(record).get(name, "")) for name in ("cluster", "reason"))
        if not cluster:
            return True
        what = (str(record.msg), reason if reason.isidentifier() else "")  # others are sentences
        with self._lock:
            since, clusters = self._told.get(what, (record.created, set()))
            if record.created - since >= _CROWD_SECONDS:
                since, clusters = record.created, set()
            if cluster not in clusters and len(clusters) == _CROWD_CLUSTERS:
                return False
            if cluster not in clusters and len(clusters) == _CROWD_CLUSTERS - 1:
                record.more_clusters = "not logged within this hour"
            self._told[what] = (since, clusters | {cluster})
        return True


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say nothing: the base would print the record as it is, secrets and all."""


def set_up_logging(
    level: str, form: Literal["logfmt", "json"], redactor: Redactor, stream: TextIO | None = None
) -> None:
    """Send every log line of this process, the libraries' too, through ours to ``stream``.

    ``level`` is one of ``LEVELS``; ``stream`` is standard error if left out. What nobody caught
    is logged too, in place of the interpreter's own traceback. May be called again.
    """
    number = _LEVEL_NUMBERS[level]
    handler = _Handler(stream or sys.stderr)
    journal = is_journal(handler.stream, os.environ)
    handler.setFormatter(LineFormatter(form, redactor, journal=journal))
    if number > logging.DEBUG:  # else everything is asked for
        handler.addFilter(FewClusters())
    logging.basicConfig(level=number, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in ("urllib3", "requests", "uvicorn", "asyncio"):  # theirs are for developers
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    # uvicorn.access has a line for each scrape: only for those who ask for everything
    logging.getLogger("uvicorn.access").setLevel(
        logging.INFO if number <= logging.DEBUG else logging.WARNING
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_of_thread


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd's journal itself gets what is written, and no pipe or file in between."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("unexpected error", exc_info=(kind, error, trace))


def _log_uncaught_of_thread(args: Any) -> None:
    error = args.exc_value
    if error is None or issubclass(args.exc_type, SystemExit):
        return
    logging.getLogger(__name__).critical(
        "unexpected error, the thread has ended",
        exc_info=(args.exc_type, error, args.exc_traceback),
        extra={"thread_name": args.thread.name if args.thread else "?"},
    )
