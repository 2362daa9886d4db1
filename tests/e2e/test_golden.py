"""All of ``/metrics``, to the letter, of a small fixed world.

Delete ``tests/golden/serve.prom`` and run the test to have it written anew; then read what changed.
"""

import re
from pathlib import Path

import pytest

from exporter.simulator import JobList, JobRow
from tests.e2e.running import Exporter, Metrics, World, config_of
from tests.waiting import until

GOLDEN = Path(__file__).parents[1] / "golden" / "serve.prom"

BEGUN_AT = 1_767_571_200  # 2026-01-05T00:00:00Z
HOUR = 3600

SOME = re.compile(r"ehpc_(syncs|sync_failures|api_requests|api_failures)_total|ehpc_api_quota_used")
"""How often depends on how long the test took: whether at all is what counts."""
VARIES = re.compile(
    r"ehpc_(sync|api_request)_duration_seconds_\w+"
    r"|ehpc_(snapshot|capacity|last_sync_success|exporter_config_last_reload_success)_timestamp_seconds"
)
OTHERS = ("process_", "python_")
"""prometheus-client's own: not the same on every machine."""


def test_golden_metrics(tmp_path: Path) -> None:
    with World() as world:
        hosted = world.add("ehpc-qmmvigwe")
        populate(hosted.jobs)
        hosted.plant.add_queue("默认队列", cores=64)
        hosted.plant.add_queue("gpu", cores=64, gpus=8).nodes[0].status = "stopped"
        hosted.plant.add_queue("idle", cores=16)
        config = config_of(
            world.endpoint,
            {"cfd": "ehpc-qmmvigwe", 'gone \\ "away"\n再见': "ehpc-gone"},
            labels={"user": {"limit": 3}, "queue": {"limit": 4}},
            capacity_interval="10m",
        )
        with Exporter(tmp_path, config) as exporter:
            exporter.until_ready()
            exporter.until_up("cfd")
            until(lambda: exporter.scrape().samples("ehpc_nodes"), "capacity")
            with world.lock:
                carry_on(world.jobs("ehpc-qmmvigwe"))
            until(
                lambda: exporter.scrape().sum("ehpc_jobs_ended_total") == 3,
                "the jobs to have ended",
            )
            metrics = exporter.scrape()
            text = masked(metrics)
            if not GOLDEN.exists():
                GOLDEN.write_text(text)
                pytest.fail(f"{GOLDEN.name} was written anew: read it, and run the test again")
            assert text == GOLDEN.read_text()
            assert {"process_start_time_seconds", "process_resident_memory_bytes"} <= {
                family.name for family in metrics.families()
            }


def populate(jobs: JobList) -> None:
    """One job of nearly everything."""
    at = BEGUN_AT
    rows = [
        JobRow("finished", "默认队列", "alice", 1, at, at + 60, at + HOUR),
        JobRow("finished", "默认队列", "alice", 4, at, at + 60, at + HOUR),
        JobRow("exited", "默认队列", 'o"brien', 1, at, at + 60, at + 90),
        JobRow("cancelled", "two\nlines", "alice", 1, at + 10, None, at + 20),
        JobRow("running", "默认队列", "alice", 32, at + 20, at + 25, at + 25),
        JobRow("running", "two\nlines", "back\\slash", 8, at + 30, at + 40, at + 40),
        JobRow("pending", "默认队列", "李娜", 16, at + 50, None, at + 50),
        JobRow("pending", "默认队列", "李娜", 16, at + 40, None, at + 40),
        JobRow("pending", "gpu", "李娜", 2, at + 70, None, at + 70),
        JobRow("suspended", "gpu", "alice", 2, at + 80, at + 90, at + 100),
        JobRow("stopped", "rare", "bob", 1, at, at + 1, at + 2),
        JobRow("finished", "rarer", "carol", 1, at, at + 1, at + 2),
    ]
    for row in rows:
        jobs.load_one(row)


def carry_on(jobs: JobList) -> None:
    """What is counted from now on: five transitions of four jobs, and one deletion."""
    listed = list(jobs.jobs())
    at = BEGUN_AT
    jobs.start(listed[8].uuid, at + 115)  # waited 45 s
    jobs.end(listed[4].uuid, at + 525)  # ran 500 s
    jobs.end(listed[5].uuid, at + 40 + 12 * HOUR, "exited")
    jobs.cancel(listed[6].uuid, at + 600)
    jobs.delete([listed[0].uuid])


def masked(metrics: Metrics) -> str:
    lines = []
    for line in metrics.text.split("\n"):
        name = re.split(r"[ {]", line.removeprefix("# HELP ").removeprefix("# TYPE "), maxsplit=1)[
            0
        ]
        if name.startswith(OTHERS):
            continue
        if line.startswith("#") or not line:
            lines.append(line)
            continue
        labelled, _, value = line.rpartition(" ")
        if SOME.fullmatch(name):
            value = "0" if float(value) == 0 else "<some>"
        elif VARIES.fullmatch(name):
            value = "<varies>"
        if name == "ehpc_exporter_build_info":
            labelled = re.sub(r'"[^"]*"', '"<varies>"', labelled)
        lines.append(f"{labelled} {value}")
    return "\n".join(lines)
