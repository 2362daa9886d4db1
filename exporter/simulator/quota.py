"""Requests per period, for one account."""

from collections import deque
from dataclasses import dataclass

from exporter.simulator.refusal import RefusalError


@dataclass(frozen=True, slots=True)
class Quota:
    """Requests that an account may make within any ``period_seconds``."""

    requests: int = 2000
    period_seconds: float = 3600.0
    until_midnight: bool = False
    """Once it is exceeded, the account stays locked out until the next midnight, UTC."""


class QuotaMeter:
    """What one account has used of its quota."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._used: deque[float] = deque()
        self._locked_until_at = 0.0

    def used(self, now_at: float) -> int:
        """Requests within the window that ends now."""
        while self._used and self._used[0] <= now_at - self.quota.period_seconds:
            self._used.popleft()
        return len(self._used)

    def take(self, now_at: float) -> None:
        """Count one request, or refuse it, which does not count."""
        if now_at < self._locked_until_at or self.used(now_at) >= self.quota.requests:
            if self.quota.until_midnight:
                midnight = (now_at // 86400 + 1) * 86400
                self._locked_until_at = max(self._locked_until_at, midnight)
            raise RefusalError(2500, "QuotaExceeded, requests per period")
        self._used.append(now_at)
