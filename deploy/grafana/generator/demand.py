"""What both the overview and the page of a cluster show: how much runs, and who waits."""

from deploy.grafana.generator import looks, panels
from deploy.grafana.generator.panels import Column, grid, number
from deploy.grafana.generator.promql import cores, jobs, longest_wait, most_waiting, total


def counts(where: str) -> list[panels.Panel]:
    """Jobs and cores, running and waiting, in four numbers."""
    shown = (
        ("Running", "Jobs that run now.", jobs(where, "running"), looks.RUNNING),
        ("Pending", "Jobs that wait to start.", jobs(where, "pending"), looks.PENDING),
        (
            "Cores running", "Cores that running jobs asked for.",
            cores(where, "running"), looks.RUNNING,
        ),
        (
            "Cores waiting", "Cores that pending jobs ask for.",
            cores(where, "pending"), looks.PENDING,
        ),
    )  # fmt: skip
    return [
        number(title, description, total("", what), colour=colour)
        for title, description, what, colour in shown
    ]


def users(title: str, where: str, queues: str) -> panels.Panel:
    """A row for each user who waits; ``queues`` selects the queues alone."""
    by = "cluster_name, queue, user"
    return grid(
        title,
        "Users whose jobs wait, with the most cores waiting first; at most 50. The wait is that of"
        " the job that has waited longest in the queue, whosoever it is.",
        ["cluster_name", "queue", "user"],
        [
            Column("Pending", most_waiting(by, jobs(where, "pending"), where)),
            Column(
                "Cores waiting", most_waiting(by, cores(where, "pending"), where),
                bar=looks.PENDING, width=135,
            ),
            Column("Cores running", most_waiting(by, cores(where, "running"), where), width=108),
            Column(
                "Longest wait",
                f"0 * ({most_waiting(by, jobs(where, 'pending'), where)})"
                " + on (cluster_name, queue) group_left ()"
                f" ({longest_wait('cluster_name, queue', queues)})",
                looks.SECONDS, steps=looks.WAIT_STEPS, decimals=1, width=108,
            ),
        ],
        sort="Cores waiting",
        widths={"cluster_name": 90, "queue": 95, "user": 115},
    )  # fmt: skip
