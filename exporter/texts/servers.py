"""What is said about a server: its traits, how they differ, and the evidence. Pure."""

from collections.abc import Mapping

_DIFFERENCES: Mapping[tuple[str, str], str] = {
    ("status_filter", "job_status"): "filter_name",
    ("status_filter", "none"): "no_filter",
    ("order", "change_only"): "order_change_only",
    ("order", "submission"): "order_submission",
    ("order", "default"): "order_submission",
    ("order", "none"): "no_order",
    ("order", "unknown"): "order_unknown",
    ("total_count", "cluster"): "total_of_cluster",
    ("total_count", "none"): "no_total",
    ("zone", "contradicted"): "zone_contradicted",
    ("zone", "unknown"): "zone_unknown",
    ("counters", "unknown"): "counters",
}
"""By trait and value."""
_WITH_VALUE = {"page_size": "short_pages", "depth": "depth", "lag": "lag", "zone": "zone_local"}


def difference(trait: str, value: str) -> tuple[str, dict[str, str]] | None:
    """The key of what is said of a trait that is not as documented, after ``differs.`` and ``do.``,
    and what it is filled in with; None where there is nothing to say."""
    if key := _DIFFERENCES.get((trait, value)):
        return key, {}
    is_value = value[:1] in ("+", "-") if trait == "zone" else value.isdigit()
    documented = (trait, value) in {("page_size", "100"), ("lag", "0")}
    return (_WITH_VALUE[trait], {"value": value}) if is_value and not documented else None


