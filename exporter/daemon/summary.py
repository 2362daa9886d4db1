"""The one line an hour for each account that says how it is doing. Pure; time is passed in.

While nothing happens, it is all that is logged at level info.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from exporter import catalog
from exporter.collector import AccountQuota
from exporter.snapshot import ClusterState

SUMMARY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account and its clusters stand."""

    account: str
    clusters: int
    up: int
    """Clusters whose last sync succeeded."""
    histories_complete: int
    """Clusters whose ended jobs are all counted."""
    calls_used: int
    """Of the ``calls_allowed`` in the quota's window that ends now."""
    calls_allowed: int
    syncs: int
    """Since the start, as are the next two."""
    failed_syncs: int
    corrections: int


class Sample(Protocol):
    """One value of a metric family."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def value(self) -> float: ...


def standings(
    clusters: Iterable[ClusterState], quotas: Iterable[AccountQuota], samples: Iterable[Sample]
) -> list[Standing]:
    """Bring together what the board, the budgets and the telemetry say; one for each account."""
    by_account: dict[str, list[ClusterState]] = {}
    for state in clusters:
        by_account.setdefault(state.identity.account, []).append(state)
    totals: dict[tuple[str, str], int] = {}
    for sample in samples:
        key = (sample.name, sample.labels.get("cluster_name", ""))
        totals[key] = totals.get(key, 0) + int(sample.value)

    def total(metric: catalog.Metric, states: Sequence[ClusterState]) -> int:
        return sum(totals.get((metric.name, state.identity.name), 0) for state in states)

    found = []
    for quota in quotas:
        states = by_account.get(quota.account, [])
        complete = [state.snapshot for state in states if state.snapshot]
        found.append(
            Standing(
                account=quota.account,
                clusters=len(states),
                up=sum(state.up for state in states),
                histories_complete=sum(snapshot.history_complete for snapshot in complete),
                calls_used=round(quota.used),
                calls_allowed=round(quota.allowed),
                syncs=total(catalog.SYNCS, states),
                failed_syncs=total(catalog.SYNC_FAILURES, states),
                corrections=total(catalog.SYNC_CORRECTIONS, states),
            )
        )
    return found


class Summary:
    """When the next summary is due, and what it says of the time since the last one."""

    def __init__(self, read: Callable[[], Iterable[Standing]], now_seconds: float) -> None:
        self._read = read
        self._due_seconds = now_seconds + SUMMARY_SECONDS
        self._before: Mapping[str, Standing] = {}

    def wait_seconds(self, now_seconds: float) -> float:
        """How long until it is due; 0 if it is."""
        return max(0.0, self._due_seconds - now_seconds)

    def lines(self, now_seconds: float) -> list[dict[str, object]]:
        """The fields of each line if it is due, else nothing."""
        if now_seconds < self._due_seconds:
            return []
        self._due_seconds = now_seconds + SUMMARY_SECONDS
        current = {each.account: each for each in self._read()}
        lines = [_fields(each, self._before.get(each.account)) for each in current.values()]
        self._before = current
        return lines


def _fields(now: Standing, before: Standing | None) -> dict[str, object]:
    def since(name: str) -> int:
        grown = int(getattr(now, name)) - int(getattr(before, name, 0))
        return max(0, grown)  # clusters may have gone, and their counters with them

    return {
        "account": now.account,
        "clusters": now.clusters,
        "up": now.up,
        "histories_complete": now.histories_complete,
        "calls_used": now.calls_used,
        "calls_allowed": now.calls_allowed,
        "syncs": since("syncs"),
        "failed_syncs": since("failed_syncs"),
        "corrections": since("corrections"),
    }
