"""Clocks that stand still until told otherwise."""


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


class StoppableClock(ManualClock):
    """Stops whoever sleeps beyond a moment."""

    def __init__(self, now_at: float) -> None:
        super().__init__(now_at)
        self.stop_at = float("inf")
        self.slept: list[float] = []
        self.awake_by = self.monotonic

    def late_seconds(self) -> float:
        return self.monotonic - self.awake_by

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.awake_by = self.monotonic + max(0.0, seconds)
        super().sleep(max(0.0, seconds))
        return self.now >= self.stop_at

    def doze(self, seconds: float) -> bool:
        return self.sleep(seconds)

    def rouse(self) -> None:
        pass

    def stop(self) -> None:
        self.stop_at = float("-inf")
