"""Requests that the API refuses."""

from collections.abc import Mapping
from typing import Any, Literal

DEFAULT_LIMIT = 10
_MOST_DIGITS = 9
_TITLES = {400: "Bad Request", 500: "Internal Server Error"}
"""Of problem documents, by their HTTP status."""

Refused = Literal["1100", "1101", "5000", "problem", "problem-500"]
"""How a server refuses a request whose parameters it does not like: by a ``ret_code``, or by a
problem document with HTTP 400, or, where it fails at them, 500."""


class RefusalError(Exception):
    """The request is answered with a ``ret_code`` other than 0."""

    http_status = 200

    def __init__(self, ret_code: int, message: str) -> None:
        super().__init__(message)
        self.ret_code = ret_code
        self.message = message

    @property
    def outcome(self) -> str:
        """In a word, for the journal."""
        return str(self.ret_code)

    def as_object(self, action: str) -> dict[str, Any]:
        """What the API answers, as JSON."""
        return {"action": action, "ret_code": self.ret_code, "message": self.message}


class ProblemError(RefusalError):
    """The request is answered with a problem document, which has no ``ret_code``."""

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(1100, message)
        self.http_status = http_status

    @property
    def outcome(self) -> str:
        """In a word, for the journal."""
        return f"http-{self.http_status}"

    def as_object(self, action: str) -> dict[str, Any]:
        """The problem document."""
        return {
            "type": "about:blank",
            "title": _TITLES[self.http_status],
            "detail": self.message,
            "status": self.http_status,
        }


def refusal(how: Refused, message: str) -> RefusalError:
    """The error to be raised."""
    kind, _, status = how.partition("-")
    if kind == "problem":
        return ProblemError(int(status or 400), message)
    return RefusalError(int(how), message)


def whole_number(params: Mapping[str, str], name: str, default: int) -> int:
    """A parameter that has to be a whole number. Raises ``RefusalError``."""
    text = params.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise RefusalError(1100, f"InvalidRequestFormat, [{name}] should be an integer")
    return int(text)
