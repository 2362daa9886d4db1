"""The profile: how one server is known to behave, each trait with its evidence. Pure.

The cloud's documentation, its own description and its console contradict each other, so nothing of
them is taken for granted. *Calibration* (``sync/calibration.py``) finds each trait in a few calls;
an answer that contradicts one has it found anew, later and later if that happens again and again.
The profile is kept in the cluster's ledger, shown on the landing page and on ``/metrics``.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

TraitName = Literal[
    "status_filter", "order", "total_count", "page_size", "depth", "zone", "lag", "counters"
]
TRAITS: tuple[TraitName, ...] = get_args(TraitName)

UNKNOWN = "unknown"
NONE = "none"
DOCUMENTED: Mapping[TraitName, frozenset[str]] = {
    "status_filter": frozenset({"both", "jobs_status"}),
    "order": frozenset({"change"}),
    "total_count": frozenset({"filtered"}),
    "page_size": frozenset({"100"}),
    "depth": frozenset({"unlimited"}),
    "zone": frozenset({"stamped", "utc", "configured"}),
    "lag": frozenset({"0"}),
    "counters": frozenset({"follow"}),
}
"""What each trait is according to the cloud's documentation, or as one would wish where that says
nothing."""
NEEDED_AT_ONCE = frozenset({"depth", "page_size"})
"""Traits without which no call can be made well: they are found anew at once, always."""
LESSER = frozenset({NONE, "submission", "default"})
"""Values with which syncs are dearer; so is a depth that is a number."""
LESSER_PAUSE_SECONDS = 3600.0
"""After so long it is tried again whether the server has better; doubled for each time but the first
that it had, and lost it."""
KNOWN_DEPTHS = (200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000)
"""How many jobs of a list servers are known to show, or might."""
LEAST_LIMIT = 5_000
"""From here on, a list that ends just where servers may stop showing or counting jobs may go on."""
ASSUMED_ZONE_SECONDS = 8 * 3600
LONGEST_PAUSE_SECONDS = 86400.0
_MOST_DOUBLINGS = 10


def zone_name(seconds: int) -> str:
    """How far a zone is ahead of UTC, as ``+08:00``; ``utc`` for 0. Pure."""
    if not seconds:
        return "utc"
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}"


class Trait(msgspec.Struct, frozen=True):
    """One thing that a server does, in words that an operator reads."""

    value: str = UNKNOWN
    evidence: str = ""
    at: float = 0.0
    """The server's time when it was found, or contradicted."""
    retry_at: float = 0.0
    """Before this moment it is not calibrated anew."""
    contradictions: int = 0
    """How often in a row an answer has contradicted what was found."""
    was: str = ""
    """What was found before an answer contradicted it."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one server is known to do."""

    status_filter: Trait = Trait()
    """The name of the status filter: ``both`` (both are sent, and it filters), ``jobs_status``,
    ``job_status``, ``none``."""
    order: Trait = Trait()
    """``change`` (sorts by the last change, and by submission, too), ``change_only``,
    ``submission``, ``default`` (by submission where no order is asked for), ``none``."""
    total_count: Trait = Trait()
    """What it counts in a filtered answer: ``filtered``, ``cluster``; ``none``: it is not told, or
    not to be believed in any answer."""
    page_size: Trait = Trait()
    """The most jobs that an answer holds."""
    depth: Trait = Trait()
    """How deep an offset may reach: a number of jobs; ``unlimited`` as far as is known."""
    zone: Trait = Trait()
    """Of times that carry none: ``stamped`` (all carry one), ``utc``, ``+08:00`` and the like;
    ``configured``, ``contradicted`` (by what jobs do) where the configuration says it."""
    lag: Trait = Trait()
    """How far, in seconds, an answer may be behind an earlier one."""
    counters: Trait = Trait()
    """Of jobs, in cluster/list: ``follow`` the list, so that a cluster is asked when they move."""

    def found(self, name: TraitName, value: str, evidence: str, now_at: float) -> "Profile":
        """With a trait as calibration has found it."""
        known: Trait = getattr(self, name)
        if known.value == value and not _is_lesser(name, value) and known.evidence:
            return self
        retry_at = known.retry_at
        if _is_lesser(name, value):
            doublings = min(max(0, known.contradictions - 1), _MOST_DOUBLINGS)
            pause = LESSER_PAUSE_SECONDS * 2**doublings
            retry_at = now_at + min(pause, LONGEST_PAUSE_SECONDS)
        trait = Trait(value, evidence, now_at, retry_at, known.contradictions)
        return msgspec.structs.replace(self, **{name: trait})

    def contradicted(
        self, name: TraitName, evidence: str, now_at: float, pause_seconds: float
    ) -> "Profile":
        """With a trait to be found anew: at once if this is the first time in a day, else after
        ``pause_seconds``, doubled each time, up to a day."""
        known: Trait = getattr(self, name)
        often = 0 <= now_at - known.at < LONGEST_PAUSE_SECONDS and known.contradictions
        times = known.contradictions + 1 if often else 1
        at_once = times == 1 or name in NEEDED_AT_ONCE
        pause = 0.0 if at_once else pause_seconds * 2 ** min(times - 2, _MOST_DOUBLINGS)
        retry_at = now_at + min(pause, LONGEST_PAUSE_SECONDS)
        was = known.was if known.value == UNKNOWN else known.value
        trait = Trait(UNKNOWN, evidence, now_at, retry_at, times, was)
        return msgspec.structs.replace(self, **{name: trait})

    def due(self, name: TraitName, now_at: float) -> bool:
        """Whether a trait is to be calibrated now."""
        trait: Trait = getattr(self, name)
        # A retry further away than the longest pause was written by a clock that was wrong.
        waits = 0 < trait.retry_at - now_at <= LONGEST_PAUSE_SECONDS
        return (trait.value == UNKNOWN or _is_lesser(name, trait.value)) and not waits

    def undocumented(self) -> dict[TraitName, Trait]:
        """The traits that were found to be otherwise than documented, or that were contradicted and
        have not been found anew."""
        traits: dict[TraitName, Trait] = {name: getattr(self, name) for name in TRAITS}
        return {
            name: trait for name, trait in traits.items()
            if trait.evidence and trait.value not in DOCUMENTED[name]
        }  # fmt: skip

    @property
    def lag_seconds(self) -> float:
        """How far an answer may be behind."""
        return float(self.lag.value) if self.lag.value != UNKNOWN else 0.0

    @property
    def zone_seconds(self) -> int:
        """How far times without a zone are ahead of UTC; the cloud's home while it is not known."""
        value = self.zone.value
        if value == "utc":
            return 0
        if value[:1] not in ("+", "-"):
            return ASSUMED_ZONE_SECONDS
        seconds = int(value[1:3]) * 3600 + int(value[4:]) * 60
        return seconds if value[0] == "+" else -seconds

    @property
    def most_offset(self) -> float:
        """Offsets from here on show nothing; infinite where no such limit is known."""
        return float(self.depth.value) if self.depth.value.isdigit() else float("inf")


def _is_lesser(name: TraitName, value: str) -> bool:
    return value in LESSER or (name == "depth" and value.isdigit())
