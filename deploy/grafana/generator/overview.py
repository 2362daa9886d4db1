"""All clusters on one page: who waits, where, how long?"""

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
    clusters_down,
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
    )
    frame.clusters(made)
    frame.place(made, 4, numbers())
    frame.place(made, 9, [clusters()])
    made.with_row(row("Who waits, where, and could it run?"))
    frame.place(made, 9, [queues()])
    against = capacity.waiting_against_free(CLUSTER)
    frame.place(made, 9, [users("Who: users", CLUSTER, CLUSTER), against], [13, 11])
    made.with_row(row("The last hours"))
    by_cluster = by("cluster_name", "cluster", CLUSTER)
    frame.place(made, 8, [by_cluster.pending_jobs, longest_by_cluster()])
    frame.place(made, 8, [by_cluster.cores_running, by_cluster.cores_waiting])
    frame.place(made, 8, [capacity.used_by_cluster(), failures_by_cluster(), ended()])
    return made.build()


def numbers() -> list[panels.Panel]:
    """The whole fleet in eight numbers."""
    running, pending, _, waiting = counts(CLUSTER)
    return [
        number(
            "Clusters down",
            "How many clusters cannot be read? Their last sync with the cloud API failed; what is shown of"
            " them is old, or withdrawn.",
            clusters_down(),
            steps=looks.ANY_IS_BAD, trend=False,
        ),
        running, pending, waiting,
        number(
            "Cores in use", f"How full is it all? The part of the cores that jobs hold. {capacity.TOLD}",
            capacity.used_share("", CLUSTER), unit=looks.SHARE, colour=looks.RUNNING, decimals=1,
        ),
        number(
            "Longest wait",
            "How long has the first in line waited, since its submission? Of all clusters.",
            longest_wait_or_none("", CLUSTER), unit=looks.SECONDS, steps=looks.WAIT_STEPS, decimals=1,
        ),
        number(
            "Failed (1 h)",
            "How much of what ended in the hour before failed (exited)?",
            failed_share("", CLUSTER, "1h"), unit=looks.SHARE, steps=looks.FAILED_SHARE_STEPS,
            decimals=1, trend=False,
        ),
        number(
            "Oldest data",
            "How old are the oldest counts on this page? The exporter withdraws those that are older"
            " than its collection.staleness.",
            data_age("", CLUSTER), unit=looks.SECONDS, steps=looks.AGE_STEPS, decimals=0, trend=False,
        ),
    ]  # fmt: skip


def clusters() -> panels.Panel:
    """A row for each cluster."""
    labels = "cluster_name"
    return grid(
        "Clusters",
        "Which cluster needs a look? Those that cannot be read first, then the longest wait. Without counts:"
        " they are too old to be shown. Click a name to look into the cluster.",
        ["cluster_name"],
        [
            Column("Sync", f"min by ({labels}) (ehpc_up{{{CLUSTER}}})", mappings=looks.UP_DOWN),
            Column(
                "Longest wait", longest_wait(labels, CLUSTER), looks.SECONDS,
                steps=looks.WAIT_STEPS, decimals=1,
            ),
            *amounts(labels, CLUSTER),
            Column(
                "Failed share", failed_share(labels, CLUSTER, "1h"), looks.SHARE,
                steps=looks.FAILED_SHARE_STEPS,
            ),
            Column("Data age", data_age(labels, CLUSTER), looks.SECONDS, steps=looks.AGE_STEPS, decimals=1),
            *capacity.clusters(),
        ],
        sort="Longest wait",
        lowest_first="Sync",
        widths={"cluster_name": 180},
    )  # fmt: skip


def queues() -> panels.Panel:
    """Where the waiting is."""
    labels = "cluster_name, queue"
    return grid(
        "Where: queues",
        "Where do jobs wait, and could they run? The longest wait first. \"Would fit\": how much of what is waited for is free now; at 100 %, something other than the load holds the jobs back. \"Empty in\": how"
        " long the backlog lasts if jobs start as fast as in the hour before; empty if none started.",
        ["cluster_name", "queue"],
        [
            Column(
                "Longest wait", longest_wait(labels, CLUSTER), looks.SECONDS,
                steps=looks.WAIT_STEPS, decimals=1,
            ),
            Column("Pending", f"{total(labels, jobs(CLUSTER, 'pending'))} > 0", bar=looks.PENDING),
            Column(
                "Cores waiting", f"{total(labels, cores(CLUSTER, 'pending'))} > 0",
                bar=looks.PENDING,
            ),
            *capacity.room(CLUSTER),
            Column("Empty in", empty_in(labels, CLUSTER), looks.SECONDS, decimals=1),
        ],
        sort="Longest wait",
        widths={"cluster_name": 180, "queue": 180},
    )  # fmt: skip


def longest_by_cluster() -> panels.Panel:
    """How long the first in the line has waited."""
    return lines(
        "Longest wait by cluster",
        "Where has the first in line waited longest, and is it getting better? 0 where nobody waits. The ten"
        " clusters that were worst at some moment.",
        {
            "{{cluster_name}}": hours(
                highest("cluster_name", longest_wait_or_none("cluster_name", CLUSTER))
            )
        },
        unit=looks.HOURS,
        legend_right=True,
    )


def ended() -> panels.Panel:
    """How jobs end."""
    return stack(
        "Jobs ended a minute, by status",
        "How do jobs end? Finished, exited (failed) or cancelled.",
        {"{{status}}": per_minute("status", f"ehpc_jobs_ended_total{{{CLUSTER}}}")},
        unit=looks.PER_MINUTE,
        step=panels.FLOW_STEP,
        colours=looks.STATUS_COLOURS,
    )


def failures_by_cluster() -> panels.Panel:
    """Where they fail."""
    return stack_of_largest(
        "Failed jobs an hour, by cluster",
        "Where do jobs fail? Those that ended as exited in the hour before each moment.",
        "cluster_name",
        failed("cluster_name", CLUSTER, "1h"),
        rest="other clusters",
    ).decimals(0)
