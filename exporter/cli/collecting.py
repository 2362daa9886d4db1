"""``collect``: queries the clusters once, and prints a table or exposition text."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from exporter.collector import CLUSTER_METRICS, cluster_families, new_family
from exporter.config import Config, format_duration
from exporter.errors import ConfigError, ConfigProblem
from exporter.logs import one_line
from exporter.model import END_STATUSES
from exporter.snapshot import ClusterSnapshot, ClusterState
from exporter.texts import Words
from exporter.web.negotiation import Format
from exporter.web.rendering import encode, render

if TYPE_CHECKING:  # else its import would come before the command's
    from exporter.daemon import Collected, Progressing

SHOWN_STATUSES = ("pending", "running", "finished", "exited", "cancelled")
MOST_QUEUES = 10
"""Queues of one cluster that the table shows, those with the most active jobs."""
MOST_NAMES = 3
"""Clusters that are named where the same is the matter with all of them."""

_WIDTH_OF_A_FILE = 160


def collect(
    config: Config,
    clusters: Sequence[str],
    form: Literal["table", "prometheus"],
    say: Words,
    *,
    full: bool,
) -> int:
    """Look, print to standard output, and give the exit code: 1 if any cluster failed."""
    from exporter import daemon

    names = chosen(config, clusters)
    with progress_on(sys.stderr, say, wanted=full) as progressing:
        collected = daemon.collect(config, names, full=full, progressing=progressing)
    states = collected.states
    if form == "prometheus":
        sys.stdout.buffer.write(encode(exposition_text(states)))
    else:
        write_table(states, sys.stdout, say)
        sys.stdout.writelines(f"{line}\n" for line in cost_lines(collected, say))
    sys.stdout.flush()
    for line in failure_lines(states, say):
        sys.stderr.write(line + "\n")
    return 0 if all(state.up for state in states.values()) else 1


def chosen(config: Config, clusters: Sequence[str]) -> list[str]:
    """The named clusters; all of them when none is named.

    Raises ``ConfigError`` for a name that the configuration does not have.
    """
    known = [cluster.name for cluster in config.clusters]
    problems = [
        ConfigProblem("", f"--cluster: no cluster is named {one_line(name)}; known: "
                          f"{', '.join(map(one_line, known)) or 'none'}")
        for name in clusters
        if name not in known
    ]  # fmt: skip
    if problems:
        raise ConfigError(problems)
    return [name for name in known if not clusters or name in clusters]


def exposition_text(states: Mapping[str, ClusterState]) -> str:
    """The clusters' families as ``/metrics`` has them, without those of the exporter itself."""
    families = [new_family(metric) for metric in CLUSTER_METRICS]
    for name in sorted(states):
        for family, part in zip(families, cluster_families(states[name]), strict=True):
            family.samples += part.samples
    return render((family for family in families if family.samples), Format.TEXT)


def write_table(states: Mapping[str, ClusterState], stream: TextIO, say: Words) -> None:
    """Print what is known of every cluster, then its busiest queues."""
    width = None if stream.isatty() else _WIDTH_OF_A_FILE
    console = Console(file=stream, width=width, markup=False, highlight=False)
    table = _clusters_table(states, say)
    unbounded = console.options.update(max_width=1000)
    if Measurement.get(console, unbounded, table).maximum > console.width:
        table.padding = 0  # rather than numbers that are cut
    console.print(say("collect.by_status"), table, sep="\n")
    for name, state in states.items():
        if state.snapshot is not None and state.snapshot.counts:
            queues = _busiest_queues(state.snapshot)
            several = len(queues) > MOST_QUEUES
            shown = say("collect.busiest", most=MOST_QUEUES, all=len(queues)) if several else ""
            console.print(f"\n{say('collect.by_queue', name=one_line(name))}{shown}")
            complete = state.snapshot.history_complete
            console.print(_queues_table(queues[:MOST_QUEUES], say, complete=complete))


def cost_lines(collected: "Collected", say: Words) -> list[str]:
    """What the whole lists would cost, where only the active jobs were looked at."""
    costs = collected.whole_calls
    if not costs:
        return []
    width = max(cell_len(one_line(name)) for name in costs)
    lines = ["", say("collect.whole")]
    lines += [
        f"  {set_cell_size(one_line(name), width)}  {_cost(collected.states[name], calls, say)}"
        for name, calls in costs.items()
    ]
    return lines + [
        say(
            "collect.calls_left",
            name=one_line(quota.account),
            left=f"{max(0, quota.allowed - quota.used):,.0f}",
            allowed=f"{quota.allowed:,.0f}",
        )
        for quota in collected.quotas
    ]


def _cost(state: ClusterState, calls: int | None, say: Words) -> str:
    if calls is None or state.snapshot is None:
        return say("collect.cost_unknown")
    jobs = state.snapshot.history_expected or 0
    return say("collect.cost", jobs=f"{jobs:,}", calls=f"{calls:,}")


