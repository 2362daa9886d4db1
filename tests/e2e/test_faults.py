"""Whatever goes wrong on the way: the process lives, what it shows stays true, and it comes back."""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from exporter.simulator import DIALECTS
from exporter.simulator.fault_kinds import fault_names
from exporter.simulator.list_faults import LIST_FAULTS
from tests.e2e.churn import QUEUES, USERS, populate
from tests.e2e.running import Exporter, Metrics, World, config_of
from tests.waiting import until

TOLERATED = {
    "huge-cores",
    "negative-cores",
    "text-cores",
    "huge-text",
    "not-utf8-in-name",
    "surrogate-in-name",
    "nan-memory",
    "tab-in-path",
    "backslash-in-path",
    "newline-in-path",
}
"""These leave no doubt about which jobs there are: the counts go on, and are right."""

FOUND_OUT = {
    "total-zero": {"payload"},
    "total-negative": {"order"},
    "total-huge": {"order"},
    "total-text": {"order"},
    "absurd-times": {"filter", "order"},
}
"""These contradict what is known of the server: some syncs fail for one of these reasons, until it is
found out what it does now. Then the counts go on, and are right."""

REASONS = {
    "ret-1100": "request",
    "ret-1101": "request",
    "ret-1200": "authentication",
    "ret-1300": "clock",
    "ret-1400": "denied",
    "ret-2100": "not_found",
    "ret-4100": "licence",
    **dict.fromkeys(["ret-5000", "http-500"], "internal"),
    "ret-5100": "busy",
    "ret-5300": "updating",
    "http-429": "http_429",
    **dict.fromkeys(["http-400", "http-401", "http-403", "http-404"], "http_4xx"),
    **dict.fromkeys(["http-502", "http-503", "http-504"], "http_5xx"),
    **dict.fromkeys(["close", "close-midway", "reset", "reset-midway"], "connection"),
    **dict.fromkeys(["flood-head", "garbage"], "connection"),
    **dict.fromkeys(["stall", "stall-midway", "drip", "drip-head", "slow"], "timeout"),
    "length-too-long": "timeout",
    **dict.fromkeys(["flood", "gzip-bomb"], "too_large"),
    **dict.fromkeys(["redirect", "redirect-permanently"], "redirect"),
}
"""All others are answers that cannot be understood."""

PAUSING = {"ret-2500"}
"""Makes the whole account wait; see test_quota."""
BELIEVABLE = frozenset(LIST_FAULTS)
"""Each answer of these is right, of a list that is not: no single call fails."""

ODD_RECORDS = {
    "no-identity",
    "empty-identity",
    "identity-number",
    "no-status",
    "null-status",
    "status-number",
    "null-record",
    "lasting-no-identity",
    "lasting-nameless",
    "lasting-null-status",
    "not-utf8",
}
"""With these no call fails: some records cannot be counted, or name their users otherwise."""

HEAVY = {"flood", "flood-head", "gzip-bomb"}
"""Not beside those that wait for a timeout: they cost time that is not theirs."""
_WIRES_FROM = fault_names().index("close")
ANSWERS = [
    *(
        name
        for name in fault_names()[:_WIRES_FROM]
        if name not in PAUSING | BELIEVABLE | ODD_RECORDS
    ),
    *sorted(HEAVY),
]
WIRES = [name for name in fault_names()[_WIRES_FROM:] if name not in HEAVY]


SLOW = [name for name, reason in REASONS.items() if reason == "timeout"]
"""They run into the timeout, which is short; the others have the time that the machine takes."""
TIMEOUTS = {"impatient": "2s", "patient": "10m"}


@pytest.mark.parametrize("faults", [ANSWERS, WIRES], ids=["answers", "wires"])
def test_every_fault(tmp_path: Path, faults: list[str]) -> None:
    """One cluster for each fault, all failing at once in one process."""
    with World() as world:
        for number, fault in enumerate(faults):
            hosted = world.add(fault)
            count = 150 if number % 2 else 40
            populate(hosted.jobs, count, active=20, seed=number, queues=QUEUES[:2], users=USERS[:3])
        config = config_of(world.endpoint, faults)
        (account,) = config["accounts"]
        config["accounts"] = [
            {**account, "name": name, "timeout": timeout} for name, timeout in TIMEOUTS.items()
        ]
        for cluster in config["clusters"]:
            cluster["account"] = "impatient" if cluster["name"] in SLOW else "patient"
        with Exporter(tmp_path, config, "--log.level=debug") as exporter:
            before = {fault: world.truth(fault) for fault in faults}
            exporter.until_true(before)
            with world.lock:
                for fault in faults:
                    world.jobs(fault).submit(time.time(), queue="later", user="newcomer")
                    seconds = 60 if fault == "slow" else None
                    world.cloud.faults.add(fault, cluster_id=fault, seconds=seconds)
            after = {fault: world.truth(fault) for fault in faults}
            going_on = TOLERATED | FOUND_OUT.keys()
            failed = {fault: before[fault] for fault in faults if fault not in going_on}
            watch_them_fail(exporter, list(failed))
            metrics = exporter.until_true({**after, **failed})
            until_told(exporter, "could not be synced", failed)
            check_failures(exporter, metrics, faults)
            world.no_faults()
            exporter.until_true(after)
            exporter.until_up(*faults)
            until_told(exporter, "is synced again", failed)
            for fault in failed:
                assert len(exporter.log_lines("is synced again", f"cluster={fault} ")) == 1
            assert exporter.get("/-/healthy")[0] == 200


