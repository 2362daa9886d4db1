"""The landing page says what is, in the reader's language, and lets nothing break out."""

import base64
import dataclasses
import hashlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.clock import Instant
from exporter.collector import AccountQuota, ReloadStatus
from exporter.model import Amount
from exporter.profile import Trait, TraitName
from exporter.snapshot import ClusterState, JobCount, QueueCapacity, SnapshotBoard, SyncFailure
from exporter.texts import Words
from exporter.texts.servers import difference
from exporter.web.look import Look
from exporter.web.manual import Manual
from exporter.web.negotiation import preferred_language
from exporter.web.page import _FILTERS, LandingPage, PageParts
from exporter.web.summary import Counts, FoundClusters, FoundZone, Health, count, summarize
from tests.unit.board_states import (
    AS_DOCUMENTED,
    HOSTILE,
    NOON_AT,
    capacity,
    good_state,
    hostile_state,
    new_state,
    snapshot,
)
from tests.unit.manual_clock import ManualClock
from tests.unit.web.strict_html import Page

FAILED = SyncFailure("timeout", "no answer in 10 s", "see whether the cloud is up", NOON_AT + 30)


LOOK = Look("page", **_FILTERS)
"""One for all: a template is compiled when it is first used."""


def render(
    *states: ClusterState,
    language: str = "en",
    now_at: float = NOON_AT + 60,
    quotas: tuple[AccountQuota, ...] = (AccountQuota("default", 1000, 870),),
    reloaded: bool = True,
    grafana: str = "",
    zones: tuple[FoundZone, ...] = (),
    **query: str,
) -> Page:
    board = SnapshotBoard()
    for state in states:
        board.publish(state)
    parts = PageParts(
        board, ManualClock(now_at), "1.2.3", "/metrics", lambda: quotas,
        lambda: ReloadStatus(successful=reloaded, success_at=NOON_AT), lambda: grafana,
        lambda: zones,
    )  # fmt: skip
    page = LandingPage(parts)
    page._look = LOOK
    html, _ = page(language, query)
    return Page(html)


def failing(name: str = "failing") -> ClusterState:
    return dataclasses.replace(good_state(name), failure=FAILED)


def test_all_is_well_at_a_glance() -> None:
    page = render(good_state())
    assert "✔ All is well" in page.text
    for words in ("cfd", "jinan1a", "1 h 31 min", "1 min", "delta", "every 1 min", "complete"):
        assert words in page.text
    assert "870 of 1,000 calls (87 %)" in page.text
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == ["./metrics", "./-/healthy", "./-/ready", "./docs/"]


@pytest.mark.parametrize(("pending", "told"), [(2, False), (0, True)])
def test_jobs_of_which_it_is_not_known_since_when_they_wait_do_wait(
    pending: int, told: bool
) -> None:
    """As while it is not known in which zone times are."""
    counts = (JobCount("pending", "q", "u", pending, pending),)
    shown = dataclasses.replace(snapshot(), counts=counts, oldest_pending=())
    text = render(dataclasses.replace(good_state(), snapshot=shown)).text
    assert ("none waiting" in text) is told


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_wrong_leads_to_its_section_of_the_manual(language: str) -> None:
    in_memory = dataclasses.replace(failing(), ledger_on_disk=False)
    page = render(in_memory, reloaded=False, language=language)
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    sections = ["ehpcconfigreloadfailed", "term-timeout", "ehpcledgerinmemory"]
    name = {"en": "operations", "zh": "operations.zh-CN"}[language]
    assert links[-3:] == [f"./docs/{name}#{section}" for section in sections]
    operations = Manual("1").leaf(name)
    assert operations is not None
    assert all(f' id="{section}"'.encode() in operations.body for section in sections)


def test_no_link_begins_at_the_root() -> None:
    in_memory = dataclasses.replace(failing(), ledger_on_disk=False)
    page = render(good_state(), in_memory, reloaded=False)
    addresses = [attrs[name] for _, attrs in page.tags for name in ("href", "src") if name in attrs]
    assert len(addresses) > 5
    assert all(address and address.startswith("./") for address in addresses)


def test_trouble_comes_first_with_its_reason_and_the_next_step() -> None:
    page = render(good_state("aaa"), failing(), new_state("zzz"))
    text = page.text
    assert "✖ 2 of 3 clusters need attention" in text
    assert text.index("zzz") < text.index("failing, last counts") < text.index("aaa")
    assert "timeout: no answer in 10 s" in text
    assert "Next step: see whether the cloud is up" in text
    assert "Failed 30 s ago. timeout" in text
    assert "check the access key" in text


