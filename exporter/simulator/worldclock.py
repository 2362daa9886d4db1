"""The simulated world's time, which may run faster than real time, stand still or jump."""


class WorldClock:
    """Maps real moments to moments of the world."""

    def __init__(self, *, real_at: float, world_at: float, speed: float) -> None:
        """The world's time is ``world_at`` at the real moment ``real_at``; ``speed`` is world
        seconds per real second."""
        self._real_at = real_at
        self._world_at = world_at
        self.speed = speed

    def world_at(self, real_at: float) -> float:
        """The world's time at a real moment."""
        return self._world_at + max(0.0, real_at - self._real_at) * self.speed

    def set_speed(self, real_at: float, speed: float) -> None:
        """Go on from now with another speed; 0 stops the world."""
        self._world_at, self._real_at = self.world_at(real_at), real_at
        self.speed = speed

    def jump(self, real_at: float, seconds: float) -> None:
        """Skip ``seconds`` of the world."""
        self._world_at, self._real_at = self.world_at(real_at) + seconds, real_at
