"""All clusters on one page: who waits, where, how long?"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generator import frame, looks, panels
from deploy.grafana.generator.demand import counts, users
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
    busiest,
    cores,
    data_age,
    empty_in,
    failed,
    failed_share,
    highest,
    hours,
    jobs,
    longest_wait,
    longest_wait_or_none,
    per_minute,
    total,
)  # fmt: skip


def dashboard() -> Dashboard:
    """Of the uid ``ehpc-overview``."""
    made = frame.board(
        "ehpc-overview",
        "E-HPC / Overview",
        "All clusters at a glance: who waits, where, and how long. Click a name to look into it.",
    ).with_variable(frame.choice("cluster", "Cluster", frame.CLUSTERS))
    frame.place(made, 5, numbers())
    frame.place(made, 8, [clusters()])
    frame.place(made, 9, [queues(), users("Who: users", CLUSTER, CLUSTER)], [11, 13])
    made.with_row(row("The last hours"))
    frame.place(made, 8, [pending_by_cluster(), longest_by_cluster()])
    frame.place(made, 8, [cores_by_cluster(), waiting_cores_by_cluster()])
    frame.place(made, 8, [ended(), failures_by_cluster()])
    return made.build()


def numbers() -> list[panels.Panel]:
    """The whole fleet in eight numbers."""
    return [
        number(
            "Clusters down",
            "Clusters whose last sync with the cloud API failed. What is shown of them is old, or"
            " withdrawn.",
            f"count(ehpc_up{{{CLUSTER}}} == 0) or 0 * count(ehpc_up{{{CLUSTER}}})",
            steps=looks.ANY_IS_BAD, trend=False,
        ),
        *counts(CLUSTER),
        number(
            "Longest wait",
            "Time since the submission of the pending job that has waited longest, of all"
            " clusters.",
            longest_wait("", CLUSTER), unit=looks.SECONDS, steps=looks.WAIT_STEPS,
            nothing="nobody waits", decimals=1,
        ),
        number(
            "Failed (1 h)",
            "The part that failed (exited) of the jobs that ended in the hour before.",
            failed_share("", CLUSTER, "1h"), unit=looks.SHARE, steps=looks.FAILED_SHARE_STEPS,
            decimals=1, trend=False,
        ),
        number(
            "Oldest data",
            "Age of the oldest counts on this page. The exporter withdraws those that are older"
            " than its collection.staleness.",
            data_age("", CLUSTER), unit=looks.SECONDS, steps=looks.AGE_STEPS, decimals=0, trend=False,
        ),
    ]  # fmt: skip


def clusters() -> panels.Panel:
    """A row for each cluster."""
    by = "cluster_name"
    return grid(
        "Clusters",
        "A row for each cluster, the longest wait first. Without counts: they are too old to be"
        " shown. Click a name to look into the cluster.",
        ["cluster_name"],
        [
            Column("Sync", f"min by ({by}) (ehpc_up{{{CLUSTER}}})", mappings=looks.UP_DOWN),
            Column(
                "Longest wait", longest_wait(by, CLUSTER), looks.SECONDS,
                steps=looks.WAIT_STEPS, decimals=1,
            ),
            Column("Pending", total(by, jobs(CLUSTER, "pending")), bar=looks.PENDING),
            Column("Cores waiting", total(by, cores(CLUSTER, "pending")), bar=looks.PENDING),
            Column("Running", total(by, jobs(CLUSTER, "running")), bar=looks.RUNNING),
            Column("Cores running", total(by, cores(CLUSTER, "running")), bar=looks.RUNNING),
            Column("Failed (1 h)", failed(by, CLUSTER, "1h")),
            Column(
                "Failed share", failed_share(by, CLUSTER, "1h"), looks.SHARE,
                steps=looks.FAILED_SHARE_STEPS,
            ),
            Column("Data age", data_age(by, CLUSTER), looks.SECONDS, steps=looks.AGE_STEPS, decimals=1),
        ],
        sort="Longest wait",
        widths={"cluster_name": 180},
    )  # fmt: skip


def queues() -> panels.Panel:
    """Where the waiting is."""
    by = "cluster_name, queue"
    return grid(
        "Where: queues",
        "Queues in which jobs wait, the longest wait first. \"Empty in\": how long the backlog"
        " lasts if jobs start as fast as in the hour before; empty if none started.",
        ["cluster_name", "queue"],
        [
            Column(
                "Longest wait", longest_wait(by, CLUSTER), looks.SECONDS,
                steps=looks.WAIT_STEPS, decimals=1, width=125,
            ),
            Column("Pending", f"{total(by, jobs(CLUSTER, 'pending'))} > 0", bar=looks.PENDING),
            Column(
                "Cores waiting", f"{total(by, cores(CLUSTER, 'pending'))} > 0",
                bar=looks.PENDING, width=115,
            ),
            Column("Empty in", empty_in(by, CLUSTER), looks.SECONDS, decimals=1),
        ],
        sort="Longest wait",
        widths={"cluster_name": 90, "queue": 95},
    )  # fmt: skip


def pending_by_cluster() -> panels.Panel:
    """The backlog."""
    return stack_of_largest(
        "Pending jobs by cluster",
        "Jobs that wait to start.",
        "cluster_name",
        total("cluster_name", jobs(CLUSTER, "pending")),
        rest="other clusters",
        rank=busiest("cluster_name", CLUSTER),
        most="cores, running and waiting,",
    )


def longest_by_cluster() -> panels.Panel:
    """How long the first in the line has waited."""
    return lines(
        "Longest wait by cluster",
        "Time since the submission of the pending job that has waited longest; 0 where nobody"
        " waits. The ten clusters that were worst at some moment.",
        {
            "{{cluster_name}}": hours(
                highest("cluster_name", longest_wait_or_none("cluster_name", CLUSTER))
            )
        },
        unit=looks.HOURS,
        legend_right=True,
    ).decimals(1)


def cores_by_cluster() -> panels.Panel:
    """What computes."""
    return stack_of_largest(
        "Cores running by cluster",
        "Cores that running jobs asked for.",
        "cluster_name",
        total("cluster_name", cores(CLUSTER, "running")),
        rest="other clusters",
        rank=busiest("cluster_name", CLUSTER),
        most="cores, running and waiting,",
    )


def waiting_cores_by_cluster() -> panels.Panel:
    """What would compute."""
    return stack_of_largest(
        "Cores waiting by cluster",
        "Cores that pending jobs ask for.",
        "cluster_name",
        total("cluster_name", cores(CLUSTER, "pending")),
        rest="other clusters",
        rank=busiest("cluster_name", CLUSTER),
        most="cores, running and waiting,",
    )


def ended() -> panels.Panel:
    """How jobs end."""
    return stack(
        "Jobs ended a minute, by status",
        "Jobs that were seen to end: finished, exited (failed) or cancelled.",
        {"{{status}}": per_minute("status", f"ehpc_jobs_ended_total{{{CLUSTER}}}")},
        unit=looks.PER_MINUTE,
        step=panels.FLOW_STEP,
        colours=looks.STATUS_COLOURS,
    )


def failures_by_cluster() -> panels.Panel:
    """Where they fail."""
    return stack_of_largest(
        "Failed jobs an hour, by cluster",
        "Jobs that ended as exited in the hour before each moment.",
        "cluster_name",
        failed("cluster_name", CLUSTER, "1h"),
        rest="other clusters",
    ).decimals(0)
