"""A clock that stands still until told otherwise."""


class ManualClock:
    """Implements ``exporter.clock.Clock``; sleeping advances it."""

    def __init__(self, now_at: float) -> None:
        self.now = now_at
        self.monotonic = 1000.0

    def now_at(self) -> float:
        return self.now

    def monotonic_seconds(self) -> float:
        return self.monotonic

    def sleep(self, seconds: float) -> bool:
        self.advance(seconds)
        return False

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds
