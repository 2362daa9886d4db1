"""What ``collect`` says. Data only."""

from collections.abc import Mapping

# fmt: off
COLLECT: Mapping[str, tuple[str, str]] = {
    "collect.by_status": ("Jobs by status", "各状态的作业"),
    "collect.by_queue": ("{name}: active jobs by queue", "{name}：各队列的活动作业"),
    "collect.busiest": (" (the busiest {most} of {all})", "（共 {all} 个队列，列出最忙的 {most} 个）"),
    "collect.cluster": ("cluster", "集群"),
    "collect.queue": ("queue", "队列"),
    "collect.other": ("other", "其他"),
    "collect.cores_running": ("cores\nrunning", "运行\n核数"),
    "collect.cores_pending": ("cores\npending", "等待\n核数"),
    "collect.longest_wait": ("longest\nwait", "最长\n等待"),
    "collect.failed": ("failed", "失败"),
    "collect.not_looked_at": ("not queried", "未查询"),
    "collect.do": ("    what to do: {text}", "    处理建议：{text}"),
    "collect.clusters_of": ("account {name}, {number} clusters", "账户 {name}，{number} 个集群"),
    "collect.whole": (
        "To count ended jobs, the whole list has to be read, with --full:",
        "要统计已结束的作业，需要用 --full 读取整个列表："),
    "collect.calls_left": (
        "  account {name}: {left} of the {allowed} calls in its share are left",
        "  账户 {name}：份额为 {allowed} 次调用，还剩 {left} 次"),
    "collect.cost": ("{jobs} jobs, about {calls} calls", "{jobs} 个作业，约需 {calls} 次调用"),
    "collect.cost_unknown": (
        "number of calls unknown: the server does not report the length of its list",
        "无法得知需要多少次调用：服务端没有给出列表的长度"),
    "collect.jobs": ("jobs", "个作业"),
}
# fmt: on
