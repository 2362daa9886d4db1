"""A request that the API refuses."""

from typing import Any, Literal

Refused = Literal["1100", "1101", "5000", "problem"]
"""How a server refuses a request whose parameters it does not like: by a ``ret_code``, or by a
problem document."""


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
    """The request is answered with HTTP 400 and a problem document, which has no ``ret_code``."""

    http_status = 400

    def __init__(self, message: str) -> None:
        super().__init__(1100, message)

    @property
    def outcome(self) -> str:
        """In a word, for the journal."""
        return f"http-{self.http_status}"

    def as_object(self, action: str) -> dict[str, Any]:
        """The problem document."""
        return {
            "type": "about:blank",
            "title": "Bad Request",
            "detail": self.message,
            "status": self.http_status,
        }


def refusal(how: Refused, message: str) -> RefusalError:
    """The error to be raised."""
    return ProblemError(message) if how == "problem" else RefusalError(int(how), message)
