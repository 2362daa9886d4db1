"""A request that the API refuses."""

from typing import Any


class RefusalError(Exception):
    """The request is answered with a ``ret_code`` other than 0."""

    def __init__(self, ret_code: int, message: str) -> None:
        super().__init__(message)
        self.ret_code = ret_code
        self.message = message

    def as_object(self, action: str) -> dict[str, Any]:
        """What the API answers, as JSON."""
        return {"action": action, "ret_code": self.ret_code, "message": self.message}
