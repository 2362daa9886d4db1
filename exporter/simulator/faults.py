"""The plan that says which call meets which fault."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.simulator.fault_kinds import Fault, is_fault


@dataclass(slots=True)
class FaultRule:
    """When it goes wrong. All that is given must hold; nothing given means every call."""

    fault: Fault
    cluster_id: str | None = None
    skip: int = 0
    """Calls that are let through first."""
    next_calls: int | None = None
    """Calls that it strikes at most."""
    every: int = 1
    """Strikes every so many-th call."""
    probability: float = 1.0
    until_at: float | None = None
    seen: int = 0
    """Calls that it could have struck."""
    struck: int = 0

    def strikes(self, cluster_id: str, now_at: float, rng: random.Random) -> bool:
        """Whether this call meets the fault; counts it."""
        if self.cluster_id not in {None, cluster_id}:
            return False
        if self.until_at is not None and now_at >= self.until_at:
            return False
        if self.next_calls is not None and self.struck >= self.next_calls:
            return False
        self.seen += 1
        due = self.seen > self.skip and (self.seen - self.skip) % self.every == 0
        if not due or (self.probability < 1 and rng.random() >= self.probability):
            return False
        self.struck += 1
        return True


class FaultPlan:
    """The rules in force; the first that strikes decides."""

    def __init__(self, *, seed: int = 0) -> None:
        self.rules: list[FaultRule] = []
        self._rng = random.Random(seed)

    def add(
        self,
        name: str,
        *,
        seconds: float | None = None,
        cluster_id: str | None = None,
        skip: int = 0,
        next_calls: int | None = None,
        every: int = 1,
        probability: float = 1.0,
        until_at: float | None = None,
    ) -> FaultRule:
        """Put a rule in force. ``ValueError`` if there is no such fault, or never a call for it."""
        if not is_fault(name):
            raise ValueError(f"no such fault: {name}")
        finite = math.isfinite(seconds or 0) and math.isfinite(until_at or 0)
        if every < 1 or skip < 0 or not 0 <= probability <= 1 or (seconds or 0) < 0 or not finite:
            raise ValueError(f"fault {name}: a number is out of range")
        rule = FaultRule(
            Fault(name, seconds), cluster_id, skip, next_calls, every, probability, until_at
        )
        self.rules.append(rule)
        return rule

    def add_spec(self, spec: str, now_at: float) -> FaultRule:
        """A rule as a command line spells it: ``NAME[:key=value[,key=value...]]``.

        Keys: ``cluster``, ``skip``, ``next``, ``every``, ``probability``, ``for`` (seconds),
        ``seconds``. ``ValueError`` if it cannot be read.
        """
        name, _, rest = spec.partition(":")
        settings = dict(part.partition("=")[::2] for part in rest.split(",") if part)
        return self.add_settings({"name": name, **settings}, now_at)

    def add_settings(self, settings: Mapping[str, Any], now_at: float) -> FaultRule:
        """A rule as an object with ``name`` and the keys of ``add_spec``."""
        unknown = set(settings) - {"name", *_SETTINGS}
        if unknown:
            raise ValueError(f"unknown keys of a fault: {', '.join(sorted(unknown))}")
        given: dict[str, Any] = {}
        for key, (argument, convert) in _SETTINGS.items():
            if settings.get(key) is not None:
                try:
                    given[argument] = convert(settings[key])
                except (TypeError, ValueError) as error:
                    raise ValueError(f"{key}={settings[key]} is no number") from error
        if "for_seconds" in given:
            given["until_at"] = now_at + given.pop("for_seconds")
        return self.add(str(settings.get("name", "")), **given)

    def choose(
        self,
        cluster_id: str,
        now_at: float,
        *,
        among: Callable[[str], bool] = is_fault,
    ) -> Fault | None:
        """The fault that this call meets; rules of a fault that is not ``among`` pass it by."""
        for rule in self.rules:
            if among(rule.fault.name) and rule.strikes(cluster_id, now_at, self._rng):
                return rule.fault
        return None


_SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "cluster": ("cluster_id", str),
    "skip": ("skip", int),
    "next": ("next_calls", int),
    "every": ("every", int),
    "probability": ("probability", float),
    "for": ("for_seconds", float),
    "seconds": ("seconds", float),
}
