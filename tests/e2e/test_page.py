"""The landing page in a real browser."""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from exporter.profile import Trait
from exporter.snapshot import ClusterState, SyncFailure
from exporter.web.manual import PAGES
from exporter.web.manual import PICTURES as SHOWN
from tests.e2e.browser import Browser, browsing
from tests.e2e.web_serving import serving
from tests.unit.board_states import AS_DOCUMENTED, good_state, hostile_state, new_state, snapshot
from tests.waiting import until

PICTURES = os.environ.get("PICTURES", "")
"""A directory where pictures of the page are wanted; ``docs/images`` has some of them."""


def states() -> list[ClusterState]:
    """Clusters in all kinds of health."""
    now_at = time.time()
    history = dataclasses.replace(
        snapshot(now_at - 12), history_complete=False, history_known=412_345,
        history_expected=1_000_000,
    )  # fmt: skip
    timeout = SyncFailure(
        "timeout", "no answer within 10 s",
        "Check the network between here and the endpoint; if the cloud is slow, raise the account's"
        " timeout.",
        now_at - 25,
    )  # fmt: skip
    odd = msgspec.structs.replace(
        AS_DOCUMENTED,
        status_filter=Trait("job_status", "asked for pending jobs, it shows 12 of them and no others"),
        order=Trait("submission", "pages from here and there are sorted by submitted_time"),
        depth=Trait("10000", "of 1000000 jobs, it shows 10000"),
        zone=Trait("+08:00", "in this zone, the newest time is 3 s old"),
    )  # fmt: skip
    withheld = SyncFailure(
        "depth", "the server shows no more than 10000 jobs from either end of the list",
        "Shorten collection.history to what lies within, or delete old jobs.", now_at,
    )  # fmt: skip
    return [
        dataclasses.replace(
            good_state("cfd", now_at - 8),
            profile=msgspec.structs.replace(AS_DOCUMENTED, zone=odd.zone),
        ),
        dataclasses.replace(
            good_state("仿真集群"), snapshot=history, last_success_at=now_at, profile=odd,
            history_obstacle=withheld,
        ),
        dataclasses.replace(good_state("materials", now_at - 90), failure=timeout),
        dataclasses.replace(new_state("genomics"), failure=dataclasses.replace(
            timeout, reason="authentication", message="refused: the signature does not match",
            advice="Check the account's access_key_id and secret access key, and that the key is still"
            " enabled in the cloud's console.",
        ), ledger_on_disk=False),
        dataclasses.replace(new_state("vis"), tried=False, failure=None),
    ]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("width", "language", "words"),
    [
        (1200, "en-GB", "2 of 5 clusters need attention"),
        (1200, "zh-CN", "5 个集群中有 2 个需要处理"),
        (390, "zh-CN", "5 个集群中有 2 个需要处理"),
    ],
    ids=["desktop", "chinese", "phone"],
)
def test_page(
    require_tool: Callable[[str], str], tmp_path: Path,
    width: int, language: str, words: str, dark: bool,
) -> None:  # fmt: skip
    program = require_tool("chromium")
    with serving(*states(), staleness_seconds=300) as world, browsing(program, tmp_path) as browser:
        browser.look_like(width=width, dark=dark, language=language)
        browser.open(f"http://127.0.0.1:{world.port}/")
        assert words in browser.evaluate("document.querySelector('[role=status]').innerText")
        # The style sheet is in force, and nothing sticks out sideways.
        background = "getComputedStyle(document.body).backgroundColor"
        assert browser.evaluate(background) == ("rgb(20, 23, 28)" if dark else "rgb(246, 247, 249)")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        # Every word stands out from what is behind it.
        assert browser.evaluate(FAINTEST) >= 4.5
        requests = "performance.getEntriesByType('resource').map(entry => entry.name)"
        assert [url for url in browser.evaluate(requests) if not url.endswith("/favicon.svg")] == []
        assert browser.complaints == []
        in_chinese = ".zh-CN" if language == "zh-CN" else ""
        picture(browser, "landing-page", width=width, dark=dark, suffix=in_chinese)


