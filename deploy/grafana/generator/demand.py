"""What both the overview and the page of a cluster show: how much runs, and who waits."""

from dataclasses import dataclass

from deploy.grafana.generator import looks, panels
from deploy.grafana.generator.panels import Column, grid, number, stack_of_largest
from deploy.grafana.generator.promql import busiest, cores, jobs, longest_wait, most_waiting, total


def counts(where: str) -> list[panels.Panel]:
    """Jobs and cores, running and waiting, in four numbers."""
    shown = (
        ("Running", "How many jobs run now?", jobs(where, "running"), looks.RUNNING),
        ("Pending", "How many jobs wait to start?", jobs(where, "pending"), looks.PENDING),
        (
            "Cores running", "How many cores do running jobs hold? As many as they asked for.",
            cores(where, "running"), looks.RUNNING,
        ),
        (
            "Cores waiting", "How many cores would it take to start all that waits?",
            cores(where, "pending"), looks.PENDING,
        ),
    )  # fmt: skip
    return [
        number(title, description, total("", what), colour=colour)
        for title, description, what, colour in shown
    ]


def amounts(labels: str, where: str) -> list[Column]:
    """Jobs and cores, waiting and running, in four columns of a table with a row for each of the
    labels."""
    return [
        Column("Pending", total(labels, jobs(where, "pending")), bar=looks.PENDING),
        Column("Cores waiting", total(labels, cores(where, "pending")), bar=looks.PENDING),
        Column("Running", total(labels, jobs(where, "running")), bar=looks.RUNNING),
        Column("Cores running", total(labels, cores(where, "running")), bar=looks.RUNNING),
    ]


@dataclass(frozen=True)
class Stacks:
    """The same by something, over time."""

    pending_jobs: panels.Panel
    running_jobs: panels.Panel
    cores_waiting: panels.Panel
    cores_running: panels.Panel


def by(label: str, word: str, where: str) -> Stacks:
    """Stacked by the values of a label, which people call ``word``."""

    def stacked(title: str, description: str, what: str) -> panels.Panel:
        return stack_of_largest(
            f"{title} by {word}", description, label, total(label, what),
            rest=f"other {word}s", rank=busiest(label, where), most="cores, running and waiting,",
        )  # fmt: skip

    return Stacks(
        stacked("Pending jobs", f"Which {word} has most jobs waiting?", jobs(where, "pending")),
        stacked("Running jobs", f"Which {word} runs most jobs?", jobs(where, "running")),
        stacked("Cores waiting", f"Which {word} waits for most cores?", cores(where, "pending")),
        stacked("Cores running", f"Which {word} holds most cores?", cores(where, "running")),
    )


def users(title: str, where: str, queues: str) -> panels.Panel:
    """A row for each user who waits; ``queues`` selects the queues alone."""
    by = "cluster_name, queue, user"
    return grid(
        title,
        "Whose jobs wait? The most cores waiting first; at most 50. The wait is that of the job that has waited longest in the queue, whoever submitted it.",
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