def test_all_is_not_well_while_a_ledger_is_in_memory() -> None:
    in_memory = dataclasses.replace(good_state("zzz"), ledger_on_disk=False)
    waiting = dataclasses.replace(new_state("bbb"), tried=False, failure=None)
    text = render(good_state("aaa"), waiting, in_memory).text
    assert "▲ 1 of 3 clusters need attention" in text
    assert text.index("zzz") < text.index("bbb") < text.index("aaa")
    by_choice = dataclasses.replace(good_state(), ledger_on_disk=None)
    assert "✔ All is well" in render(by_choice).text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_account_whose_calls_cannot_be_written_down(language: str) -> None:
    on_disk, not_, by_choice = (
        render(quotas=(AccountQuota("a", 1000, 870, kept),), language=language)
        for kept in (True, False, None)
    )
    name = {"en": "operations", "zh": "operations.zh-CN"}[language]
    link = {"href": f"./docs/{name}#ehpcbudgetinmemory"}
    assert ("a", link) in not_.tags
    assert ("a", link) not in on_disk.tags + by_choice.tags
    leaf = Manual("1").leaf(name)
    assert leaf is not None
    assert leaf.body.count(b' id="ehpcbudgetinmemory"') == 1


def test_counts_too_old_are_not_shown() -> None:
    page = render(good_state(), now_at=NOON_AT + 400)
    assert "✖ no current counts" in page.text
    assert "1 h 31 min" not in page.text
    assert "6 min" in page.text  # the age is


def test_a_start_is_no_trouble() -> None:
    waiting = dataclasses.replace(new_state(), tried=False, failure=None)
    page = render(waiting, good_state())
    assert "… Starting: 1 of 2 clusters have not been synced yet" in page.text
    assert "No clusters" in render().text


def test_progress_of_the_history() -> None:
    halfway = dataclasses.replace(
        snapshot(), history_complete=False, history_known=250_000, history_expected=1_000_000
    )
    page = render(dataclasses.replace(good_state(), snapshot=halfway))
    assert "250,000 of 1,000,000" in page.text
    assert ("progress", {"value": "0.250"}) in page.tags
    assert "✔ well, reading the history" in page.text
    assert " left" not in page.text
    long = dataclasses.replace(good_state(), snapshot=halfway, history_left_seconds=11_280.0)
    assert "about 3 h 8 min left" in render(long).text
    unknown = dataclasses.replace(halfway, history_expected=None)
    page = render(dataclasses.replace(good_state(), snapshot=unknown))
    assert "250,000" in page.text
    assert not [tag for tag, _ in page.tags if tag == "progress"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_why_a_history_is_not_complete(language: str) -> None:
    obstacle = SyncFailure("depth", "no more than 10000 jobs", "They cannot be counted.", NOON_AT)
    part = dataclasses.replace(snapshot(), history_complete=False)
    stuck = dataclasses.replace(good_state(), snapshot=part, history_obstacle=obstacle)
    page = render(stuck, language=language)
    assert "depth: no more than 10000 jobs" in page.text
    assert "They cannot be counted." in page.text
    name = {"en": "operations", "zh": "operations.zh-CN"}[language]
    assert ("a", {"href": f"./docs/{name}#term-depth"}) in page.tags
    leaf = Manual("1").leaf(name)
    assert leaf is not None
    assert leaf.body.count(b' id="term-depth"') == 1
    if language == "en":
        assert "✔ well, history incomplete" in page.text
        assert "All is well" in page.text


def serves(name: str = "cfd", **traits: Trait) -> ClusterState:
    profile = msgspec.structs.replace(AS_DOCUMENTED, **traits)
    return dataclasses.replace(good_state(name), profile=profile)


class TestTheServer:
    def test_nothing_is_said_of_one_that_is_as_documented(self) -> None:
        page = render(good_state(), new_state(), serves(lag=Trait("0", "never")))
        assert "documented" not in page.text

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("status_filter", "job_status"), ("status_filter", "none"), ("status_filter", "unknown"),
            ("order", "change_only"), ("order", "submission"), ("order", "default"),
            ("order", "none"), ("order", "unknown"), ("total_count", "cluster"),
            ("total_count", "none"), ("total_count", "unknown"), ("page_size", "50"),
            ("page_size", "unknown"), ("depth", "10000"), ("depth", "unknown"), ("zone", "+08:00"),
            ("zone", "unknown"), ("lag", "20"),
        ],
    )  # fmt: skip
    def test_what_is_otherwise_is_told_with_its_evidence_and_what_it_means(
        self, name: TraitName, value: str
    ) -> None:
        trait: dict[str, Any] = {name: Trait(value, "a page <showed> it")}
        page = render(serves(**trait))
        key, parts = difference(name, value) or ("trait_unknown", {})
        say = Words("en")
        what = say(f"differs.{key}", **{"trait": say(f"trait.{name}")} | parts)
        assert value[-1].isalpha() or value in what
        assert f"{what} {say(f'do.{key}')} cfd: a page <showed> it" in page.text
        assert "✔ All is well" in page.text

    def test_what_several_do_is_told_once(self) -> None:
        half = Trait("50", "the longest page yet seen")
        page = render(serves("a", page_size=half), serves("b", page_size=half), good_state("c"))
        assert page.text.count("at most 50 jobs") == 1
        assert "a, b: the longest page yet seen" in page.text
        other = Trait("50", "another reason")
        page = render(serves("a", page_size=half), serves("b", page_size=other))
        assert page.text.count("at most 50 jobs") == 1
        assert "a: the longest page yet seen b: another reason" in page.text

    def test_a_zone_that_the_configuration_has_wrong_needs_attention(self) -> None:
        page = render(
            serves(zone=Trait("contradicted", "jobs change +08:00 off it")), good_state("b")
        )
        assert "▲ 1 of 2 clusters need attention" in page.text
        assert "Set the cluster's timezone to auto." in page.text
        assert page.text.count("jobs change +08:00 off it") == 1