# fmt: off
SERVERS: Mapping[str, tuple[str, str]] = {
    "trait.status_filter": ("status filter", "状态过滤"),
    "trait.order": ("order", "排序"),
    "trait.total_count": ("total_count", "total_count"),
    "trait.page_size": ("page size", "每页数量"),
    "trait.depth": ("depth", "深度"),
    "trait.zone": ("zone of times", "时间的时区"),
    "trait.lag": ("lag", "滞后"),
    "trait.counters": ("counters in cluster/list", "cluster/list 中的计数"),
    "value.unknown": ("unknown", "未知"),
    "value.status_filter.both": ("works; both names are sent", "有效；两个名称同时发送"),
    "value.status_filter.jobs_status": ("jobs_status", "jobs_status"),
    "value.status_filter.job_status": ("job_status", "job_status"),
    "value.status_filter.none": ("does not work", "无效"),
    "value.order.change": ("by last change", "按最近变更"),
    "value.order.change_only": ("by last change, not by submission", "按最近变更，不能按提交"),
    "value.order.submission": ("by submission", "按提交时间"),
    "value.order.default": ("by submission, by default", "默认按提交时间"),
    "value.order.none": ("none", "无"),
    "value.total_count.filtered": ("counts the filtered jobs", "统计过滤后的作业"),
    "value.total_count.cluster": ("always counts the whole list", "总是统计整个列表"),
    "value.total_count.none": ("missing or wrong", "没有给出，或不正确"),
    "value.page_size": ("{value} jobs", "{value} 个作业"),
    "value.depth.unknown": ("no limit seen", "没有遇到限制"),
    "value.lag.unknown": ("none seen", "没有见到"),
    "value.counters.unknown": ("not proven", "未经证实"),
    "value.counters.follow": ("follow the list", "与列表一致"),
    "value.depth.unlimited": ("the whole list", "可到列表末尾"),
    "value.depth": ("{value} jobs", "{value} 个作业"),
    "value.zone.stamped": ("given with every time", "所有时间都带时区"),
    "value.zone.utc": ("UTC", "UTC"),
    "value.zone.configured": ("as configured", "按配置"),
    "value.zone.contradicted": ("not as configured", "与配置不符"),
    "value.zone": ("UTC{value}", "UTC{value}"),
    "value.lag": ("up to {value} s", "最多 {value} 秒"),
    "differs.filter_name": ("The status filter is called job_status, not jobs_status.", "状态过滤参数名为 job_status，而不是 jobs_status。"),
    "do.filter_name": ("Nothing: the name that works is used.", "不必处理，会使用有效的名称。"),
    "differs.no_filter": ("Jobs cannot be filtered by status.", "不能按状态过滤作业。"),
    "do.no_filter": (
        "Nothing, but the first counts take longer. Ask the cloud's support whether this is intended.",
        "不必处理，只是首次计数更慢。可询问云的技术支持是否有意如此。"),
    "differs.order_change_only": ("The list can be sorted by last change, but not by submission.", "列表可以按最近变更排序，但不能按提交时间排序。"),
    "do.order_change_only": ("Nothing, but finding deleted jobs takes more calls.", "不必处理；只是查找被删除的作业要多用些调用。"),
    "differs.order_submission": ("The list is not sorted by last change, only by submission.", "列表不能按最近变更排序，只能按提交时间。"),
    "do.order_submission": ("Nothing, but each sync queries the active jobs, which takes a few more calls.", "不必处理；只是每次同步都要查询活动作业，会多用几次调用。"),
    "differs.no_order": ("The list has no order that could be confirmed; the evidence says why.", "无法确认列表有任何排序；原因见依据。"),
    "do.no_order": (
        "Nothing: the daemon tries again every hour. If it costs too much, lengthen interval and audit_interval, and ask the cloud's support about sort_key.",
        "不必处理，守护进程每小时会再试。如果开销过大，请调大 interval 与 audit_interval；并向云的技术支持询问 sort_key。"),
    "differs.order_unknown": ("No order could be confirmed yet.", "还不能确认任何排序。"),
    "do.order_unknown": ("Nothing: the daemon tries again. Or run this again when jobs have changed.", "不必处理，守护进程会再试。也可以等作业变化后再运行。"),
    "differs.total_of_cluster": (
        "total_count counts the whole list even when filtered by status.",
        "即使按状态过滤，total_count 也统计整个列表。"),
    "do.total_of_cluster": ("Nothing: checks by status read pages instead.", "不必处理，按状态的核对改为读取各页。"),
    "differs.no_total": ("total_count is missing, or does not match the list.", "没有给出 total_count，或与列表不符。"),
    "do.no_total": (
        "If it costs too much, lengthen the interval: each sync takes a call more, or reads the active jobs or the whole list.",
        "如果开销过大，请调大间隔：每次同步要多一次调用，或要读取活动作业或整个列表。"),
    "differs.short_pages": ("A page has at most {value} jobs, not 100.", "每页最多 {value} 个作业，而不是 100 个。"),
    "do.short_pages": ("Nothing, but everything that needs several pages takes more calls.", "不必处理；只是需要多页时调用更多。"),
    "differs.depth": ("The server shows only {value} jobs from either end of a list.", "服务端只显示列表两端各 {value} 个作业。"),
    "do.depth": (
        "Shorten collection.history until it fits, for instance to 30d: the jobs in between cannot be counted.",
        "请把 collection.history 缩短到能容纳的时长，例如 30d：中间的作业无法计数。"),
    "differs.lag": ("Answers may be up to {value} s old.", "应答可能滞后最多 {value} 秒。"),
    "do.lag": ("Nothing: outdated answers are recognised and not counted.", "不必处理，过时的应答会被识别，不会计入。"),
    "differs.counters": ("The counters in cluster/list have not matched the list of jobs.", "cluster/list 中的计数与作业列表不一致。"),
    "do.counters": (
        "Nothing: the cluster is queried at every interval, even if nothing changes.",
        "不必处理，即使没有变化，也会按间隔查询该集群。"),
    "differs.trait_unknown": ("The server's behaviour is unknown, or is being detected again: {trait}.", "服务端的行为未知，或正在重新检测：{trait}。"),
    "do.trait_unknown": ("Nothing, but until it is known, a sync may take more calls.", "不必处理；查明之前，每次同步可能要多用些调用。"),
    "differs.zone_unknown": ("Times have no zone, and it is not yet known which one is meant.", "时间不带时区，还不知道是哪个时区。"),
    "do.zone_unknown": (
        "Nothing: it is detected as soon as a job changes; until then, no waiting time is published. Or set the cluster's timezone.",
        "不必处理，一有作业变化就会查明，在此之前不发布等待时长。也可以设置集群的 timezone。"),
    "differs.zone_local": ("Times have no zone and are local times, UTC{value}.", "时间不带时区，是本地时间 UTC{value}。"),
    "do.zone_local": ("Nothing: they are interpreted accordingly.", "不必处理，会按此解析。"),
    "differs.zone_contradicted": ("Times are in another zone than the configured one, so waiting times are wrong.", "时间的时区与配置不符，等待时长因此有误。"),
    "do.zone_contradicted": ("Set the cluster's timezone to auto.", "请把集群的 timezone 设为 auto。"),
}

