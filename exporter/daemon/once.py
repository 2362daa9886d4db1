"""``collect``: one look at every cluster, and no daemon."""

import random
from collections.abc import Callable, Mapping

from exporter.api.client import ClusterJobs
from exporter.clock import SystemClock
from exporter.config import ClusterConfig, Config
from exporter.daemon.accounts import cluster_calls, open_account, publisher_of, sync_settings
from exporter.errors import ApiError, SyncError
from exporter.ledger.directory import StateDirectory
from exporter.ledger.store import open_ledger
from exporter.redaction import Redactor
from exporter.snapshot import ClusterState, SyncFailure
from exporter.sync.asking import Ask, advance
from exporter.sync.replica import Replica
from exporter.telemetry import Telemetry

Progressing = Callable[[str, int, int | None], None]


def collect(config: Config, progressing: Progressing) -> Mapping[str, ClusterState]:
    """Look once at every cluster, whole. A state for each, with the failure where there is one.

    It keeps nothing but the count of calls, which it shares with a daemon on the same state.
    """
    clock = SystemClock()
    state = StateDirectory(config.state.path)
    accounts = {}
    for each in config.accounts:
        accounts[each.name] = open_account(each, state, Telemetry(), clock, Redactor())
    states = {}
    for cluster in config.clusters:
        calls = cluster_calls(accounts[cluster.account].client, cluster)
        states[cluster.name] = _look(config, cluster, calls, clock, progressing)
    return states


def _look(
    config: Config,
    cluster: ClusterConfig,
    calls: ClusterJobs,
    clock: SystemClock,
    progressing: Progressing,
) -> ClusterState:
    started_at = clock.now_at()
    ledger = open_ledger(None, cluster.name)
    settings = sync_settings(config, cluster)
    asking = Replica(ledger, settings, random.Random()).full_look(started_at)  # noqa: S311
    calls.begin_sync()
    try:
        with ledger.transaction():
            step = advance(asking, None)
            while isinstance(step, Ask):
                try:
                    answer = calls.list_jobs(step.query)
                except ApiError as error:
                    step = advance(asking, error)
                else:
                    step = advance(asking, answer)
                progressing(cluster.name, ledger.size, ledger.progress.expected)
            snapshot = publisher_of(config).snapshot(ledger, started_at)
    except (ApiError, SyncError) as error:
        failure = SyncFailure(error.reason, str(error), error.advice, clock.now_at())
        return ClusterState(cluster.identity, tried=True, failure=failure)
    finally:
        ledger.close()
    return ClusterState(
        cluster.identity,
        tried=True,
        up=True,
        snapshot=snapshot,
        last_success_at=started_at,
        strategy=step.value.strategy,
        effective_interval_seconds=cluster.interval_seconds,
    )
