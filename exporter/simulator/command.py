"""The ``simulate`` command: its flags, the simulation that they describe, and serving it."""

import argparse
import gzip
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from exporter.simulator import story
from exporter.simulator.bounds import number
from exporter.simulator.bulk import host_fleet
from exporter.simulator.dialect import DOCUMENTED, Dialect
from exporter.simulator.engine import World
from exporter.simulator.fault_kinds import fault_names
from exporter.simulator.fleet_dialect import (
    FLEET_DIALECTS,
    FLEET_KEYS,
    FleetDialect,
    parse_fleet,
)
from exporter.simulator.protocol import Account, Cloud
from exporter.simulator.quota import Quota
from exporter.simulator.report import made_up_rows, read_report
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from exporter.simulator.spelling import KEYS, NAMED, parse_dialect
from exporter.simulator.trace import MOST_CORES, TraceJob, parse_trace, queue_capacities, replay
from exporter.simulator.workload import Inhabitants, demo_profiles
from exporter.simulator.worldclock import WorldClock

TRACE_CLUSTER_ID = "ehpc-trace001"
"""The one cluster of a replayed trace, in the zone ``jinan1a``."""

_CLUSTERS, _PACE = 4, 1.0
"""Of the made-up clusters, unless the flags say otherwise."""

_JOURNAL_LIMIT = 20_000
"""A demo runs for days."""


_LAST_PORT = 65_535
_LARGEST_REPORT = 1 << 24
"""Characters."""


class SimulatorError(Exception):
    """The simulator cannot do what its flags ask for; the message says why."""


pace = number(0.01, 1000.0)
"""The type of ``--pace``, which ``demo`` has as well."""
_count = number(0, 10_000, whole=True)
_seconds = number(0, 1e9)


def add_arguments(parser: argparse._ActionsContainer) -> None:
    """The flags of ``simulate``."""
    parser.add_argument(
        "--listen-address",
        default="127.0.0.1:18080",
        metavar="HOST:PORT",
        help="where to listen; port 0 takes a free one (default %(default)s)",
    )
    parser.add_argument(
        "--truth",
        action="store_true",
        help="print plain counts of the jobs as JSON, by cluster id, and exit",
    )
    _add_clusters(parser.add_argument_group("the clusters and their jobs"))
    _add_trace(parser.add_argument_group("a recorded workload in their place"))
    _add_profile(parser.add_argument_group("or the servers of a report"))
    _add_account(parser.add_argument_group("the account"))
    _add_behaviour(parser.add_argument_group("how the API behaves"))