def failure_lines(states: Mapping[str, ClusterState], say: Words) -> list[str]:
    """What went wrong with which clusters, and what to do about it; the same once."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for name, state in states.items():
        if not state.up:
            failure = state.failure
            what = (failure.reason, failure.message, failure.advice) if failure else ("", "", "")
            alike.setdefault((state.identity.account, *what), []).append(name)
    lines = []
    for (account, reason, message, advice), names in alike.items():
        who = say.joined(map(one_line, names))
        if len(names) > MOST_NAMES:
            who = say("collect.clusters_of", name=one_line(account), number=len(names))
        told = f"{reason}: {one_line(message)}" if reason else say("collect.not_looked_at")
        lines.append(f"{who}: {told}")
        if advice:
            lines.append(say("collect.do", text=one_line(say.advice(advice))))
    return lines


def _clusters_table(states: Mapping[str, ClusterState], say: Words) -> Table:
    table = Table()
    table.add_column(say("collect.cluster"), overflow="fold", min_width=7)
    more = ("other", "cores_running", "cores_pending", "longest_wait")
    for heading in (*SHOWN_STATUSES, *(say(f"collect.{each}") for each in more)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, state in states.items():
        if state.snapshot is None:
            table.add_row(_text(name), Text(say("collect.failed"), style="bold red"))
            continue
        snapshot = state.snapshot
        jobs, cores = _by_status(snapshot)
        other = sum(jobs.values()) - sum(jobs.get(status, 0) for status in SHOWN_STATUSES)
        table.add_row(
            _text(name),
            *(_count(jobs, status, snapshot) for status in SHOWN_STATUSES),
            f"{other:,}" if snapshot.history_complete else "-",
            f"{cores.get('running', 0):,}",
            f"{cores.get('pending', 0):,}",
            _longest_wait(snapshot),
        )
    return table


def _busiest_queues(snapshot: ClusterSnapshot) -> list[tuple[str, dict[str, int]]]:
    """Queues with their active jobs by status, those with the most jobs first."""
    active: dict[str, dict[str, int]] = {}
    for count in snapshot.counts:
        if count.status not in END_STATUSES:
            jobs = active.setdefault(count.queue, {})
            jobs[count.status] = jobs.get(count.status, 0) + count.jobs
    return sorted(active.items(), key=lambda item: (-sum(item[1].values()), item[0]))


def _queues_table(
    queues: Sequence[tuple[str, Mapping[str, int]]], say: Words, *, complete: bool
) -> Table:
    table = Table()
    table.add_column(say("collect.queue"), overflow="fold")
    for heading in ("pending", "running", say("collect.other")):
        table.add_column(heading, justify="right")
    for queue, jobs in queues:
        pending, running = jobs.get("pending", 0), jobs.get("running", 0)
        other = sum(jobs.values()) - pending - running
        table.add_row(
            _text(queue), f"{pending:,}", f"{running:,}", f"{other:,}" if complete else "-"
        )
    return table


def _by_status(snapshot: ClusterSnapshot) -> tuple[dict[str, int], dict[str, int]]:
    jobs: dict[str, int] = {}
    cores: dict[str, int] = {}
    for count in snapshot.counts:
        jobs[count.status] = jobs.get(count.status, 0) + count.jobs
        cores[count.status] = cores.get(count.status, 0) + count.cores
    return jobs, cores


def _count(jobs: Mapping[str, int], status: str, snapshot: ClusterSnapshot) -> str:
    """A number, or a dash for what has not been counted."""
    if status in END_STATUSES and not snapshot.history_complete:
        return "-"
    return f"{jobs.get(status, 0):,}"


def _longest_wait(snapshot: ClusterSnapshot) -> str:
    if not snapshot.oldest_pending:
        return "-"
    oldest_at = min(moment.at for moment in snapshot.oldest_pending)
    seconds = max(0, round(snapshot.taken_at - oldest_at))
    coarse = next((unit for least, unit in ((86_400, 3600), (3600, 60)) if seconds >= least), 1)
    return format_duration(float(seconds - seconds % coarse))


def _text(name: str) -> Text:
    """A name of a user's making: neither markup nor control characters work in it."""
    return Text(one_line(name))


@contextmanager
def progress_on(stream: TextIO, say: Words, *, wanted: bool = True) -> Iterator["Progressing"]:
    """A bar for each cluster that is being read; nothing where nobody looks."""
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(say("collect.jobs")),
        TimeElapsedColumn(),
        console=Console(file=stream),
        disable=not (wanted and stream.isatty()),
    )
    tasks: dict[str, TaskID] = {}

    def progressing(cluster_name: str, jobs_known: int, jobs_expected: int | None) -> None:
        if cluster_name not in tasks:
            tasks[cluster_name] = progress.add_task(one_line(cluster_name), total=jobs_expected)
        progress.update(tasks[cluster_name], completed=jobs_known, total=jobs_expected)

    with progress:
        yield progressing
