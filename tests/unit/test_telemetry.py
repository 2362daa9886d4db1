"""Telemetry counts what it is told, from any thread, and forgets on demand."""

import threading

from exporter import catalog
from exporter.telemetry import Telemetry


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for family in telemetry.families():
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def test_families_are_those_of_the_catalog() -> None:
    families = Telemetry().families()
    names = [f.name + ("_total" if f.type == "counter" else "") for f in families]
    assert names == [metric.name for metric in catalog.TELEMETRY]
    for family, metric in zip(families, catalog.TELEMETRY, strict=True):
        assert (family.documentation, family.type) == (metric.help, metric.type)


def test_registering_starts_series_at_zero() -> None:
    telemetry = Telemetry()
    telemetry.register_cluster("cfd", ["timeout"], ["deleted"])
    telemetry.register_account("default", ["busy"])
    found = samples(telemetry)
    corrections = labels(cluster_name="cfd", kind="deleted")
    assert found["ehpc_sync_corrections_total", corrections] == 0
    assert found["ehpc_syncs_total", labels(cluster_name="cfd")] == 0
    assert found["ehpc_sync_duration_seconds_count", labels(cluster_name="cfd")] == 0
    failures = labels(cluster_name="cfd", reason="timeout")
    assert found["ehpc_sync_failures_total", failures] == 0
    assert found["ehpc_api_requests_total", labels(account="default")] == 0
    assert found["ehpc_api_failures_total", labels(account="default", reason="busy")] == 0
    assert found["ehpc_api_request_duration_seconds_sum", labels(account="default")] == 0


def test_syncs_and_calls_are_counted() -> None:
    telemetry = Telemetry()
    telemetry.sync_succeeded("cfd", 0.2)
    telemetry.sync_failed("cfd", "timeout", 40)
    telemetry.corrected("cfd", "deleted", 7)
    telemetry.label_values_cut("cfd", 3)
    telemetry.api_call_sent("default")
    telemetry.api_call_sent("default")
    telemetry.api_call_failed("default", "busy")
    telemetry.api_call_took("default", 0.3)
    found = samples(telemetry)
    cfd = labels(cluster_name="cfd")
    assert found["ehpc_syncs_total", cfd] == 2
    assert found["ehpc_sync_failures_total", labels(cluster_name="cfd", reason="timeout")] == 1
    assert found["ehpc_sync_duration_seconds_sum", cfd] == 40.2
    assert found["ehpc_sync_duration_seconds_bucket", labels(cluster_name="cfd", le="0.25")] == 1
    assert found["ehpc_sync_duration_seconds_bucket", labels(cluster_name="cfd", le="60.0")] == 2
    assert found["ehpc_sync_corrections_total", labels(cluster_name="cfd", kind="deleted")] == 7
    assert found["ehpc_label_values_cut_total", cfd] == 3
    assert found["ehpc_api_requests_total", labels(account="default")] == 2
    assert found["ehpc_api_failures_total", labels(account="default", reason="busy")] == 1
    assert found["ehpc_api_request_duration_seconds_count", labels(account="default")] == 1


def test_nothing_is_a_created_sample() -> None:
    telemetry = Telemetry()
    telemetry.register_cluster("cfd", ["timeout"])
    telemetry.register_account("default", ["busy"])
    assert not [name for name, _ in samples(telemetry) if name.endswith("_created")]


def test_a_forgotten_cluster_is_gone_and_stays_gone_until_registered() -> None:
    telemetry = Telemetry()
    for name in ("cfd", "cae"):
        telemetry.register_cluster(name)
        telemetry.sync_failed(name, "timeout", 1)
        telemetry.corrected(name, "deleted", 1)
    telemetry.forget_cluster("cfd")
    telemetry.sync_failed("cfd", "timeout", 1)
    telemetry.sync_succeeded("cfd", 1)
    telemetry.corrected("cfd", "deleted", 1)
    assert {dict(key)["cluster_name"] for _, key in samples(telemetry)} == {"cae"}
    telemetry.register_cluster("cfd")
    assert samples(telemetry)["ehpc_syncs_total", labels(cluster_name="cfd")] == 0


def test_forgetting_what_was_never_there_is_fine() -> None:
    telemetry = Telemetry()
    telemetry.forget_cluster("cfd")
    telemetry.forget_account("default")
    assert samples(telemetry) == {}


def test_an_account_and_a_cluster_of_one_name_are_two() -> None:
    telemetry = Telemetry()
    telemetry.register_account("x")
    telemetry.register_cluster("x")
    telemetry.forget_account("x")
    assert {name for name, _ in samples(telemetry)} >= {"ehpc_syncs_total"}
    assert "ehpc_api_requests_total" not in {name for name, _ in samples(telemetry)}


def test_counts_from_many_threads_are_all_there() -> None:
    telemetry = Telemetry()

    def work() -> None:
        for _ in range(500):
            telemetry.api_call_sent("default")
            telemetry.sync_failed("cfd", "busy", 0.1)
            telemetry.families()

    threads = [threading.Thread(target=work, name=f"worker-{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = samples(telemetry)
    assert found["ehpc_api_requests_total", labels(account="default")] == 2000
    assert found["ehpc_sync_failures_total", labels(cluster_name="cfd", reason="busy")] == 2000