def _add_clusters(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--seed", type=int, default=1, help="seed of the random generator")
    group.add_argument(
        "--clusters", type=_count, default=_CLUSTERS, help="how many clusters (default %(default)s)"
    )
    group.add_argument(
        "--quiet-clusters",
        type=_count,
        default=0,
        metavar="N",
        help="how many additional small clusters, in which nothing happens",
    )
    group.add_argument(
        "--speed",
        type=_seconds,
        default=1.0,
        metavar="FACTOR",
        help="simulated seconds per real second; 0 stands still (default %(default)s)",
    )
    group.add_argument(
        "--pace",
        type=pace,
        default=_PACE,
        metavar="FACTOR",
        help="factor for the number of jobs, which are shorter by the same factor (default %(default)s)",
    )
    group.add_argument(
        "--story",
        action="store_true",
        help="let a backlog grow, a queue run empty, a user flood another and a cluster fail, every "
        f"{story.PERIOD_SECONDS // 60} minutes",
    )


def _add_trace(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="replay a workload from a .csv or .csv.gz with the columns submit_s,run_s,cores,"
        "user,queue, in one cluster, instead of a made-up one",
    )
    group.add_argument(
        "--at",
        type=number(),
        default=0.0,
        metavar="SECONDS",
        help="the moment of the trace that is now (default: its beginning)",
    )
    group.add_argument(
        "--queue-cores",
        type=number(1, MOST_CORES, whole=True),
        metavar="N",
        help="cores of every queue, at least its widest job (default: by the queue's load)",
    )


def _add_profile(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="host the clusters of a JSON report of doctor, with as many made-up jobs, which stand "
        "still, and behave as it says",
    )


def _dialect(text: str) -> Dialect:
    try:
        return parse_dialect(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _fleet(text: str) -> FleetDialect:
    try:
        return parse_fleet(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_account(group: argparse._ArgumentGroup) -> None:
    example = Account()
    group.add_argument("--access-key-id", default=example.access_key_id, metavar="ID")
    group.add_argument("--secret-access-key", default=example.secret_access_key, metavar="SECRET")
    group.add_argument(
        "--quota-requests",
        type=number(0, whole=True),
        default=2000,
        metavar="N",
        help="requests within the period, 0 for no quota (default %(default)s)",
    )
    group.add_argument(
        "--quota-period",
        type=number(0.001),
        default=3600.0,
        metavar="SECONDS",
        help="the period (default %(default)s)",
    )


def _add_behaviour(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dialect",
        type=_dialect,
        metavar="NAME|KEY=VALUE,...",
        help="how it behaves where its documentation does not say: a name, settings such as "
        "filter=job_status,sort=submitted_time,zone=+08:00, or a name and then what differs; "
        f"names: {', '.join(NAMED)}; keys: {', '.join(KEYS)}",
    )
    group.add_argument(
        "--fleet",
        type=_fleet,
        metavar="NAME|KEY=VALUE,...",
        help="the same for what it tells of clusters, queues and nodes, such as owner=required; "
        f"names: {', '.join(FLEET_DIALECTS)}; keys: {', '.join(FLEET_KEYS)}",
    )
    group.add_argument(
        "--latency",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long each answer takes at least",
    )
    group.add_argument(
        "--clock-skew",
        type=number(-1e9, 1e9),
        default=0.0,
        metavar="SECONDS",
        help="how far its own clock is ahead of this machine's",
    )
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,...]",
        help="let calls fail; keys: cluster, skip, next, every, probability, for, seconds; "
        f"names: {', '.join(fault_names())}",
    )


def build_simulation(
    options: argparse.Namespace, now_at: float, made_at: Callable[[], float] | None = None
) -> Simulation:
    """The simulation that the flags ask for, at the moment ``now_at``. To make up its past takes some
    seconds: the story begins after that, at ``made_at()``. Raises ``SimulatorError``."""
    quota = Quota(options.quota_requests, options.quota_period) if options.quota_requests else None
    account = Account(options.access_key_id, options.secret_access_key)
    cloud = Cloud((account,), quota=quota, seed=options.seed, journal_limit=_JOURNAL_LIMIT)
    cloud.fleet = options.fleet or cloud.fleet
    world, tell = _world(cloud, options, now_at)
    host_fleet(cloud, options.quiet_clusters, now_at=now_at)
    try:
        for spec in options.fault:
            cloud.faults.add_spec(spec, now_at)
    except ValueError as error:
        raise SimulatorError(f"--fault: {error}") from error
    if world is not None:
        world.advance_to(now_at)
    clock = WorldClock(real_at=now_at, world_at=now_at, speed=options.speed)
    tell(clock.world_at(made_at() if made_at else now_at))
    return Simulation(cloud, world=world, clock=clock)


def _world(
    cloud: Cloud, options: argparse.Namespace, now_at: float
) -> tuple[World | None, Callable[[float], None]]:
    """What happens in the clusters that this puts into the cloud, None if nothing does; and what lets the
    story begin."""
    _check_together(options)
    dialect = options.dialect or DOCUMENTED
    if options.profile is not None:
        _host_reported(cloud, options.profile, options.seed, now_at)
        return None, _no_story
    if options.trace is not None:
        return _trace_world(cloud, options, dialect, now_at), _no_story
    return _made_up_world(cloud, options, dialect, now_at)


def _no_story(_: float) -> None:
    """Nothing happens on purpose."""


def _check_together(options: argparse.Namespace) -> None:
    """A flag that would do nothing beside the others is a mistake. Raises ``SimulatorError``."""
    if options.profile is not None and (options.dialect is not None or options.trace is not None):
        raise SimulatorError("--profile: has a dialect and jobs; no --dialect or --trace beside it")
    made_up = {
        "--clusters": options.clusters != _CLUSTERS,
        "--pace": options.pace != _PACE,
        "--story": options.story,
    }
    of_trace = {"--at": options.at != 0.0, "--queue-cores": options.queue_cores is not None}
    if instead := "--profile" if options.profile else "--trace" if options.trace else "":
        for flag in (flag for flag, given in made_up.items() if given):
            raise SimulatorError(f"{flag}: is about made-up clusters; not beside {instead}")
    for flag in (flag for flag, given in of_trace.items() if given and options.trace is None):
        raise SimulatorError(f"{flag}: is about a trace; it goes with --trace")


def _host_reported(cloud: Cloud, path: Path, seed: int, now_at: float) -> None:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST_REPORT + 1)
        clusters = read_report(text) if len(text) <= _LARGEST_REPORT else []
    except (OSError, ValueError) as error:
        raise SimulatorError(f"--profile: {path}: {_reason(error)}") from error
    if not clusters:
        raise SimulatorError(f"--profile: {path}: is too large for a report")
    for place, each in enumerate(clusters):
        hosted = cloud.add_cluster(each.cluster_id, zone=each.zone, dialect=each.dialect)
        hosted.jobs.load(made_up_rows(each.jobs, now_at, seed + place))
        hosted.plant.build_for(hosted.jobs)


