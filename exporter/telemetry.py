"""The exporter's own counters: what its syncs and calls did. Passed to whoever does the work.

Every method may be called from any thread. A cluster or account has its series, at zero, from the
moment it is registered, so that a rate over the first failure is right. Each has them in a registry of
its own, beside a number that grows with everything that is counted of it: so whoever shows them need
look only at those of which something was.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample

from exporter import catalog


class Owner(NamedTuple):
    """The cluster or account of which something is counted."""

    label: str
    """``cluster_name`` or ``account``: the first label of its metrics."""
    name: str


class _Counts:
    """What is counted of one owner."""

    def __init__(self, owner: Owner, ticks: Iterator[int]) -> None:
        self.changes = next(ticks)
        self._ticks = ticks
        self._name = owner.name
        self._registry = CollectorRegistry()
        self._counters: dict[catalog.Metric, Counter] = {}
        self._histograms: dict[catalog.Metric, Histogram] = {}
        self._metrics = [each for each in catalog.TELEMETRY if each.labels[0] == owner.label]
        for metric in self._metrics:
            name, text, labels, registry = metric.name, metric.help, metric.labels, self._registry
            if metric.type == "counter":
                self._counters[metric] = Counter(name, text, labels, registry=registry)
            else:
                self._histograms[metric] = Histogram(
                    name, text, labels, registry=registry, buckets=metric.buckets, unit=metric.unit
                )

    def counter(self, metric: catalog.Metric, *values: str) -> Counter:
        """The counter with these further label values; it begins at zero."""
        self.changes = next(self._ticks)
        return self._counters[metric].labels(self._name, *values)

    def histogram(self, metric: catalog.Metric) -> Histogram:
        """The histogram; it begins at zero."""
        self.changes = next(self._ticks)
        return self._histograms[metric].labels(self._name)

    def samples(self) -> dict[catalog.Metric, list[Sample]]:
        """Of each metric, without ``_created``."""
        return {
            metric: [each for each in family.samples if not each.name.endswith("_created")]
            for metric, family in zip(self._metrics, self._registry.collect(), strict=True)
        }


class Telemetry:
    """Counts syncs and calls. ``families`` is what there is to expose, ``samples`` one owner's part."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Owner, _Counts] = {}
        self._forgotten: set[str] = set()
        self._ticks = count()
        """Of all owners: one that comes again is not taken for what it was."""

    def register_cluster(
        self, cluster_name: str, reasons: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> None:
        """Begin the cluster's series at zero; ``reasons`` are failures, and ``kinds`` corrections,
        that are known to be possible."""
        with self._lock:
            self._forgotten.discard(cluster_name)
            counts = self._of_cluster(cluster_name)
            counts.counter(catalog.SYNCS)
            counts.histogram(catalog.SYNC_DURATION)
            counts.counter(catalog.LABEL_VALUES_CUT)
            for reason in reasons:
                counts.counter(catalog.SYNC_FAILURES, reason)
            for kind in kinds:
                counts.counter(catalog.SYNC_CORRECTIONS, kind)

    def register_account(self, account: str, reasons: Sequence[str] = ()) -> None:
        """Begin the account's series at zero; ``reasons`` are failures known to be possible."""
        with self._lock:
            counts = self._of_account(account)
            counts.counter(catalog.API_REQUESTS)
            counts.histogram(catalog.API_DURATION)
            for reason in reasons:
                counts.counter(catalog.API_FAILURES, reason)

    def api_call_sent(self, account: str) -> None:
        """A call, first try or retry, is about to be sent."""
        with self._lock:
            self._of_account(account).counter(catalog.API_REQUESTS).inc()

    def api_call_failed(self, account: str, reason: str) -> None:
        """A call gave no usable page."""
        with self._lock:
            self._of_account(account).counter(catalog.API_FAILURES, reason).inc()

    def api_call_took(self, account: str, seconds: float) -> None:
        """A call ended, well or badly, after ``seconds``."""
        with self._lock:
            self._of_account(account).histogram(catalog.API_DURATION).observe(seconds)

    def sync_succeeded(self, cluster_name: str, seconds: float) -> None:
        """A sync ended well after ``seconds``."""
        with self._lock:
            self._sync_ended(cluster_name, seconds)

    def sync_failed(self, cluster_name: str, reason: str, seconds: float) -> None:
        """A sync failed after ``seconds``."""
        with self._lock:
            if self._sync_ended(cluster_name, seconds):
                self._of_cluster(cluster_name).counter(catalog.SYNC_FAILURES, reason).inc()

    def corrected(self, cluster_name: str, kind: str, jobs: int) -> None:
        """An audit put ``jobs`` jobs right that were wrong in the way ``kind``."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._of_cluster(cluster_name).counter(catalog.SYNC_CORRECTIONS, kind).inc(jobs)

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        """An answer of the cloud had so many names that were too long for a label."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._of_cluster(cluster_name).counter(catalog.LABEL_VALUES_CUT).inc(values)

    def forget_cluster(self, cluster_name: str) -> None:
        """Drop the cluster's series. A straggling sync of it is ignored until it registers anew."""
        with self._lock:
            self._forgotten.add(cluster_name)
            self._counts.pop(Owner("cluster_name", cluster_name), None)

    def forget_account(self, account: str) -> None:
        """Drop the account's series."""
        with self._lock:
            self._counts.pop(Owner("account", account), None)

    def changes(self) -> dict[Owner, int]:
        """Of each owner, in a fixed order, what grows with everything that is counted of it."""
        with self._lock:
            return {owner: counts.changes for owner, counts in self._counts.items()}

    def samples(self, owner: Owner) -> Mapping[catalog.Metric, Sequence[Sample]]:
        """One owner's part of each family; nothing if it has been forgotten."""
        with self._lock:
            counts = self._counts.get(owner)
            return {} if counts is None else counts.samples()

    def families(self) -> list[Family]:
        """A copy of all families as they are now, in a fixed order, without ``_created``."""
        families = {metric: empty_family(metric) for metric in catalog.TELEMETRY}
        for owner in self.changes():
            for metric, samples in self.samples(owner).items():
                families[metric].samples += samples
        return list(families.values())

    def _sync_ended(self, cluster_name: str, seconds: float) -> bool:
        if cluster_name in self._forgotten:
            return False
        counts = self._of_cluster(cluster_name)
        counts.counter(catalog.SYNCS).inc()
        counts.histogram(catalog.SYNC_DURATION).observe(seconds)
        return True

    def _of_cluster(self, name: str) -> _Counts:
        return self._of(Owner("cluster_name", name))

    def _of_account(self, name: str) -> _Counts:
        return self._of(Owner("account", name))

    def _of(self, owner: Owner) -> _Counts:
        counts = self._counts.get(owner)
        if counts is None:
            counts = self._counts[owner] = _Counts(owner, self._ticks)
        return counts


def empty_family(metric: catalog.Metric) -> Family:
    """The metric of the catalog as an empty family."""
    return Family(metric.name.removesuffix("_total"), metric.help, metric.type, metric.unit)
