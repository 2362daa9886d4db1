"""How often a failed call is tried again, after which wait, and how far apart calls are sent. Pure.

Every retry costs quota, and a sync that cannot succeed has to say so within three timeouts and ten
seconds. So retries are allowed to a whole sync, not to each of its calls; calls that succeed earn
a few back, so that a long sync survives rare faults.
"""

from dataclasses import dataclass, replace

LEAST_APART_SECONDS, MOST_APART_SECONDS = 0.5, 4.0
"""Between two calls, once the server has refused a burst of them. If it asks for a longer wait, the sync fails, and
the next one tries."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The rule. With the defaults, two retries wait for 8 s at most."""

    retries: int = 2
    """Retries that a sync begins with, and the most that it can have in hand."""
    first_wait_seconds: float = 2.0
    factor: float = 3.0
    successes_per_retry: int = 20
    """Successful calls that earn one retry back."""

    def wait_seconds(self, retry: int, jitter: float) -> float:
        """The wait before retry number ``retry`` (from 1) of one call.

        ``jitter`` is a sample from [0, 1); the wait is between half and the whole of its step, so
        that clients that failed together do not come back together.
        """
        step = self.first_wait_seconds * self.factor ** (retry - 1)
        return step * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class Pace:
    """How far apart a cluster's calls are sent: at once, unless the server refuses bursts (HTTP status 429). Then
    further apart at each refusal, and slowly closer with each answer. Other clusters are not kept waiting."""

    apart_seconds: float = 0.0
    next_seconds: float = 0.0
    """When the next call may be sent, by the monotonic clock."""

    def refused(self) -> "Pace":
        """After HTTP status 429."""
        apart_seconds = max(LEAST_APART_SECONDS, 2 * self.apart_seconds)
        return replace(self, apart_seconds=min(MOST_APART_SECONDS, apart_seconds))

    def answered(self) -> "Pace":
        """After an answer."""
        closer_seconds = self.apart_seconds * 0.99
        if closer_seconds < LEAST_APART_SECONDS / 4:
            closer_seconds = 0.0
        return replace(self, apart_seconds=closer_seconds)

    def sent(self, at_seconds: float) -> "Pace":
        """After a call that was sent at this moment of the monotonic clock."""
        return replace(self, next_seconds=at_seconds + self.apart_seconds)


@dataclass(frozen=True, slots=True)
class Allowance:
    """The retries that one sync has left."""

    policy: RetryPolicy
    left: int
    successes: int = 0

    @classmethod
    def of(cls, policy: RetryPolicy) -> "Allowance":
        """What a sync begins with."""
        return cls(policy, policy.retries)

    def spent(self) -> "Allowance":
        """After one retry."""
        return replace(self, left=self.left - 1)

    def succeeded(self) -> "Allowance":
        """After one successful call."""
        if self.left >= self.policy.retries:
            return self
        if self.successes + 1 < self.policy.successes_per_retry:
            return replace(self, successes=self.successes + 1)
        return replace(self, left=self.left + 1, successes=0)
