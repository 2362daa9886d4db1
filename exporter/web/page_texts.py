"""What the landing page says, in English and in Chinese, and which of them a reader gets. Data.

Error messages and advice come from elsewhere and are English in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.web.negotiation import LONGEST

MINUTE, HOUR, DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class Texts:
    """All words of the page in one language. Those with braces are filled in by ``str.format``."""

    lang: str
    all_well: str
    no_clusters: str
    attention: str
    starting: str
    reload_failed: str
    state: Mapping[str, str]
    """By the name of the state."""
    cluster: str
    status: str
    pending: str
    running: str
    cores_waiting: str
    cores_free: str
    cores_in_all: str
    oldest_wait: str
    age: str
    strategy: str
    strategies: Mapping[str, str]
    history: str
    history_complete: str
    history_of: str
    history_stuck: str
    none_waiting: str
    failed_ago: str
    next_step: str
    runbook: str
    ledger_in_memory: str
    budget_in_memory: str
    undocumented: str
    difference: str
    meaning: str
    evidence: str
    accounts: str
    account: str
    quota: str
    quota_of: str
    metrics: str
    health: str
    ready: str
    docs: str
    refreshes: str
    every: str
    units: tuple[str, str, str, str]
    """Days, hours, minutes, seconds, as they stand behind a number."""


ENGLISH = Texts(
    lang="en",
    all_well="All is well",
    no_clusters="No clusters",
    attention="{bad} of {all} clusters need attention",
    starting="Starting: {waiting} of {all} clusters have not been looked at yet",
    reload_failed="The last reload of the configuration failed; the one before is in use.",
    state={
        "well": "well",
        "partial": "well, history incomplete",
        "filling": "well, reading the history",
        "starting": "first look under way",
        "failing": "failing, last counts shown",
        "down": "no current counts",
    },
    cluster="Cluster",
    status="State",
    pending="Pending",
    running="Running",
    cores_waiting="Cores waiting",
    cores_free="{free} of {cores} free",
    cores_in_all="of {cores}",
    oldest_wait="Oldest wait",
    age="Age of data",
    strategy="Strategy",
    strategies={
        "delta": "what changed", "sweep": "active jobs by status", "scan": "the whole list"
    },
    history="History",
    history_complete="complete",
    history_of="{known} of {expected}",
    history_stuck="The history cannot be read to its end.",
    none_waiting="none waits",
    failed_ago="Failed {ago} ago.",
    next_step="Next step:",
    runbook="More about it",
    ledger_in_memory="The disk cannot be written: the ledger is kept in memory. Do not restart.",
    budget_in_memory="The disk cannot be written: calls are counted in memory. Do not restart.",
    undocumented="What the server does otherwise than documented",
    difference="Difference",
    meaning="What it means",
    evidence="Where, and how it shows",
    accounts="Calls of each account in the quota window",
    account="Account",
    quota="Quota",
    quota_of="{used} of {allowed} calls ({percent} %)",
    metrics="Metrics",
    health="Health",
    ready="Readiness",
    docs="Documentation",
    refreshes="This page refreshes itself every {seconds} s.",
    every="every {interval}",
    units=(" d", " h", " min", " s"),
)  # fmt: skip

CHINESE = Texts(
    lang="zh-CN",
    all_well="一切正常",
    no_clusters="没有集群",
    attention="{all} 个集群中有 {bad} 个需要处理",
    starting="正在启动：{all} 个集群中有 {waiting} 个尚未查询",
    reload_failed="上次重新加载配置失败，仍在使用之前的配置。",
    state={
        "well": "正常",
        "partial": "正常，历史作业不完整",
        "filling": "正常，正在读取历史作业",
        "starting": "首次查询中",
        "failing": "同步失败，显示上次的计数",
        "down": "没有当前计数",
    },
    cluster="集群",
    status="状态",
    pending="排队作业",
    running="运行作业",
    cores_waiting="等待的核数",
    cores_free="共 {cores} 核，空闲 {free}",
    cores_in_all="共 {cores} 核",
    oldest_wait="最长等待",
    age="数据延迟",
    strategy="同步方式",
    strategies={"delta": "仅变化的作业", "sweep": "按状态查活跃作业", "scan": "整个列表"},
    history="历史作业",
    history_complete="完整",
    history_of="{known} / {expected}",
    history_stuck="历史作业无法全部读取。",
    none_waiting="无等待",
    failed_ago="{ago}前失败。",
    next_step="下一步：",
    runbook="详细说明（英文）",
    ledger_in_memory="磁盘无法写入，账本暂存于内存中，请勿重启。",
    budget_in_memory="磁盘无法写入，调用次数仅在内存中计数，请勿重启。",
    undocumented="服务器与文档不一致之处（英文）",
    difference="不一致",
    meaning="影响",
    evidence="集群与依据",
    accounts="各账户在配额周期内的调用次数",
    account="账户",
    quota="配额",
    quota_of="{used} / {allowed} 次（{percent}%）",
    metrics="指标",
    health="健康状态",
    ready="就绪状态",
    docs="文档",
    refreshes="本页每 {seconds} 秒自动刷新。",
    every="每 {interval}",
    units=(" 天", " 小时", " 分钟", " 秒"),
)


def texts_for(accept_language: str) -> Texts:
    """The texts for the value of an ``Accept-Language`` header: English unless Chinese is liked
    better."""
    liking = {"zh": 0.0, "en": 0.0}
    for item in accept_language[:LONGEST].split(","):
        tag, _, weight = (part.strip() for part in item.partition(";"))
        language = tag.lower().split("-")[0]
        if language in liking:
            liking[language] = max(liking[language], _quality(weight))
    return CHINESE if liking["zh"] > liking["en"] else ENGLISH


def duration(seconds: float, texts: Texts) -> str:
    """A length of time for people: its two largest units at most."""
    rest = max(0, int(seconds))
    days, hours, minutes = rest // DAY, rest % DAY // HOUR, rest % HOUR // MINUTE
    parts = (days, hours, minutes, rest % MINUTE)
    first = next((i for i, part in enumerate(parts) if part), len(parts) - 1)
    # Seconds matter only below ten minutes, hours always.
    last = first + 1 if not (first == 2 and minutes >= 10) else first
    shown = [
        f"{part}{unit}"
        for part, unit in list(zip(parts, texts.units, strict=True))[first : last + 1]
        if part or first == len(parts) - 1
    ]
    return " ".join(shown)


def _quality(weight: str) -> float:
    if not weight:
        return 1.0
    try:
        return float(weight.removeprefix("q="))
    except ValueError:
        return 0.0
