"""The replay of a trace against a plain second-by-second computation, and its command."""

import argparse
import contextlib
import gzip
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import JobList
from exporter.simulator.command import (
    TRACE_CLUSTER_ID,
    SimulatorError,
    add_arguments,
    build_simulation,
    run_simulator,
)
from exporter.simulator.protocol import Account
from exporter.simulator.trace import TraceJob, outcome, parse_trace, queue_capacities, replay
from tests.signalled import moments_survived
from tests.simulator.cloud_client import CloudClient
from tests.waiting import PATIENCE_SECONDS

START_AT = 1_600_000_000


def start_seconds(trace: list[TraceJob], capacities: dict[str, int], until: int) -> dict[int, int]:
    """When the jobs started that did by ``until``, by place: every second is lived through."""
    started: dict[int, int] = {}
    waiting: list[int] = []
    for second in range(until + 1):
        waiting += [place for place, job in enumerate(trace) if job.submit_seconds == second]
        blocked: set[str] = set()
        for place in list(waiting):
            queue = trace[place].queue
            busy = sum(
                trace[other].cores
                for other, start in started.items()
                if trace[other].queue == queue and second < start + trace[other].run_seconds
            )
            if queue in blocked or busy + trace[place].cores > capacities[queue]:
                blocked.add(queue)
            else:
                started[place] = second
                waiting.remove(place)
    return started


def plainly(
    trace: list[TraceJob], capacities: dict[str, int], until: int, seed: int
) -> list[tuple[str, int | None, int]]:
    """By job, its status, start and last change at the second ``until``."""
    started = start_seconds(trace, capacities, until)
    found: list[tuple[str, int | None, int]] = []
    for place, job in enumerate(trace):
        start = started.get(place)
        if start is None:
            found.append(("pending", None, job.submit_seconds))
        elif until < start + job.run_seconds:
            found.append(("running", start, start))
        else:
            found.append((outcome(seed, place), start, start + job.run_seconds))
    return [entry for entry, job in zip(found, trace, strict=True) if job.submit_seconds <= until]


def traces() -> st.SearchStrategy[list[TraceJob]]:
    job = st.builds(
        TraceJob,
        st.integers(0, 30),
        st.integers(0, 15),
        st.integers(1, 4),
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(["p", "q"]),
    )
    return st.lists(job, max_size=25).map(
        lambda jobs: sorted(jobs, key=lambda job: job.submit_seconds)
    )


@given(
    trace=traces(),
    cores=st.one_of(st.none(), st.integers(1, 6)),
    until=st.integers(0, 60),
    seed=st.integers(0, 5),
)
@settings(max_examples=300)
def test_the_state_at_a_moment(
    trace: list[TraceJob], cores: int | None, until: int, seed: int
) -> None:
    capacities = queue_capacities(trace, cores)
    jobs = JobList()
    engine = replay(trace, jobs, start_at=START_AT, capacities=capacities, seed=seed)
    engine.advance_to(START_AT + until)
    got = [
        (
            job.status,
            None if job.started_at is None else job.started_at - START_AT,
            job.modified_at - START_AT,
        )
        for job in jobs.jobs()
    ]
    assert got == plainly(trace, capacities, until, seed)
    asked = [(job.queue, job.user, job.cores) for job in trace if job.submit_seconds <= until]
    assert [(job.queue, job.user, job.cores) for job in jobs.jobs()] == asked


def test_capacities_follow_the_load() -> None:
    trace = [TraceJob(10 * number, 700, 1, "u", "busy") for number in range(100)]
    trace += [TraceJob(second, 10, 64, "u", "wide") for second in (0, 1000)]
    capacities = queue_capacities(trace)
    assert capacities["wide"] == 64
    assert capacities["busy"] == 60  # 100 x 700 s of work in 1690 s, at 70 %
    assert queue_capacities(trace, 8) == {"busy": 8, "wide": 64}


def test_outcomes_are_mostly_good_and_follow_the_seed() -> None:
    lots = Counter(outcome(1, number) for number in range(20_000))
    assert lots["finished"] == pytest.approx(0.86 * 20_000, rel=0.05)
    assert lots["exited"] > lots["cancelled"] > 0
    assert [outcome(1, number) for number in range(99)] != [
        outcome(2, number) for number in range(99)
    ]


def test_reading_a_trace() -> None:
    lines = ["submit_s,run_s,cores,user,queue", "5,2,1,b,q", "3,1.0,0,a,默认队列", "5,-1,2,c,q"]
    assert parse_trace(lines) == [
        TraceJob(3, 1, 1, "a", "默认队列"),
        TraceJob(5, 2, 1, "b", "q"),
        TraceJob(5, 0, 2, "c", "q"),
    ]
    with pytest.raises(ValueError, match="needs the columns"):
        parse_trace(["a,b", "1,2"])
    with pytest.raises(ValueError, match="line 3"):
        parse_trace([*lines[:2], "5,x,1,b,q"])
    for line, said in (
        ("5,inf,1,b,q", "no proper number"),
        ("5,1,1e21,b,q", "more than 10000000 cores"),
    ):
        with pytest.raises(ValueError, match=f"line 3 of the trace has {said}"):
            parse_trace([*lines[:2], line])
    with pytest.raises(ValueError, match="line 2"):
        parse_trace([lines[0], "5"])


# The command


