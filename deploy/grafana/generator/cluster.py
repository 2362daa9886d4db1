"""One cluster, or several: by queue, by user, over time."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generator import capacity, frame, looks, panels
from deploy.grafana.generator.demand import amounts, by, counts, users
from deploy.grafana.generator.panels import (
    Column,
    grid,
    lines,
    number,
    row,
    stack,
    stack_of_largest,
)
from deploy.grafana.generator.promql import (
    CLUSTER,
    QUEUE,
    USER,
    data_age,
    empty_in,
    failed,
    failed_share,
    highest,
    hours,
    longest_wait,
    longest_wait_or_none,
    once,
    per_minute,
    percentile,
    total,
)  # fmt: skip
from deploy.grafana.generator.usage import group_row

ALL_USERS = "Of all users: the choice of users does not apply."


def dashboard() -> Dashboard:
    """Of the uid ``ehpc-cluster``."""
    made = frame.board(
        "ehpc-cluster",
        "E-HPC / Cluster",
        "The queues and users of a cluster. With several clusters chosen, queues and users of the"
        " same name are added up in graphs, and told apart in tables.",
    )
    frame.clusters(made)
    for name, label, values in (("queue", "Queue", frame.QUEUES), ("user", "User", frame.USERS)):
        made.with_variable(frame.choice(name, label, values))
    frame.place(made, 5, numbers())
    made.with_row(row("Who waits, where, how long"))
    frame.place(made, 8, [queues()])
    frame.place(made, 9, [users("Users who wait", USER, QUEUE), longest_wait_by_queue()], [13, 11])
    made.with_row(row("What there is to run it"))
    frame.place(made, 8, [capacity.queues()])
    frame.place(made, 8, [capacity.waiting_against_free(), capacity.used_by_queue()])
    frame.place(made, 8, [capacity.nodes(), capacity.listed_jobs(), capacity.state()])
    made.with_row(row("By queue"))
    by_queue = by("queue", "queue", USER)
    frame.place(made, 8, [by_queue.pending_jobs, by_queue.running_jobs])
    frame.place(made, 8, [by_queue.cores_waiting, by_queue.cores_running])
    made.with_row(row("By user"))
    by_user = by("user", "user", USER)
    frame.place(made, 8, [by_user.pending_jobs, by_user.running_jobs])
    frame.place(made, 8, [by_user.cores_waiting, by_user.cores_running])
    made.with_row(row("By group"))
    frame.place(made, 8, group_row())
    made.with_row(row("How long jobs wait and run"))
    frame.place(made, 8, [waits(), wait_by_queue()])
    frame.place(made, 8, [runs(), run_by_queue()])
    made.with_row(row("What comes and goes"))
    frame.place(made, 8, [flow(), submitted_by_queue()])
    frame.place(made, 8, [ended(), failures()])
    return made.build()


def numbers() -> list[panels.Panel]:
    """What is chosen, in eight numbers."""
    return [
        *counts(USER),
        number(
            "Longest wait",
            f"How long has the first in line waited, since its submission? {ALL_USERS}",
            longest_wait_or_none("", QUEUE), unit=looks.SECONDS, steps=looks.WAIT_STEPS, decimals=1,
        ),
        number(
            "Wait, 95 %",
            "How long does it take until a job starts? Of the jobs that started in the hour before, 95 % had"
            f" waited less than this. {ALL_USERS}",
            percentile(0.95, "ehpc_job_wait_seconds", QUEUE), unit=looks.SECONDS,
            steps=looks.WAIT_STEPS, nothing="none started", decimals=1,
        ),
        number(
            "Failed (1 h)",
            f"How much of what ended in the hour before failed (exited)? {ALL_USERS}",
            failed_share("", QUEUE, "1h"), unit=looks.SHARE, steps=looks.FAILED_SHARE_STEPS,
            nothing="none ended", decimals=1, trend=False,
        ),
        number(
            "Data age",
            "How long ago were these counts true? The exporter withdraws those that are older than"
            " its collection.staleness.",
            data_age("", CLUSTER), unit=looks.SECONDS, steps=looks.AGE_STEPS, decimals=0, trend=False,
        ),
    ]  # fmt: skip


def queues() -> panels.Panel:
    """A row for each queue."""
    labels = "cluster_name, queue"
    return grid(
        "Queues",
        "Which queue is in trouble? The longest wait first. \"Empty in\": how long the backlog lasts if jobs start as fast as"
        " in the hour before; empty if none started. \"95 % waited\": of the jobs that started in"
        " the hour before. Jobs and cores are those of the chosen users.",
        ["cluster_name", "queue"],
        [
            Column(
                "Longest wait", longest_wait(labels, QUEUE), looks.SECONDS,
                steps=looks.WAIT_STEPS, decimals=1,
            ),
            *amounts(labels, USER),
            Column("Started (1 h)", total(labels, once(f"increase(ehpc_jobs_started_total{{{QUEUE}}}[1h])"))),
            Column("95 % waited", percentile(0.95, "ehpc_job_wait_seconds", QUEUE, labels),
                   looks.SECONDS, decimals=1),
            Column("Empty in", empty_in(labels, QUEUE), looks.SECONDS, decimals=1),
        ],
        sort="Longest wait",
    )  # fmt: skip


def longest_wait_by_queue() -> panels.Panel:
    """Who stands first in the line, and since when."""
    return lines(
        "Longest wait by queue",
        "Where has the first in line waited longest, and is it getting better? 0 where nobody"
        f" waits. The ten queues that were worst at some moment. {ALL_USERS}",
        {"{{queue}}": hours(highest("queue", longest_wait_or_none("queue", QUEUE)))},
        unit=looks.HOURS,
        legend_right=True,
    )


def wait_by_queue() -> panels.Panel:
    """What most had to wait."""
    return lines(
        "95 % waited less than, by queue",
        "In which queue do jobs wait long before they start? Of those that started in the hour before each"
        f" moment. The ten queues that were worst at some moment. {ALL_USERS}",
        {
            "{{queue}}": hours(
                highest("queue", percentile(0.95, "ehpc_job_wait_seconds", QUEUE, "queue"))
            )
        },
        unit=looks.HOURS,
        legend_right=True,
    )


def run_by_queue() -> panels.Panel:
    """What most took."""
    return lines(
        "95 % ran for less than, by queue",
        "In which queue do jobs run for long? Of those that ended in the hour before each moment, in"
        f" whatever way. The ten queues with the longest. {ALL_USERS}",
        {
            "{{queue}}": hours(
                highest("queue", percentile(0.95, "ehpc_job_run_seconds", QUEUE, "queue"))
            )
        },
        unit=looks.HOURS,
        legend_right=True,
    )


def percentiles(family: str) -> dict[str, str]:
    """By legend."""
    shares = {"median": 0.5, "90 %": 0.9, "95 %": 0.95}
    return {legend: hours(percentile(share, family, QUEUE)) for legend, share in shares.items()}


def waits() -> panels.Panel:
    """From submit to start."""
    return lines(
        "Waiting time of jobs that started",
        "How long do jobs wait before they start? Of those that started in the hour before each moment,"
        f" half, 90 % and 95 % had waited less than this. {ALL_USERS}",
        percentiles("ehpc_job_wait_seconds"),
        unit=looks.HOURS,
        colours=looks.PERCENTILE_COLOURS,
    )


def runs() -> panels.Panel:
    """From start to end."""
    return lines(
        "Running time of jobs that ended",
        "How long do jobs run? Of those that ended in the hour before each moment, in whatever way, half,"
        f" 90 % and 95 % had run for less than this. {ALL_USERS}",
        percentiles("ehpc_job_run_seconds"),
        unit=looks.HOURS,
        colours=looks.PERCENTILE_COLOURS,
    )


def flow() -> panels.Panel:
    """In, on, out."""
    return lines(
        "Submitted, started and ended a minute",
        "Does the backlog grow? It does while more are submitted than start. Averaged over at least 20 minutes."
        f" {ALL_USERS}",
        {
            "submitted": per_minute("", f"ehpc_jobs_submitted_total{{{QUEUE}}}"),
            "started": per_minute("", f"ehpc_jobs_started_total{{{QUEUE}}}"),
            "ended": per_minute("", f"ehpc_jobs_ended_total{{{QUEUE}}}"),
        },
        unit=looks.PER_MINUTE,
        step=panels.FLOW_STEP,
        colours=looks.FLOW_COLOURS,
    )


def submitted_by_queue() -> panels.Panel:
    """Where the work comes in."""
    return stack_of_largest(
        "Submitted a minute, by queue",
        f"Where does new work come in? Jobs that appeared in the list. Averaged over at least 20 minutes. {ALL_USERS}",
        "queue",
        per_minute("queue", f"ehpc_jobs_submitted_total{{{QUEUE}}}"),
        rest="other queues",
        unit=looks.PER_MINUTE,
        step=panels.FLOW_STEP,
    )


def ended() -> panels.Panel:
    """How jobs end."""
    return stack(
        "Ended a minute, by status",
        f"How do jobs end? Finished, exited (failed) or cancelled. {ALL_USERS}",
        {"{{status}}": per_minute("status", f"ehpc_jobs_ended_total{{{QUEUE}}}")},
        unit=looks.PER_MINUTE,
        step=panels.FLOW_STEP,
        colours=looks.STATUS_COLOURS,
    )


def failures() -> panels.Panel:
    """Where they fail."""
    return stack_of_largest(
        "Failed jobs an hour, by queue",
        f"In which queue do jobs fail? Those that ended as exited in the hour before each moment. {ALL_USERS}",
        "queue",
        failed("queue", QUEUE, "1h"),
        rest="other queues",
    ).decimals(0)
