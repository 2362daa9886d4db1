"""What was used, by whom: core hours and waiting times of the time shown, by group, user and queue."""

from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generator import frame, looks, panels
from deploy.grafana.generator.panels import Column, grid, number, row, stack_of_largest
from deploy.grafana.generator.promql import (
    MOST_ROWS,
    USER,
    by_group,
    cores,
    hours,
    once,
    total,
)

ENDED = "Of the runs that ended in the time shown; each counts in full, even if it began earlier."
DAY, MONTH = "1d", "30d"


def dashboard() -> Dashboard:
    """Of the uid ``ehpc-usage``."""
    made = frame.board(
        "ehpc-usage",
        "E-HPC / Usage",
        "What was used in the time shown, and how long jobs waited: by group, user and queue."
        " To see a month, choose it as the time range: this month so far, or the previous month.",
    ).time("now/M", "now")
    frame.clusters(made)
    for name, label, values in (("queue", "Queue", frame.QUEUES), ("user", "User", frame.USERS)):
        made.with_variable(frame.choice(name, label, values))
    frame.place(made, 5, numbers())
    made.with_row(row("Who used how much"))
    for label, height in (("group", 7), ("queue", 7), ("user", 9)):
        frame.place(made, height, [table(label)])
    made.with_row(row("Day by day"))
    frame.place(made, 8, [bars("queue", DAY), bars("group", DAY), bars("user", DAY)])
    made.with_row(row("Month by month"))
    frame.place(made, 8, [bars("queue", MONTH), bars("group", MONTH), bars("user", MONTH)])
    return made.build()


def grown(counter: str, window: str = "$__range", *, end: str = " @ end()") -> str:
    """How much a counter of queues and users grew in a window, at the end of the time shown."""
    return once(f"increase({counter}{{{USER}}}[{window}]{end})", "queue, user")


def by(label: str, what: str) -> str:
    """The sum over a label; over a group by who is in it."""
    if label == "group":
        return total("cluster_name, group", by_group(what))
    return total(f"cluster_name, {label}", what)


CORE_SECONDS = grown("ehpc_job_core_seconds_total")
WAITED = grown("ehpc_user_wait_seconds_sum")
WAITS = grown("ehpc_user_wait_seconds_count")


def numbers() -> list[panels.Panel]:
    """What is chosen, in four numbers."""
    running = total("", cores(USER, "running"))
    return [
        number("Core hours", f"How much was used? Cores times hours. {ENDED}", hours(total("", CORE_SECONDS)),
               colour="text", decimals=0, trend=False),
        number("Cores running", "How many cores do running jobs hold? What they use is counted when"
               " they end.", running, colour=looks.RUNNING),
        number("Starts", "How many jobs started in the time shown?", total("", WAITS), colour="text",
               decimals=0, trend=False),
        number("Mean wait", "How long did jobs wait, on average, from submission to start? Of the jobs that started in the time shown.",
               f"{total('', WAITED)} / ({total('', WAITS)} > 0)", unit=looks.SECONDS,
               steps=looks.WAIT_STEPS, nothing="none started", decimals=1, trend=False),
    ]  # fmt: skip


def table(label: str) -> panels.Panel:
    """A row for each value of a label, with most core hours first."""
    used = by(label, CORE_SECONDS)
    most = f"topk({MOST_ROWS}, {used})"
    labels = f"cluster_name, {label}"
    whole = f"on (cluster_name) group_left () ({total('cluster_name', CORE_SECONDS)} > 0)"

    def of_those(what: str) -> str:
        return f"{what} and on ({labels}) {most}"

    return grid(
        f"By {label}",
        f"Which {label} used how much, and how long did it wait? {ENDED} The share is of what the cluster's chosen queues and users used in all; waits are those of the jobs that started. At most {MOST_ROWS}, with the most core hours.",
        ["cluster_name", label],
        [
            Column("Core hours", hours(most), bar=looks.RUNNING),
            Column("Share", f"{most} / {whole}", looks.SHARE, decimals=1),
            Column("Cores running", of_those(by(label, cores(USER, "running"))), width=110),
            Column("Starts", of_those(by(label, WAITS)), width=80),
            Column("Waited in all", of_those(hours(by(label, WAITED))), looks.HOURS, width=110),
            Column("Mean wait", of_those(f"{by(label, WAITED)} / ({by(label, WAITS)} > 0)"),
                   looks.SECONDS, decimals=1, width=100),
        ],
        sort="Core hours",
    )  # fmt: skip


def bars(label: str, window: str) -> panels.Panel:
    """What was used from day to day, or in 30 days at a time."""
    what = grown("ehpc_job_core_seconds_total", window, end=" offset -" + window)
    used = total("group", by_group(what)) if label == "group" else total(label, what)
    each = "Each bar is a day" if window == DAY else "Each bar is 30 days, of the last 360"
    panel = stack_of_largest(
        f"Core hours by {label}" + ("" if window == DAY else ", 30 days each"),
        f"Which {label} used how much, and when? Of the runs that ended then. {each}.", label, hours(used), rest=f"other {label}s", step=window,
    )  # fmt: skip
    panel.draw_style(look.GraphDrawStyle.BARS).bar_width_factor(0.8).interval(window).decimals(0)
    return panel if window == DAY else panel.time_from("360d")


def group_row() -> list[panels.Panel]:
    """For the page of a cluster: who waits and who runs, by group."""

    def stacked(title: str, description: str, status: str) -> panels.Panel:
        what = total("group", by_group(cores(USER, status)))
        return stack_of_largest(title, description, "group", what, rest="other groups")

    told = "Where labels.user.groups_file says who is in which group."
    return [
        stacked(
            "Cores waiting by group", f"Which group waits for how many cores? {told}", "pending"
        ),
        stacked("Cores running by group", f"Which group holds how many cores? {told}", "running"),
    ]