def options(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(flags)


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    rng = random.Random(11)
    rows = [
        f"{number},{rng.randrange(40)},{rng.randrange(1, 4)},u{rng.randrange(5)},q{rng.randrange(3)}"
        for number in range(200)
    ]
    path = tmp_path / "trace.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("\n".join(["submit_s,run_s,cores,user,queue", *rows, ""]))
    return path


def test_a_trace_stands_still_at_its_moment(
    trace_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--trace", str(trace_file), "--at", "120", "--speed", "0", "--queue-cores", "4")
    run_simulator(options(*flags, "--truth"))
    truth = json.loads(capsys.readouterr().out)[TRACE_CLUSTER_ID]
    with gzip.open(trace_file, "rt", encoding="utf-8") as lines:
        trace = parse_trace(lines)
    expected = plainly(trace, queue_capacities(trace, 4), 120, seed=1)
    assert truth["jobs"] == 121
    assert truth["by_status"] == Counter(status for status, _, _ in expected)
    simulation = build_simulation(options(*flags), 1_700_000_000.5)
    simulation.advance(1_700_009_999.0)
    assert simulation.truth()[TRACE_CLUSTER_ID]["counts"] == truth["counts"]
    newest = max(job.modified_at for job in simulation.cloud.clusters[TRACE_CLUSTER_ID].jobs.jobs())
    assert 1_699_999_990 <= newest <= 1_700_000_000


def test_a_trace_runs_on(trace_file: Path) -> None:
    simulation = build_simulation(options("--trace", str(trace_file), "--speed", "10"), 1000.0)
    assert simulation.truth()[TRACE_CLUSTER_ID]["jobs"] == 1
    simulation.advance(1005.0)
    assert simulation.truth()[TRACE_CLUSTER_ID]["jobs"] == 51
    simulation.advance(9000.0)
    assert simulation.truth()[TRACE_CLUSTER_ID]["jobs"] == 200


def test_a_made_up_world_is_alive_at_once_and_the_same_by_its_seed() -> None:
    first, again, other = (
        build_simulation(options("--clusters", "2", "--seed", seed), 1_700_000_000.0).truth()
        for seed in ("5", "5", "6")
    )
    assert first == again != other
    for truth in first.values():
        assert truth["by_status"]["finished"] > 1000
        assert truth["by_status"]["running"] > 0


def test_flags_reach_the_cloud() -> None:
    simulation = build_simulation(
        options(
            *(
                "--clusters=1",
                "--dialect=total-whole,lag=5",
                "--quota-requests=5",
                "--quota-period=60",
            ),
            *("--access-key-id=K", "--secret-access-key=S", "--fault=ret-5000:next=1"),
        ),
        1_700_000_000.0,
    )
    cloud = simulation.cloud
    assert list(cloud.accounts) == ["K"]
    assert cloud.accounts["K"].secret_access_key == "S"
    assert cloud.faults.rules[0].next_calls == 1
    (cluster,) = cloud.clusters.values()
    assert (cluster.dialect.total_count, cluster.dialect.lag_seconds) == ("whole", 5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clusters=1", "--fault=nonsense"], "--fault: no such fault: nonsense"),
        (["--trace=/nowhere/at/all.csv"], "--trace: /nowhere/at/all.csv"),
        (["--profile=/nowhere/at/all.json"], "--profile: /nowhere/at/all.json"),
        (["--profile=x", "--dialect=documented"], "--profile: has a dialect and jobs"),
        (["--profile=x", "--trace=y"], "--profile: has a dialect and jobs"),
        (["--listen-address=nowhere"], "--listen-address: nowhere is not HOST:PORT"),
        (["--clusters=1", "--listen-address=192.0.2.1:1"], "--listen-address: 192.0.2.1:1"),
        (["--trace=x", "--story"], "--story: is about made-up clusters; not beside --trace"),
        (["--profile=x", "--story"], "--story: is about made-up clusters; not beside --profile"),
        (["--trace=x", "--pace=2"], "--pace: is about made-up clusters; not beside --trace"),
        (["--profile=x", "--clusters=1"], "--clusters: is about made-up clusters; not beside"),
        (["--at=60"], "--at: is about a trace; it goes with --trace"),
        (["--profile=x", "--queue-cores=4"], "--queue-cores: is about a trace; it goes with"),
    ],
)
def test_flags_that_cannot_be_met(flags: list[str], message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        run_simulator(options(*flags))


def test_a_dialect_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options("--dialect=filter=colour")
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(
        "--dialect: filter=colour is none of jobs_status, job_status, either\n"
    )


PROGRAM = """
import argparse, sys
from exporter.simulator.command import add_arguments, run_simulator
parser = argparse.ArgumentParser()
add_arguments(parser)
run_simulator(parser.parse_args(sys.argv[1:]))
"""


@contextlib.contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    """The command, of which nobody heeds signals but itself; its words have not been read yet."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--listen-address=127.0.0.1:0", "--clusters=1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(number: signal.Signals) -> None:
    with serving() as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().removeprefix("simulator listening on ")
        keys, cluster = process.stdout.readline(), process.stdout.readline()
        assert Account().access_key_id in keys
        cluster_id = cluster.split()[1]
        with CloudClient(address) as client:
            truth = client.admin("GET", f"/-/truth?cluster_id={cluster_id}")
            answer = client.list_jobs(cluster_id)
            assert abs(answer["total_count"] - truth["jobs"]) < 50
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_a_signal_ends_it_at_whichever_moment_it_comes() -> None:
    imports = "from exporter.simulator.command import signals"
    assert moments_survived(imports=imports, block="signals()", wait="wait()")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_has_read_that_it_listens_may_end_it(number: signal.Signals) -> None:
    with serving() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("simulator listening on ")
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
