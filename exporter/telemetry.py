"""The exporter's own counters: what its syncs and calls did. Passed to whoever does the work.

Every method may be called from any thread. A cluster or account has its series, at zero, from the
moment it is registered, so that a rate over the first failure is right. Each has a number that grows
with everything that is counted of it: so whoever shows them need look only at those of which something
was.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, count
from math import inf
from typing import NamedTuple

from prometheus_client.core import Metric as Family
from prometheus_client.core import Sample
from prometheus_client.utils import floatToGoString

from exporter import catalog


class Owner(NamedTuple):
    """The cluster or account of which something is counted."""

    label: str
    """``cluster_name`` or ``account``: the first label of its metrics."""
    name: str


class _Counts:
    """What is counted of one owner. (The client's own counters would take ten times the memory.)"""

    def __init__(self, owner: Owner, ticks: Iterator[int]) -> None:
        self.changes = next(ticks)
        self._ticks = ticks
        self._owner = owner
        self._counters: dict[catalog.Metric, dict[tuple[str, ...], float]] = {}
        """By metric and further label values."""
        self._buckets: dict[catalog.Metric, list[int]] = {}
        """Of each histogram; not cumulative, one more than it has bounds."""
        self._seconds: dict[catalog.Metric, float] = {}
        """The sum of each histogram."""

    def count(self, metric: catalog.Metric, *values: str, more: float = 1.0) -> None:
        """Add to the counter with these further label values; it begins at zero."""
        self.changes = next(self._ticks)
        numbers = self._counters.setdefault(metric, {})
        numbers[values] = numbers.get(values, 0.0) + more

    def observe(self, metric: catalog.Metric, *seconds: float) -> None:
        """Add to the histogram; it begins empty."""
        self.changes = next(self._ticks)
        buckets = self._buckets.setdefault(metric, [0] * (len(metric.buckets) + 1))
        for each in seconds:
            buckets[bisect_left(metric.buckets, each)] += 1
        self._seconds[metric] = self._seconds.get(metric, 0.0) + sum(seconds)

    def samples(self) -> dict[catalog.Metric, list[Sample]]:
        """Of each metric."""
        label, name = self._owner
        found: dict[catalog.Metric, list[Sample]] = {}
        for metric, numbers in self._counters.items():
            found[metric] = [
                Sample(metric.name, dict(zip(metric.labels, (name, *values), strict=True)), number)
                for values, number in numbers.items()
            ]
        for metric, buckets in self._buckets.items():
            bounds, counts = map(floatToGoString, (*metric.buckets, inf)), accumulate(buckets)
            found[metric] = [
                *(
                    Sample(f"{metric.name}_bucket", {label: name, "le": bound}, float(number))
                    for bound, number in zip(bounds, counts, strict=True)
                ),
                Sample(f"{metric.name}_count", {label: name}, float(sum(buckets))),
                Sample(f"{metric.name}_sum", {label: name}, self._seconds[metric]),
            ]
        return found


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
            counts.count(catalog.SYNCS, more=0)
            counts.observe(catalog.SYNC_DURATION)
            counts.count(catalog.LABEL_VALUES_CUT, more=0)
            for reason in reasons:
                counts.count(catalog.SYNC_FAILURES, reason, more=0)
            for kind in kinds:
                counts.count(catalog.SYNC_CORRECTIONS, kind, more=0)

    def register_account(self, account: str, reasons: Sequence[str] = ()) -> None:
        """Begin the account's series at zero; ``reasons`` are failures known to be possible."""
        with self._lock:
            counts = self._of_account(account)
            counts.count(catalog.API_REQUESTS, more=0)
            counts.observe(catalog.API_DURATION)
            for reason in reasons:
                counts.count(catalog.API_FAILURES, reason, more=0)

    def api_call_sent(self, account: str) -> None:
        """A call, first try or retry, is about to be sent."""
        with self._lock:
            self._of_account(account).count(catalog.API_REQUESTS)

    def api_call_failed(self, account: str, reason: str) -> None:
        """A call gave no usable page."""
        with self._lock:
            self._of_account(account).count(catalog.API_FAILURES, reason)

    def api_call_took(self, account: str, seconds: float) -> None:
        """A call ended, well or badly, after ``seconds``."""
        with self._lock:
            self._of_account(account).observe(catalog.API_DURATION, seconds)

    def sync_succeeded(self, cluster_name: str, seconds: float) -> None:
        """A sync ended well after ``seconds``."""
        with self._lock:
            self._sync_ended(cluster_name, seconds)

    def sync_failed(self, cluster_name: str, reason: str, seconds: float) -> None:
        """A sync failed after ``seconds``."""
        with self._lock:
            if self._sync_ended(cluster_name, seconds):
                self._of_cluster(cluster_name).count(catalog.SYNC_FAILURES, reason)

    def corrected(self, cluster_name: str, kind: str, jobs: int) -> None:
        """An audit put ``jobs`` jobs right that were wrong in the way ``kind``."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._of_cluster(cluster_name).count(catalog.SYNC_CORRECTIONS, kind, more=jobs)

    def label_values_cut(self, cluster_name: str, values: int) -> None:
        """An answer of the cloud had so many names that were too long for a label."""
        with self._lock:
            if cluster_name not in self._forgotten:
                self._of_cluster(cluster_name).count(catalog.LABEL_VALUES_CUT, more=values)

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
        """A copy of all families as they are now, in a fixed order."""
        families = {metric: empty_family(metric) for metric in catalog.TELEMETRY}
        for owner in self.changes():
            for metric, samples in self.samples(owner).items():
                families[metric].samples += samples
        return list(families.values())

    def _sync_ended(self, cluster_name: str, seconds: float) -> bool:
        if cluster_name in self._forgotten:
            return False
        counts = self._of_cluster(cluster_name)
        counts.count(catalog.SYNCS)
        counts.observe(catalog.SYNC_DURATION, seconds)
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