def watch_them_fail(exporter: Exporter, failing: list[str]) -> None:
    """Until each has been down, and many have failed more than once."""
    seen_down: set[str] = set()

    def all_failed() -> bool:
        metrics = exporter.scrape()
        failures = metrics.by("ehpc_sync_failures_total", "cluster_name")
        seen_down.update(fault for fault in failing if metrics.up(fault) == 0)
        again = [fault for fault in failing if failures[fault,] > 1]
        return len(seen_down) == len(failing) and len(again) > len(failing) / 3

    until(all_failed, "every faulty cluster to fail")


def until_told(exporter: Exporter, what: str, clusters: Iterable[str]) -> None:
    """There is a line of each of these: one may come a moment after what it tells of is shown."""

    def all_told() -> bool:
        lines = exporter.log_lines(what)
        return all(any(f"cluster={name} " in line for line in lines) for name in clusters)

    until(all_told, f"lines of the log: {what}")


def check_failures(exporter: Exporter, metrics: Metrics, faults: list[str]) -> None:
    """Each has its reason: one counter, one log line."""
    calls_failed = metrics.by("ehpc_api_failures_total", "reason")
    for fault in faults:
        failures = {
            reason: count
            for (reason,), count in metrics.by(
                "ehpc_sync_failures_total", "reason", cluster_name=fault
            ).items()
            if count
        }
        lines = exporter.log_lines("level=warn", "could not be synced", f"cluster={fault} ")
        if fault in TOLERATED:
            assert (metrics.up(fault), failures, lines) == (1, {}, []), fault
            continue
        if fault in FOUND_OUT:
            assert metrics.up(fault) == 1, fault
            assert set(failures) <= FOUND_OUT[fault], fault
            continue
        reason = REASONS.get(fault, "payload")
        assert (metrics.up(fault), set(failures)) == (0, {reason}), fault
        assert len(lines) == 1, fault
        assert f" reason={reason} " in lines[0]
        assert ' advice="' in lines[0], lines[0]
        if fault != "empty-page":  # a page as such is well; that it is not the list's shows later
            assert calls_failed[reason,] >= failures[reason], fault


def test_pages_that_lie_now_and_then_never_make_a_wrong_number(tmp_path: Path) -> None:
    """The lists rest; every third page or so is false. Each scrape shows the truth."""
    dialects = ("documented", "sort-ignored", "nothing-honoured", "strings", "small-pages")
    lies = (
        "empty-page", "total-zero", "total-huge", "duplicate-records", "too-many-records",
        "truncated-json", "code-missing", "set-of-nulls", "set-missing", "length-too-short",
        "json-nesting", "huge-cores", "nan-memory",
    )  # fmt: skip
    with World() as world:
        for number, dialect in enumerate(dialects):
            hosted = world.add(dialect, dialect)
            populate(hosted.jobs, 420, active=130, seed=number)
        truths = {dialect: world.truth(dialect) for dialect in dialects}
        with Exporter(
            tmp_path, config_of(world.endpoint, dialects, audit_interval="2s")
        ) as exporter:
            exporter.until_true(truths)
            for lie in lies:
                world.fault(lie, probability=0.03)
            states: Counter[float | None] = Counter()
            struck: set[str] = set()
            while len(struck) <= len(lies) / 2:
                for metrics in exporter.scrapes(dialects, turns=15):
                    assert metrics.jobs() == truths
                    states.update(metrics.up(dialect) for dialect in dialects)
                struck = {entry.fault for entry in world.calls()} - {""}
            assert states[1.0]
            world.no_faults()
            exporter.until_up(*dialects)
            exporter.until_true(truths)


@pytest.mark.parametrize(
    "fault", ["lasting-no-identity", "lasting-nameless", "lasting-null-status"]
)
def test_records_that_cannot_be_counted_blind_nobody(tmp_path: Path, fault: str) -> None:
    """One record in sixteen lacks what counting needs; the others are counted, the history too."""
    dialects = ("documented", "sort-ignored")
    with World() as world:
        for number, dialect in enumerate(dialects):
            populate(world.add(dialect, dialect).jobs, 420, active=130, seed=number)
        world.fault(fault)
        with world.lock:
            truths = {
                dialect: Counter(
                    (job.status, job.queue, job.user)
                    for job in world.jobs(dialect).jobs()
                    if job.job_id % 16
                )
                for dialect in dialects
            }
        with Exporter(tmp_path, config_of(world.endpoint, dialects)) as exporter:
            exporter.until_true(truths)
            exporter.until_up(*dialects)
            until_told(exporter, "records of the list cannot be counted", dialects)
            told = exporter.log_lines("level=warn", "records of the list cannot be counted")
            assert {dialect for dialect in dialects for line in told if dialect in line} == {
                *dialects
            }
            assert all(" job_ids=" in line for line in told)


def test_empty_pages_are_doubted_where_no_total_contradicts_them(tmp_path: Path) -> None:
    """Every second page is empty; the jobs are still there."""
    dialects = [name for name in DIALECTS if name.endswith(("total-missing", "total-whole"))]
    with World() as world:
        for number, dialect in enumerate(dialects):
            populate(world.add(dialect, dialect).jobs, 420, active=130, seed=number)
        truths = {dialect: world.truth(dialect) for dialect in dialects}
        config = config_of(world.endpoint, dialects, audit_interval="2s")
        with Exporter(tmp_path, config) as exporter:
            exporter.until_true(truths)
            for dialect in dialects:
                world.fault("empty-page", every=2, cluster_id=dialect)
            for metrics in exporter.scrapes(dialects, turns=4 * len(dialects)):
                assert metrics.jobs() == truths
            world.no_faults()
            exporter.until_up(*dialects)