def test_a_hundred_clusters_in_both_languages(
    require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    many = [good_state(f"cluster-{number:03}", time.time()) for number in range(95)]
    program = require_tool("chromium")
    shown = serving(*states(), *many, staleness_seconds=300)
    with shown as world, browsing(program, tmp_path) as browser:
        facts = []
        for language, advice in (
            ("en", "raise the account's timeout"),
            ("zh-CN", "调大账户的 timeout"),
        ):
            browser.look_like(width=1200, dark=False, language=language)
            browser.open(f"http://127.0.0.1:{world.port}/")
            facts.append(browser.evaluate(COUNTS))
            assert advice in browser.evaluate("document.body.innerText")
        assert facts[0] == facts[1]
        assert len(facts[0]) > 100
        refreshes = "document.querySelectorAll('meta[http-equiv=refresh]').length"
        assert browser.evaluate(refreshes) == 1
        browser.follow("a.field")
        assert browser.evaluate(refreshes) == 0
        assert browser.evaluate("document.activeElement.name") == "cluster"
        browser.evaluate("document.activeElement.value = 'CLUSTER-00'")
        browser.follow("form button")
        assert browser.evaluate("location.search") == "?cluster=CLUSTER-00"
        assert browser.evaluate(refreshes) == 1
        assert browser.evaluate("document.querySelectorAll('tbody th').length") == 10 + 1
        browser.follow("form a[href$='show=failing']")
        assert browser.evaluate("document.querySelectorAll('tbody th').length") == 0 + 1
        assert browser.complaints == []


COUNTS = """
[...document.querySelectorAll('dd:not(.oldest), td.n .big')].map(each => each.innerText.match(/\\d+/g))
"""
"""The numbers of the page that do not move on by themselves."""


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_page_in_windows_of_every_width(
    require_tool: Callable[[str], str], tmp_path: Path, language: str
) -> None:
    long = good_state("a-very-long-name-" * 6, time.time())
    program = require_tool("chromium")
    shown = serving(*states(), long, staleness_seconds=300)
    with shown as world, browsing(program, tmp_path) as browser:
        for width in (320, 760, 800, 1000, 1010, 1600):
            browser.look_like(width=width, dark=False, language=language)
            browser.open(f"http://127.0.0.1:{world.port}/")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate(NARROWEST_STATE) >= 100  # no letters below one another


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390], ids=["desktop", "phone"])
def test_manual(require_tool: Callable[[str], str], tmp_path: Path, width: int, dark: bool) -> None:
    program = require_tool("chromium")
    with serving(*states(), staleness_seconds=300) as world, browsing(program, tmp_path) as browser:
        browser.look_like(width=width, dark=dark, language="en")
        home = f"http://127.0.0.1:{world.port}"
        browser.open(f"{home}/")
        browser.follow("a[href='./docs/']")
        assert browser.evaluate("location.pathname") == "/docs/"
        for name in PAGES:
            browser.follow(f"nav a[href='{name}']")
            assert browser.evaluate("location.pathname") == f"/docs/{name}"
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
            assert browser.evaluate(FAINTEST) >= 4.5
            pictures = "[...document.images].map(each => each.naturalWidth)"
            assert all(browser.evaluate(pictures))
            requests = "performance.getEntriesByType('resource').map(entry => entry.name)"
            fetched = {url.removeprefix(home) for url in browser.evaluate(requests)}
            assert fetched <= {"/favicon.svg", *(f"/docs/images/{name}" for name in SHOWN)}
            picture(browser, f"manual-{name}", width=width, dark=dark)
        browser.open(f"{home}/")
        browser.follow(".trouble a[href$='#term-timeout']")
        assert browser.evaluate("document.querySelector(':target').innerText") == "timeout"
        browser.open(f"{home}/docs/operations.md#ehpcdatastale")
        assert "EhpcDataStale" in browser.evaluate("document.querySelector(':target').innerText")
        top = "document.querySelector(':target').getBoundingClientRect().top"
        until(lambda: browser.evaluate(top) < 99, "the page to be scrolled there")
        assert browser.complaints == []


def picture(browser: Browser, name: str, *, width: int, dark: bool, suffix: str = "") -> None:
    if PICTURES:
        kind = f"{'phone' if width < 600 else 'desktop'}-{'dark' if dark else 'light'}"
        browser.screenshot(Path(PICTURES) / f"{name}-{kind}{suffix}.png")


def test_hostile_names_do_nothing(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    program = require_tool("chromium")
    with (
        serving(hostile_state(), staleness_seconds=300) as world,
        browsing(program, tmp_path) as browser,
    ):
        browser.open(f"http://127.0.0.1:{world.port}/")
        assert browser.evaluate("document.scripts.length") == 0
        assert "<script>alert(1)</script>" in browser.evaluate("document.body.innerText")
        assert browser.complaints == []


NARROWEST_STATE = (
    "Math.min(...[...document.querySelectorAll('tbody td.big')].map(each => each.offsetWidth))"
)
"""How many pixels the words about a cluster's state have got."""

FAINTEST = """
(() => {
  const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
    return 'rgb(255, 255, 255)';
  };
  let faintest = 21;
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    if (['PROGRESS', 'METER'].includes(e.tagName)) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    faintest = Math.min(faintest, (a + 0.05) / (b + 0.05));
  }
  return faintest;
})()
"""
