"""What there is to run jobs on, and how much of it is free."""

from deploy.grafana.generator import looks, panels
from deploy.grafana.generator.panels import Column, grid, lines, stack
from deploy.grafana.generator.promql import (
    CLUSTER,
    QUEUE,
    cores,
    empty_in,
    highest,
    once,
    total,
)

TOLD = (
    "As the cloud tells it, every collection.capacity_interval; empty where it does not, or the account"
    " may not ask."
)
LABELS = "cluster_name, queue"
GREY = looks.REST_COLOUR


def of_queues(metric: str) -> str:
    """A capacity of each queue."""
    return once(f"{metric}{{{QUEUE}}}", "queue")


def free_cores(by: str = LABELS) -> str:
    """Cores that no job holds; where that is not told, those that no running job has asked for."""
    all_cores = total(LABELS, of_queues("ehpc_queue_cores"))
    asked = total(LABELS, cores(QUEUE, "running"))
    told = total(LABELS, of_queues("ehpc_queue_cores_available"))
    free = f"({told} or clamp_min({all_cores} - ({asked}), 0))"
    return free if by == LABELS else total(by, free)


def used_share(by: str) -> str:
    """The part of the cores that is in use."""
    all_cores = total(by, of_queues("ehpc_queue_cores"))
    return f"1 - ({free_cores(by)}) / ({all_cores} > 0)"


def queues() -> panels.Panel:
    """A row for each queue that has a capacity."""
    return grid(
        "Queues: what there is, and what waits for it",
        f"The fullest first. {TOLD} \"Empty in\": how long the backlog lasts if jobs start as fast as in the"
        " hour before.",
        ["cluster_name", "queue"],
        [
            Column("In use", used_share(LABELS), looks.SHARE, bar=looks.RUNNING),
            Column("Cores", total(LABELS, of_queues("ehpc_queue_cores"))),
            Column("Cores free", free_cores()),
            Column("Cores waiting", total(LABELS, cores(QUEUE, "pending")), bar=looks.PENDING),
            Column("Empty in", empty_in(LABELS, QUEUE), looks.SECONDS, decimals=1),
            Column("GPUs", total(LABELS, of_queues("ehpc_queue_gpus"))),
            Column("GPUs free", total(LABELS, of_queues("ehpc_queue_gpus_available"))),
            Column("Memory", total(LABELS, of_queues("ehpc_queue_memory_bytes")), looks.BYTES),
            Column(
                "Memory free", total(LABELS, of_queues("ehpc_queue_memory_available_bytes")),
                looks.BYTES,
            ),
            Column(
                "Nodes not active",
                total(LABELS, once(f'ehpc_queue_nodes{{{QUEUE}, status!="active"}}', "queue, status"))
                + f" or 0 * {total(LABELS, once(f'ehpc_queue_nodes{{{QUEUE}}}', 'queue, status'))}",
                steps=looks.ANY_IS_NOTABLE,
            ),
        ],
        sort="In use",
    )  # fmt: skip


def waiting_against_free() -> panels.Panel:
    """Whether there are too few cores, or something else keeps jobs waiting."""
    return lines(
        "Cores waiting against cores free",
        "Where as many cores are free as are waited for and jobs wait all the same, not the load is the"
        f" matter: the scheduler, a limit, a reservation, or a job that is wider than a node. {TOLD}",
        {
            "waiting": total("", cores(QUEUE, "pending")),
            "free": total("", free_cores()),
            "in all": total("", of_queues("ehpc_queue_cores")),
        },
        colours={"waiting": looks.PENDING, "free": "green", "in all": GREY},
    )


def used_by_queue() -> panels.Panel:
    """How full the queues are."""
    return lines(
        "Cores in use, by queue",
        f"The part of a queue's cores that jobs hold. The ten queues that were fullest at some moment. {TOLD}",
        {"{{queue}}": highest("queue", used_share("queue"))},
        unit=looks.SHARE,
        legend_right=True,
    )


def nodes() -> panels.Panel:
    """What works and what does not."""
    return stack(
        "Nodes by state",
        f"Of an HPC cluster the cloud shows login nodes only. {TOLD}",
        {
            "{{role}} {{status}}": total(
                "role, status", once(f"ehpc_nodes{{{CLUSTER}}}", "role, status")
            )
        },
        legend_right=True,
    ).decimals(0)


def listed_jobs() -> panels.Panel:
    """What the cloud itself counts."""
    return lines(
        "Jobs by the cloud's own counters",
        "An independent number: these may lag, and count otherwise (failed jobs as finished, for"
        f" instance). {TOLD}",
        {"{{status}}": total("status", once(f"ehpc_cluster_listed_jobs{{{CLUSTER}}}", "status"))},
        colours=looks.STATUS_COLOURS,
    ).decimals(0)


def clusters() -> list[Column]:
    """Columns for a row of each cluster."""
    by = "cluster_name"
    seen = f"ehpc_capacity_timestamp_seconds{{{CLUSTER}}}"
    states = once(f"ehpc_cluster_status{{{CLUSTER}}}", "status")
    not_active = once(f'ehpc_cluster_status{{{CLUSTER}, status!="active"}}', "status")
    return [
        Column(
            "Active", f"1 - ({total(by, not_active)} or 0 * {total(by, states)})",
            mappings=looks.YES_OR_NO,
        ),
        Column("Core hours", f"max by ({by}) (ehpc_cluster_core_hours{{{CLUSTER}}})"),
        Column("Capacity age", f"time() - max by ({by}) ({seen})", looks.SECONDS, decimals=0),
    ]  # fmt: skip
