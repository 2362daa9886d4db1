"""Selectors, and the turns of phrase that many queries share."""

CLUSTER = 'cluster_name=~"$cluster"'
QUEUE = f'{CLUSTER}, queue=~"$queue"'
USER = f'{QUEUE}, user=~"$user"'

MOST_LINES = 10
"""So many lines are told apart; the rest of a stack is added up."""

MOST_ROWS = 50
"""So many rows of users are listed."""


def once(what: str, labels: str = "status, queue, user, le") -> str:
    """Series of clusters by these labels, as far as they have them. Of a cluster that two targets
    report, the higher counts: it is not there twice."""
    return f"max by (cluster_name, {labels}) ({what})"


def jobs(where: str, status: str) -> str:
    """Jobs in a status."""
    return once(f'ehpc_jobs{{{where}, status="{status}"}}')


def cores(where: str, status: str) -> str:
    """Cores that jobs in a status ask for."""
    return once(f'ehpc_jobs_cores{{{where}, status="{status}"}}')


def total(by: str, what: str) -> str:
    """The sum, by some labels; by none if ``by`` is empty."""
    return f"sum by ({by}) ({what})" if by else f"sum({what})"


def by_group(what: str) -> str:
    """``what`` by clusters and users, each with the label ``group``; of users that have one."""
    group = (
        f"topk by (cluster_name, user) (1, {once(f'ehpc_user_info{{{CLUSTER}}}', 'user, group')})"
    )
    joined = f"{total('cluster_name, user', what)} * on (cluster_name, user) group_left (group)"
    return f"{joined} {group}"


def now_or_nothing(what: str) -> str:
    """A single number that ends when it ends: a panel shows the last point of a line, and would
    show that of yesterday."""
    return f"({what}) or vector(NaN)"


def longest_wait(by: str, where: str) -> str:
    """Seconds since the submission of the job that has waited longest. A clock that is ahead of
    ours makes it 0 rather than negative."""
    oldest = f"ehpc_oldest_pending_submit_timestamp_seconds{{{where}}}"
    first = f"min by ({by}) ({oldest})" if by else f"min({oldest})"
    return f"clamp_min(time() - {first}, 0)"


def longest_wait_or_none(by: str, where: str) -> str:
    """The same, and 0 where nobody waits: not where jobs wait and it is not known since when."""
    return f"{longest_wait(by, where)} or {total(by, jobs(where, 'pending'))} == 0"


def data_age(by: str, where: str) -> str:
    """Seconds since the published counts were true."""
    moment = f"ehpc_snapshot_timestamp_seconds{{{where}}}"
    return f"time() - min by ({by}) ({moment})" if by else f"time() - min({moment})"


def clusters_down() -> str:
    """Clusters that no exporter can read; 0 if there are none such."""
    up = f"max by (cluster_name) (ehpc_up{{{CLUSTER}}})"
    return f"count({up} == 0) or 0 * count({up})"


def hours(seconds: str) -> str:
    """For an axis."""
    return f"({seconds}) / 3600"


def empty_in(by: str, where: str) -> str:
    """Seconds until nothing waits if jobs start as in the hour before; absent if none did."""
    pending = total(by, jobs(where, "pending"))
    started = total(by, once(f"rate(ehpc_jobs_started_total{{{where}}}[1h])"))
    return f"({pending} > 0) / ({started} > 0)"


def most_waiting(by: str, what: str, where: str) -> str:
    """``what`` of those who have most cores waiting, and no more of them than one reads."""
    waiting = total(by, cores(where, "pending"))
    return f"{total(by, what)} and on ({by}) topk({MOST_ROWS}, {waiting} > 0)"


def failed_share(by: str, where: str, window: str) -> str:
    """The part of the jobs that ended in the window that failed; absent where none ended."""
    ended = total(by, once(f"increase(ehpc_jobs_ended_total{{{where}}}[{window}])"))
    return f"({failed(by, where, window)}) / ({ended} > 0)"


def failed(by: str, where: str, window: str) -> str:
    """Jobs that failed in the window; 0 where a job ended, and none has ever failed."""
    exited = f'increase(ehpc_jobs_ended_total{{{where}, status="exited"}}[{window}])'
    ended = total(by, once(f"increase(ehpc_jobs_ended_total{{{where}}}[{window}])"))
    return f"{total(by, once(exited))} or 0 * {ended}"


def percentile(share: float, family: str, where: str, by: str = "") -> str:
    """Of the jobs of the hour before; absent for an hour without any."""
    labels = f"le, {by}" if by else "le"
    buckets = total(labels, once(f"rate({family}_bucket{{{where}}}[1h])"))
    quantile = f"histogram_quantile({share}, {buckets})"
    return f"{quantile} >= 0"  # without a job it is NaN, which no comparison lets pass


def per_minute(by: str, counter: str) -> str:
    """How fast a counter grows."""
    return f"60 * {total(by, once(f'rate({counter}[$__rate_interval])'))}"


def busiest(by: str, where: str) -> str:
    """What to rank by so that the same names stand on all panels about jobs and cores."""
    return total(by, once(f"ehpc_jobs_cores{{{where}}}"))


def _largest(rank: str) -> str:
    """Those with most in the whole time range, so that they are the same at each moment."""
    ranked = f"sum_over_time(({rank})[$__range:$__interval] @ end())"
    return f"topk({MOST_LINES}, {ranked})"


def largest(by: str, what: str, rank: str) -> str:
    """``what`` of those that have most of ``rank`` in the time range."""
    return f"({what}) and on ({by}) {_largest(rank)}"


def others(by: str, what: str, rank: str) -> str:
    """``what`` of all others, added up; absent when there are none."""
    return f"sum(({what}) unless on ({by}) {_largest(rank)})"


def highest(by: str, what: str) -> str:
    """Those that were highest at some moment of the time range."""
    ranked = f"max_over_time(({what})[$__range:$__interval] @ end())"
    return f"({what}) and on ({by}) topk({MOST_LINES}, {ranked})"


def lowest(by: str, what: str) -> str:
    """Those that were lowest at some moment of the time range."""
    ranked = f"min_over_time(({what})[$__range:$__interval] @ end())"
    return f"({what}) and on ({by}) bottomk({MOST_LINES}, {ranked})"


def occurring(by: str, what: str) -> str:
    """Those that were above zero at some moment of the time range."""
    ranked = f"max_over_time(({what})[$__range:$__interval] @ end())"
    return f"({what}) and on ({by}) {ranked} > 0"
