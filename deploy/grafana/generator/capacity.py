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

TOLD = "As the cloud reports it, every collection.capacity_interval; empty if it does not, or if the account may not ask."
LABELS = "cluster_name, queue"
GREY = looks.REST_COLOUR


def of_queues(metric: str, where: str = QUEUE) -> str:
    """A capacity of each queue."""
    return once(f"{metric}{{{where}}}", "queue")


def free_cores(by: str = LABELS, where: str = QUEUE) -> str:
    """Cores that no job holds; where that is not told, those that no running job has asked for."""
    all_cores = total(LABELS, of_queues("ehpc_queue_cores", where))
    asked = total(LABELS, cores(where, "running"))
    told = total(LABELS, of_queues("ehpc_queue_cores_available", where))
    free = f"({told} or clamp_min({all_cores} - ({asked}), 0))"
    return free if by == LABELS else total(by, free)


def used_share(by: str, where: str = QUEUE) -> str:
    """The part of the cores that is in use."""
    all_cores = total(by, of_queues("ehpc_queue_cores", where))
    return f"1 - ({free_cores(by, where)}) / ({all_cores} > 0)"


def would_fit(by: str = LABELS, where: str = QUEUE) -> str:
    """The part of the cores that jobs wait for that is free, queue by queue; absent where none waits."""
    waiting = total(LABELS, cores(where, "pending"))
    return f"clamp_max({free_cores(by, where)} / ({waiting} > 0), 1)"


def room(where: str) -> list[Column]:
    """Whether what waits in a queue could run, in three columns; of queues in which jobs wait."""
    waiting = f"{total(LABELS, cores(where, 'pending'))} > 0"
    return [
        Column("Cores free", f"{free_cores(LABELS, where)} and on ({LABELS}) ({waiting})"),
        Column(
            "In use", f"({used_share(LABELS, where)}) and on ({LABELS}) ({waiting})", looks.SHARE,
            bar=looks.RUNNING,
        ),
        Column("Would fit", would_fit(LABELS, where), looks.SHARE, steps=looks.WOULD_FIT_STEPS),
    ]  # fmt: skip


def queues() -> panels.Panel:
    """A row for each queue that has a capacity."""
    return grid(
        "Queues: what there is, and what waits for it",
        f"What could each queue run? The fullest first. {TOLD} \"Would fit\": how much of what is waited for is free now; at 100 %, something other than the load holds the jobs back. \"Empty in\": how long the backlog lasts if jobs start as fast as in the"
        " hour before.",
        ["cluster_name", "queue"],
        [
            Column("In use", used_share(LABELS), looks.SHARE, bar=looks.RUNNING),
            Column("Cores", total(LABELS, of_queues("ehpc_queue_cores"))),
            Column("Cores free", free_cores()),
            Column("Cores waiting", total(LABELS, cores(QUEUE, "pending")), bar=looks.PENDING),
            Column("Would fit", would_fit(), looks.SHARE, steps=looks.WOULD_FIT_STEPS),
            Column("Empty in", empty_in(LABELS, QUEUE), looks.SECONDS, decimals=1),
            Column("GPUs", total(LABELS, of_queues("ehpc_queue_gpus"))),
            Column("GPUs free", total(LABELS, of_queues("ehpc_queue_gpus_available"))),
            Column("Memory", total(LABELS, of_queues("ehpc_queue_memory_bytes")), looks.BYTES),
            Column(
                "Memory free", total(LABELS, of_queues("ehpc_queue_memory_available_bytes")),
                looks.BYTES,
            ),
            Column(
                "Nodes down",
                total(LABELS, once(f'ehpc_queue_nodes{{{QUEUE}, status!="active"}}', "queue, status"))
                + f" or 0 * {total(LABELS, once(f'ehpc_queue_nodes{{{QUEUE}}}', 'queue, status'))}",
                steps=looks.ANY_IS_NOTABLE,
            ),
        ],
        sort="In use",
    )  # fmt: skip


def waiting_against_free(where: str = QUEUE) -> panels.Panel:
    """Whether there are too few cores, or something else keeps jobs waiting."""
    return lines(
        "Cores waiting against cores free",
        "Could it run? If enough cores are free and jobs wait all the same, the cause is not the load, but the scheduler, a limit, a reservation, or a job that is wider than a node."
        f" {TOLD}",
        {
            "waiting": total("", cores(where, "pending")),
            "free": total("", free_cores(LABELS, where)),
            "in all": total("", of_queues("ehpc_queue_cores", where)),
        },
        colours={"waiting": looks.PENDING, "free": "green", "in all": GREY},
    )


def used_by_queue() -> panels.Panel:
    """How full the queues are."""
    return _used("queue", "queue", QUEUE)


def used_by_cluster() -> panels.Panel:
    """How full the clusters are."""
    return _used("cluster_name", "cluster", CLUSTER)


def _used(label: str, word: str, where: str) -> panels.Panel:
    return lines(
        f"Cores in use, by {word}",
        f"Which {word} is full? The part of its cores that jobs hold. The ten that were fullest at some"
        f" moment. {TOLD}",
        {f"{{{{{label}}}}}": highest(label, used_share(label, where))},
        unit=looks.SHARE,
        legend_right=True,
    )


def nodes() -> panels.Panel:
    """What works and what does not."""
    return stack(
        "Nodes by state",
        f"Do all nodes work? Of an HPC cluster the cloud shows login nodes only. {TOLD}",
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
        f"Does the cloud count the same? This is an independent number: it may lag, and may count differently (for instance, failed jobs as finished). {TOLD}",
        {"{{status}}": total("status", once(f"ehpc_cluster_listed_jobs{{{CLUSTER}}}", "status"))},
        colours=looks.STATUS_COLOURS,
    ).decimals(0)


def clusters() -> list[Column]:
    """Columns for a row of each cluster: what it could run."""
    by = "cluster_name"
    return [
        Column("Cores free", free_cores(by, CLUSTER)),
        Column("In use", used_share(by, CLUSTER), looks.SHARE, bar=looks.RUNNING),
    ]


def state() -> panels.Panel:
    """What the cloud says of the clusters themselves."""
    by = "cluster_name"
    seen = f"ehpc_capacity_timestamp_seconds{{{CLUSTER}}}"
    states = once(f"ehpc_cluster_status{{{CLUSTER}}}", "status")
    active = once(f'ehpc_cluster_status{{{CLUSTER}, status="active"}}', "status")
    columns = [
        Column(
            "Active", f"{total(by, active)} or 0 * {total(by, states)}",
            mappings=looks.YES_OR_NO,
        ),
        Column("Core hours", f"max by ({by}) (ehpc_cluster_core_hours{{{CLUSTER}}})"),
        Column("Capacity age", f"time() - max by ({by}) ({seen})", looks.SECONDS, decimals=0),
    ]  # fmt: skip
    return grid(
        "Clusters, by the cloud",
        f"Is the cluster itself active, and what has it used so far? {TOLD}",
        ["cluster_name"],
        columns,
        sort="Core hours",
        lowest_first="Active",
    )