def test_a_failed_reload_is_told() -> None:
    assert "The last reload of the configuration failed" in render(reloaded=False).text
    assert "reload" not in render().text


def test_both_languages_tell_the_same_facts() -> None:
    half = dataclasses.replace(
        snapshot(), history_complete=False, history_known=250_000, history_expected=1_000_000
    )
    stuck = SyncFailure("depth", "no more than 10000 jobs", "They cannot be counted.", NOON_AT)
    odd = serves("odd", page_size=Trait("50", "the longest page yet seen"), lag=Trait("20", "an"))
    states = (
        failing("a-1"), dataclasses.replace(odd, snapshot=half, history_obstacle=stuck),
        dataclasses.replace(good_state("b-2"), ledger_on_disk=False), new_state("c-3"),
    )  # fmt: skip
    english, chinese = (render(*states, language=language) for language in ("en", "zh"))
    numbers = [sorted(re.findall(r"\d[\d,.]*\b", page.text)) for page in (english, chinese)]
    assert numbers[0] == numbers[1]
    assert len(numbers[0]) > 50
    links = [
        [a for t, a in page.tags if t in {"a", "meter", "progress"}] for page in (english, chinese)
    ]
    led = [[(a.get("href") or "").replace(".zh-CN", "") for a in each] for each in links]
    assert led[0] == led[1]
    assert [a for a in links[0] if "href" not in a] == [a for a in links[1] if "href" not in a]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reason_that_is_no_word_leads_to_the_table_of_reasons(language: str) -> None:
    odd = dataclasses.replace(failing(), failure=SyncFailure("<b>", "?", "", NOON_AT))
    (link,) = [a["href"] for t, a in render(odd, language=language).tags if t == "a"][4:]
    name, _, section = (link or "").removeprefix("./docs/").partition("#")
    leaf = Manual("1").leaf(name)
    assert leaf is not None
    assert f' id="{section}"' in leaf.body.decode()


