"""What is worth a line of log now and then, and not each time."""


class Rarely:
    """Permits something at most once in ``every_seconds``. Time is handed in; for one thread."""

    def __init__(self, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._last_seconds: float | None = None

    def permits(self, now_seconds: float) -> bool:
        """Whether it may be said now; then it counts as said."""
        last = self._last_seconds
        if last is not None and now_seconds - last < self._every_seconds:
            return False
        self._last_seconds = now_seconds
        return True

    def forget(self) -> bool:
        """Permit it at once the next time; whether it had been said since the last ``forget``."""
        said, self._last_seconds = self._last_seconds is not None, None
        return said