def _made_up_world(
    cloud: Cloud, options: argparse.Namespace, dialect: Dialect, now_at: float
) -> tuple[World, Callable[[float], None]]:
    inhabitants = {}
    for profile in demo_profiles(options.clusters, options.pace):
        hosted = cloud.add_cluster(profile.cluster_id, zone=profile.zone, dialect=dialect)
        begin_at = now_at - (profile.keep_days + 1) * 86400
        people = Inhabitants(profile, hosted.jobs, begin_at, options.seed)
        for queue, fifo in people.engine.queues.items():
            gpus = fifo.cores // 8 if "gpu" in queue else 0
            hosted.plant.add_queue(queue, cores=fifo.cores, gpus=gpus)
        inhabitants[profile.cluster_id] = people
    tell = partial(story.tell, cloud, inhabitants) if options.story else _no_story
    return World((cluster_id, people.engine) for cluster_id, people in inhabitants.items()), tell


def _trace_world(
    cloud: Cloud, options: argparse.Namespace, dialect: Dialect, now_at: float
) -> World:
    trace = read_trace(options.trace)
    hosted = cloud.add_cluster(TRACE_CLUSTER_ID, dialect=dialect)
    capacities = queue_capacities(trace, options.queue_cores)
    for queue, cores in capacities.items():
        hosted.plant.add_queue(queue, cores=cores)
    engine = replay(
        trace,
        hosted.jobs,
        start_at=int(now_at) - int(options.at),
        capacities=capacities,
        seed=options.seed,
    )
    return World([(TRACE_CLUSTER_ID, engine)])


def read_trace(path: Path) -> list[TraceJob]:
    """The jobs of a trace file, packed or not. Raises ``SimulatorError``."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
                return parse_trace(lines)
        with path.open(encoding="utf-8", newline="") as lines:
            return parse_trace(lines)
    except (OSError, EOFError, ValueError) as error:
        raise SimulatorError(f"--trace: {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What is wrong with a file; its name is said already."""
    return str((isinstance(error, OSError) and error.strerror) or error)


def run_simulator(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM, or print the truth. Raises ``SimulatorError``."""
    host, port = _host_and_port(options.listen_address)
    simulation = build_simulation(options, time.time(), made_at=time.time)
    if options.truth:
        json.dump(simulation.truth(), sys.stdout, ensure_ascii=False, indent=1)
        sys.stdout.write("\n")
        return
    server = SimulatorServer(
        simulation,
        host=host,
        port=port,
        latency_seconds=options.latency,
        clock_skew_seconds=options.clock_skew,
    )
    try:
        server.start()
    except OSError as error:
        raise SimulatorError(f"--listen-address: {options.listen_address}: {error}") from error
    try:
        with signals() as await_signal:  # before anybody is told that it listens
            sys.stdout.write(_greeting(server))
            sys.stdout.flush()
            await_signal()
    finally:
        server.stop()


def _greeting(server: SimulatorServer) -> str:
    clusters = server.simulation.cloud.clusters.values()
    hosted = "".join(
        f"  cluster_id {cluster.cluster_id}  zone {cluster.zone}  jobs {len(cluster.jobs)}\n"
        for cluster in clusters
    )
    return f"simulator listening on {server.address}\n{_keys(server)}{hosted}"


def _keys(server: SimulatorServer) -> str:
    """The example's keys, which nobody can guess; whoever gave others knows them."""
    example = Account()
    if example not in server.simulation.cloud.accounts.values():
        return ""
    return (
        f"  access_key_id {example.access_key_id}  secret_access_key {example.secret_access_key}\n"
    )


@contextmanager
def signals() -> Iterator[Callable[[], object]]:
    """Within the block SIGINT and SIGTERM are kept; calling what it gives waits for one.

    The system gives a signal to whichever thread it likes, at any moment, and a handler runs once
    the main thread does: not while that waits for a lock. So it waits for a byte that the signal
    itself writes.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.settimeout(0)
        kept_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        kept = {
            number: signal.signal(number, lambda *_: None)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield lambda: reader.recv(1)
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(kept_descriptor)


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > _LAST_PORT:
        raise SimulatorError(f"--listen-address: {address} is not HOST:PORT")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by ":PORT"