class TestManyClusters:
    STATES = (
        *(good_state(f"cfd-{number}") for number in range(40)), failing("bio-1"), new_state("bio-2"),
    )  # fmt: skip

    def test_totals(self) -> None:
        text = render(*self.STATES).text
        assert "2 of 42 clusters need attention" in text
        assert "Clusters 42 of 42 Pending 82 Running 164 Cores waiting 2,624" in text
        assert "Clusters without current counts, not in these totals: 1." in text
        assert text.index("bio-2") < text.index("bio-1") < text.index("cfd-0")

    def test_the_sum_of_no_counts_is_not_0(self) -> None:
        text = render(new_state("bio-1"), new_state("bio-2")).text
        assert "Clusters 2 of 2 Pending – Running – Cores waiting – Longest wait –" in text

    def test_filters(self) -> None:
        page = render(*self.STATES, cluster=" CFD-1", show="")
        assert "Clusters 11 of 42 Pending 22" in page.text
        assert "2 of 42 clusters need attention" in page.text  # of all, always
        links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
        assert "./?cluster=+CFD-1&show=failing" in links
        failing_ones = render(*self.STATES, show="failing")
        assert "Clusters 2 of 42" in failing_ones.text
        assert (
            "input",
            {"type": "hidden", "name": "show", "value": "failing"},
        ) in failing_ones.tags
        both = render(*self.STATES, show="failing", cluster="bio-1")
        assert "Clusters 1 of 42" in both.text
        assert "bio-2" not in both.text
        assert "No cluster matches." in render(*self.STATES, cluster="<b>").text

    @pytest.mark.parametrize("show", ["", "failing"])
    def test_what_is_being_typed_is_not_lost_by_a_refresh(self, show: str) -> None:
        page = render(*self.STATES, show=show, cluster="cfd 1")
        assert "search" not in [each.get("type") for _, each in page.tags]
        assert ("meta", {"http-equiv": "refresh", "content": "15"}) in page.tags
        (link,) = [attrs["href"] for tag, attrs in page.tags if attrs.get("class") == "field"]
        assert link == f"./?cluster=cfd+1{'&show=failing' if show else ''}&filter="
        typing = render(*self.STATES, show=show, cluster="cfd 1", filter="")
        assert ("meta", {"http-equiv": "refresh", "content": "15"}) not in typing.tags
        (field,) = [each for tag, each in typing.tags if each.get("type") == "search"]
        assert (field["name"], field["value"], "autofocus" in field) == ("cluster", "cfd 1", True)
        assert typing.text.count("cfd-1") == page.text.count("cfd-1")

    def test_by_zone_and_account(self) -> None:
        assert "Clusters 42 of 42" in render(*self.STATES, cluster="jinan").text
        assert "Clusters 42 of 42" in render(*self.STATES, cluster="default").text

    def test_what_many_servers_do_names_a_few_of_them(self) -> None:
        half = Trait("50", "the longest page yet seen")
        page = render(*(serves(f"c{number}", page_size=half) for number in range(8)))
        assert "c0, c1, c2, c3, c4 and 3 more: the longest" in page.text

    def test_links_to_grafana(self) -> None:
        page = render(good_state("a b&c"), failing(), grafana="https://grafana.example.org/g")
        links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
        assert "https://grafana.example.org/g/d/ehpc-overview" in links
        assert "https://grafana.example.org/g/d/ehpc-cluster?var-cluster=a%20b%26c" in links


MANY = [f"hpc-{number:03}" for number in range(100)]
ZONES = (
    FoundZone("default", "jinan1a", [FoundClusters("watched", MANY[:40]), FoundClusters("gone", MANY[:2]),
                                     FoundClusters("excluded", [*MANY, HOSTILE])]),
    FoundZone("default", "jn1a", [FoundClusters("configured", ["cfd"])], "denied"),
    FoundZone("default", "empty", []), FoundZone("default", "new", [], listed=False),
    FoundZone("default", "refused", [], "request", listed=False),
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("40 polled", "101 left out by discovery.exclude: hpc-000,", "hpc-004 and 96 more", "1 in the configuration, which takes precedence: cfd",
                "2 no longer listed; the ledger is kept for a week: hpc-000, hpc-001", "(denied)", "none",
                "not listed yet", "The zone could not be listed (request).")),
        ("zh", ("40 个轮询中", "101 个被 discovery.exclude 排除", "另有 96 个", "以配置为准",
                "（denied）", "尚未列出", "无法列出该区域（request）。")),
    ],
)  # fmt: skip
def test_what_discovery_has_found_and_left_out(language: str, words: tuple[str, ...]) -> None:
    page = render(good_state(), zones=ZONES, language=language)
    assert not [each for each in words if each not in page.text]
    assert "hpc-039" not in page.text
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links.count("./?show=found#found") == 1
    whole = render(good_state(), zones=ZONES, language=language, show="found")
    assert "hpc-099" in whole.text
    assert " ".join(HOSTILE.split()) in whole.text
    assert "cfd" in whole.text


def test_where_nothing_is_looked_for_nothing_is_said_of_it() -> None:
    assert "discovery" not in render(good_state()).text


def test_one_cluster_needs_no_filter() -> None:
    assert not [tag for tag, _ in render(good_state()).tags if tag == "form"]


