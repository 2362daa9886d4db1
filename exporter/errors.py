"""All errors of this program.

::

    ExporterError
    ├── ConfigError             the configuration cannot be used; has all problems at once
    ├── StateError              the state directory cannot be used (in use, not writable, foreign)
    │   ├── StateInUse          another exporter runs on it
    │   ├── LedgerUnreadable    a ledger is damaged, foreign, of another version or another cluster
    │   └── LedgerUnwritable    its disk is full or read-only
    ├── Stopped                 the daemon is stopping; unwinds a sync, is no failure
    ├── SyncError               the answers cannot be brought together into a true count
    └── ApiError                one call of the cloud API did not give a page
        ├── TransportError      no answer: timeout, connection, TLS, an answer too large or redirected
        ├── HttpStatusError     an HTTP status other than 200
        ├── RefusedError        ``ret_code`` other than 0, or a request that is not understood
        ├── PayloadError        an answer that cannot be understood or would make a wrong count
        └── BudgetExhausted     not sent: the account's share of the quota is used, or it is locked out

Each ``ApiError`` knows its ``reason`` (a short word, a label value in the metrics), whether trying
again soon can help (``retryable``), and what the operator should do (``advice``). No message holds
a secret, a signature or a job's content.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass


class ExporterError(Exception):
    """Base of all errors of this program."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong in a configuration file."""

    path: str
    """The key, as ``clusters[1].zone``; empty for the file as a whole."""
    message: str
    line: int | None = None
    """Line in the file, from 1, where it is known."""

    def __str__(self) -> str:
        """One line, whatever names and texts of the file are in it."""
        where = f" (line {self.line})" if self.line else ""
        text = f"{self.path}: {self.message}{where}" if self.path else f"{self.message}{where}"
        return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


class ConfigError(ExporterError):
    """The configuration cannot be used. ``problems`` has every one of its faults."""

    def __init__(self, problems: Sequence[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StateError(ExporterError):
    """The state directory or a file in it cannot be used."""

    reason = "state"
    advice = ""


class StateInUse(StateError):  # noqa: N818 - says what is the matter
    """Another exporter runs on the directory."""


class LedgerUnreadable(StateError):  # noqa: N818 - says what is the matter
    """The file is damaged, of another program, of a newer version, or of another cluster."""


class LedgerUnwritable(StateError):  # noqa: N818 - says what is the matter
    """The disk is full or read-only: the transaction was undone, the file is as it was."""

    advice = (
        "Make room on the disk of state.path, let the exporter write there, or raise its limit of open"
        " files: the reason tells which."
    )


class Stopped(ExporterError):  # noqa: N818 - an unwinding, not a failure
    """The program is stopping."""


class SyncError(ExporterError):
    """Answers came, but they do not join into a true count; the next sync tries anew."""

    def __init__(self, reason: str, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.advice = advice


class ApiError(ExporterError):
    """One call of the cloud API did not give a page."""

    def __init__(self, reason: str, message: str, *, retryable: bool, advice: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable
        self.advice = advice


class TransportError(ApiError):
    """No usable answer at all."""


class HttpStatusError(ApiError):
    """The server, or a gateway before it, answered with an HTTP error."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retryable: bool,
        advice: str,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(reason, message, retryable=retryable, advice=advice)
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to wait."""


class RefusedError(ApiError):
    """The API answered with a ``ret_code`` other than 0 (API reference, section 4), or, as if it were
    1100, with a problem document about the request, or, as if it were 5000, with HTTP status 500."""

    def __init__(
        self, ret_code: int, reason: str, message: str, *, retryable: bool, advice: str
    ) -> None:
        super().__init__(reason, message, retryable=retryable, advice=advice)
        self.ret_code = ret_code


class PayloadError(ApiError):
    """An answer that is no job list, or one from which a true count cannot be made."""


class BudgetExhausted(ApiError):  # noqa: N818 - reads better than BudgetExhaustedError
    """The call was not sent: it would go beyond the account's share, or the account is locked out."""

    def __init__(self, reason: str, message: str, *, until_at: float, advice: str) -> None:
        super().__init__(reason, message, retryable=False, advice=advice)
        self.until_at = until_at
        """When a call may be tried again."""