EVIDENCE: Mapping[str, str] = {
    r"asked for ([\w-]+) jobs, it shows (\d+) of them and no others": "查询 {} 作业，显示了其中 {} 个，没有别的",
    r"no job is ([\w-]+), and it shows none": "没有 {} 作业，也没有显示",
    r"a request with a status is refused under either name": "带状态的请求在两个名称下都被拒绝",
    r"it hides (?:a job that is|jobs that are) ([\w-]+)": "隐藏了 {} 作业",
    r"a page filtered by status holds jobs in another one": "按状态查询的一页中有别的状态的作业",
    r"a request was refused: the API refused the call with code (\d+)": "请求被拒绝，错误码 {}",
    r"a request was refused: the API refused the call with HTTP status (\d+)": "请求被拒绝，HTTP 状态 {}",
    r"pages from here and there are sorted by (\w+)": "抽查的各页都按 {} 排序",
    r"a page is newer than one above it by (\w+)": "按 {} 有一页比它前面的页更新",
    r"a job is not on the head, where it ought to be by (\w+)": "按 {} 应在开头的作业不在开头",
    r"a page is not sorted by (\w+)": "有一页没有按 {} 排序",
    "the end of the list is not shown": "没有显示列表的末尾",
    r"no order could be proven": "无法证明任何排序",
    r"nothing proves an order yet": "还不能证明排序",
    r"a change did not bring its job to the head of the list": "有作业变更后没有出现在列表开头",
    r"the longest page yet seen": "目前见到的最长的一页",
    r"of (\d+) jobs, it shows all": "{} 个作业全部可见",
    r"of (\d+) jobs, it shows (\d+)": "{} 个作业中只显示 {} 个",
    r"no total is told, it shows all": "服务端不给出总数，作业全部可见",
    r"no total is told, it shows (\d+)": "服务端不给出总数，只显示 {} 个作业",
    r"of (\d+) jobs that it tells of, (\d+) can be read": "声称有 {} 个作业，只能读到 {} 个",
    r"it tells of (\d+) jobs, and the list ends before that": "声称有 {} 个作业，列表却更早结束",
    r"the list ends after (\d+) jobs, and says that it has (\d+)": "列表在 {} 个作业后结束，却声称有 {} 个",
    r"the list goes on beyond its total": "列表超出了它的总数",
    r"the total is told no longer": "服务端不再给出总数",
    r"a page has (\d+) jobs, and others follow it": "一页有 {} 个作业，后面还有",
    r"the total stays unexplained": "总数一直无法解释",
    r"(\d+) jobs are ([\w-]+), and so it says": "有 {} 个 {} 作业，总数也如此",
    r"(\d+) jobs are ([\w-]+), and it says (\d+)": "有 {} 个 {} 作业，总数却是 {}",
    r"by the configuration": "由配置指定",
    r"all times that were seen carry their zone": "见到的时间都带时区",
    r"nothing has proven yet in which zone times are": "还无法证明时间是哪个时区",
    r"(?:in this zone, the newest time|then the newest of them) is (-?\d+) s old": "按这个时区，最新的时间是 {} 秒前",
    r"(?:in this zone,|then) (\d+) jobs have changed when they were seen to": "按这个时区，{} 个作业的变更时间与观察到的一致",
    r"jobs change ([+-]\d\d:\d\d) off the zone of the configuration": "作业变更的时间与配置的时区相差 {}",
    r"(?:the counters|they) have moved with the list": "计数随列表变化",
    r"(?:the counters|they) equal the list, and (?:those of neighbours|its neighbours') move": "计数与列表相等，且邻近集群的计数随列表变化",
    r"a change has not moved (?:the counters|them)": "有变化，计数却没有变",
    r"(?:the counters|they) stood still after a change": "变化之后计数仍然不变",
    r"at rest (?:the counters|they) differ from the list": "静止时计数与列表不同",
    r"an answer was (\d+) s behind an earlier one": "有一次应答比先前的滞后 {} 秒",
}
"""What a profile has as evidence, in its own words (English) and in Chinese."""
# fmt: on