def test_chinese() -> None:
    page = render(failing(), good_state(), language="zh-CN,zh;q=0.9,en;q=0.8")
    assert ("html", {"lang": "zh-CN"}) in page.tags
    for words in (
        "2 个集群中有 1 个需要处理",
        "排队作业",
        "1 小时 31 分钟",
        "30 秒前失败",
        "下一步",
    ):
        assert words in page.text
    assert [attrs for tag, attrs in page.tags if tag == "span" and attrs.get("lang") == "en"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("en-GB,en;q=0.9", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("zh-Hant-TW", "zh-CN"), ("en;q=0.5,zh;q=0.7", "zh-CN"), ("en,zh", "en"), ("de,fr", "en"),
        ("fr,zh;q=0.1", "zh-CN"), ("zh;q=0,en;q=0", "en"), ("zh;q=x", "en"), (";,=", "en"),
    ],
)  # fmt: skip
def test_language(header: str, language: str) -> None:
    assert Words(preferred_language(header))("page.lang") == language


@pytest.mark.parametrize(
    ("cores", "language", "words"),
    [
        ((Amount(500.0, 20.0), Amount(12.0, 0.0)), "en", "20 of 512 free"),
        ((Amount(1500.0, 20.0), Amount(12.0)), "en", "of 1,512"),
        ((Amount(500.0, 20.0), Amount()), "zh", "共 500 核，空闲 20"),
    ],
)
def test_what_there_is_to_run_what_waits(
    cores: tuple[Amount, ...], language: str, words: str
) -> None:
    queues = tuple(
        QueueCapacity((f"q{n}",), each, Amount(), Amount(), {}) for n, each in enumerate(cores)
    )
    told = dataclasses.replace(capacity(), queues=queues, status="suspended")
    state = dataclasses.replace(good_state(), capacity=told)
    text = render(state, language=language).text
    assert words in text
    assert "suspended" in text
    old = dataclasses.replace(told, served_seconds=1.0)
    text = render(dataclasses.replace(state, capacity=old), language=language).text
    assert words not in text
    assert "suspended" not in text


def test_of_an_active_cluster_no_status_is_said() -> None:
    assert "active" not in render(good_state()).text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_hostile_names_stay_text(language: str) -> None:
    page = render(hostile_state(), language=language, quotas=(AccountQuota(HOSTILE, 0, 0),))
    harmless = render(
        dataclasses.replace(
            serves(order=Trait("none", "seen")), failure=FAILED,
            snapshot=dataclasses.replace(snapshot(), history_complete=False, history_expected=None),
            capacity=dataclasses.replace(capacity(), status="stopped"),
        ),
        language=language,
    )  # fmt: skip
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in harmless.tags]
    assert [set(attrs) for _, attrs in page.tags] == [set(attrs) for _, attrs in harmless.tags]
    assert page.text.count("<script>alert(1)</script>") >= 4


@given(st.text(), st.text())
def test_whatever_is_in_names_and_messages_the_page_stays_whole(name: str, message: str) -> None:
    state = good_state(name)
    failure = SyncFailure(name, message, message, NOON_AT)
    page = render(dataclasses.replace(state, failure=failure))
    assert not [tag for tag, _ in page.tags if tag in {"script", "img", "iframe", "object"}]


def test_the_policy_allows_the_style_and_nothing_else() -> None:
    parts = PageParts(
        SnapshotBoard(), ManualClock(0), "1", "/metrics", list,
        lambda: ReloadStatus(successful=True, success_at=0),
    )  # fmt: skip
    html, policy = LandingPage(parts)("", {})
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\b(src|style|on\w+)=|url\(|@import|https?:", html)
    assert '<meta http-equiv="refresh"' in html


def test_counts() -> None:
    assert count(snapshot()) == Counts(
        pending=2, running=4, cores_waiting=64, oldest_pending_at=NOON_AT - 5400.5
    )


def test_health() -> None:
    filling = dataclasses.replace(snapshot(), history_complete=False)
    states = {
        "a": good_state("a"),
        "b": dataclasses.replace(good_state("b"), snapshot=filling),
        "c": dataclasses.replace(new_state("c"), tried=False),
        "d": failing("d"),
        "e": new_state("e"),
        "f": good_state("f", taken_at=NOON_AT - 301),
        "g": dataclasses.replace(good_state("g"), snapshot=filling, history_obstacle=FAILED),
    }
    summaries = summarize(states, lambda _, snapshot: count(snapshot), Instant(NOON_AT, 1000.0))
    assert [(s.state.identity.name, s.health) for s in summaries] == [
        ("e", Health.DOWN), ("f", Health.DOWN), ("d", Health.FAILING), ("c", Health.STARTING),
        ("g", Health.PARTIAL), ("b", Health.FILLING), ("a", Health.WELL),
    ]  # fmt: skip
