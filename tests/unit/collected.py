"""What the collector makes of states."""

from prometheus_client.core import Metric as Family

from exporter import collector
from exporter.clock import Instant
from exporter.collector import AccountQuota, BuildInfo, ReloadStatus
from exporter.snapshot import ClusterState
from tests.unit.board_states import NOON_AT

BUILD = BuildInfo("1.2.3", "abc", "3.11.2")
RELOAD = ReloadStatus(successful=True, success_at=NOON_AT - 100)
QUOTAS = (
    AccountQuota("default", 1000, 12, on_disk=True),
    AccountQuota("full", 10, 1, on_disk=False),
    AccountQuota("memory", 10, 1),
)
NOW = Instant(NOON_AT + 10, 1010.0)


def collect(*states: ClusterState, now: Instant = NOW) -> dict[str, Family]:
    families = collector.collect(
        {state.identity.name: state for state in states},
        QUOTAS, BUILD, RELOAD, now=now,
    )  # fmt: skip
    return {family.name: family for family in families}


def values(family: Family, *labels: str) -> dict[tuple[str, ...], float]:
    found = {tuple(s.labels[label] for label in labels): s.value for s in family.samples}
    assert len(found) == len(family.samples)
    return found
