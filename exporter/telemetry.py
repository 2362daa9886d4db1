"""The exporter's own counters: what its syncs and calls did. Handed to whoever does the work.

Every method may be called from any thread. A cluster or account has its series, at zero, from the
moment it is registered, so that a rate over the first failure is right.
"""

import threading
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric as Family

from exporter import catalog

AnyFamily = TypeVar("AnyFamily", Counter, Histogram)


class Telemetry:
    """Counts syncs and calls. ``families`` is what there is to expose."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._owner_label: dict[Counter | Histogram, str] = {}
        self._syncs = self._counter(catalog.SYNCS)
        self._sync_failures = self._counter(catalog.SYNC_FAILURES)
        self._sync_durations = self._histogram(catalog.SYNC_DURATION)
        self._corrections = self._counter(catalog.SYNC_CORRECTIONS)
        self._values_cut = self._counter(catalog.LABEL_VALUES_CUT)
        self._calls = self._counter(catalog.API_REQUESTS)
        self._call_failures = self._counter(catalog.API_FAILURES)
        self._call_durations = self._histogram(catalog.API_DURATION)
        self._lock = threading.Lock()
        self._series: dict[tuple[str, str], set[tuple[Counter | Histogram, tuple[str, ...]]]] = {}
        """What there is of each cluster and account, by (label name, its value); to forget it."""
        self._forgotten: set[str] = set()
        self._changes = 0

    def register_cluster(
        self, cluster_name: str, reasons: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> None:
        """Begin the cluster's series at zero; ``reasons`` are failures, and ``kinds`` corrections,
        that are known to be possible."""
        with self._lock:
            self._forgotten.discard(cluster_name)
            self._child(self._syncs, cluster_name)
            self._child(self._sync_durations, cluster_name)
            self._child(self._values_cut, cluster_name)
            for reason in reasons:
                self._child(self._sync_failures, cluster_name, reason)
            for kind in kinds:
                self._child(self._corrections, cluster_name, kind)

    def register_account(self, account: str, reasons: Sequence[str] = ()) -> None:
        """Begin the account's series at zero; ``reasons`` are failures known to be possible."""
        with self._lock:
            self._child(self._calls, account)
            self._child(self._call_durations, account)
            for reason in reasons:
                self._child(self._call_failures, account, reason)

    def api_call_sent(self, account: str) -> None:
        """A call, first try or retry, is about to be sent."""
        with self._lock:
            self._child(self._calls, account).inc()

    def api_call_failed(self, account: str, reason: str) -> None:
        """A call gave no usable page."""
        with self._lock:
            self._child(self._call_failures, account, reason).inc()

    def api_call_took(self, account: str, seconds: float) -> None:
        """A call ended, well or badly, after ``seconds``."""
        with self._lock:
            self._child(self._call_durations, account).observe(seconds)

    def sync_succeeded(self, cluster_name: str, seconds: float) -> None:
        """A sync ended well after ``seconds``."""
        with self._lock:
            self._sync_ended(cluster_name, seconds)

    def sync_failed(self, cluster_name: str, reason: str, seconds: float) -> None:
        """A sync failed after ``seconds``."""
        with self._lock:
            if self._sync_ended(cluster_name, seconds):
                self._child(self._sync_failures, cluster_name, reason).inc()

    def corrected(self, cluster_name: str, kind: str, jobs: int) -> None:
        """An audit put ``jobs`` jobs right that were wrong in the way ``kind``."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._child(self._corrections, cluster_name, kind).inc(jobs)

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        """An answer of the cloud had so many names that were too long for a label."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._child(self._values_cut, cluster_name).inc(values)

    def forget_cluster(self, cluster_name: str) -> None:
        """Drop the cluster's series. A straggling sync of it is ignored until it registers anew."""
        with self._lock:
            self._forgotten.add(cluster_name)
            self._forget("cluster_name", cluster_name)

    def forget_account(self, account: str) -> None:
        """Drop the account's series."""
        with self._lock:
            self._forget("account", account)

    @property
    def changes(self) -> int:
        """Grows with everything that is counted; equal values mean equal families."""
        return self._changes

    def families(self) -> list[Family]:
        """A copy of all families as they are now, in a fixed order, without ``_created``."""
        with self._lock:
            families = list(self._registry.collect())
        for family in families:
            family.samples = [s for s in family.samples if not s.name.endswith("_created")]
        return families

    def _sync_ended(self, cluster_name: str, seconds: float) -> bool:
        if cluster_name in self._forgotten:
            return False
        self._child(self._syncs, cluster_name).inc()
        self._child(self._sync_durations, cluster_name).observe(seconds)
        return True

    def _child(self, family: AnyFamily, *values: str) -> AnyFamily:
        self._changes += 1
        owner = (self._owner_label[family], values[0])
        self._series.setdefault(owner, set()).add((family, values))
        return family.labels(*values)

    def _forget(self, owner_label: str, owner: str) -> None:
        self._changes += 1
        for family, values in self._series.pop((owner_label, owner), set()):
            family.remove(*values)

    def _counter(self, metric: catalog.Metric) -> Counter:
        counter = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        self._owner_label[counter] = metric.labels[0]
        return counter

    def _histogram(self, metric: catalog.Metric) -> Histogram:
        histogram = Histogram(
            metric.name, metric.help, metric.labels,
            registry=self._registry, buckets=metric.buckets, unit=metric.unit,
        )  # fmt: skip
        self._owner_label[histogram] = metric.labels[0]
        return histogram
