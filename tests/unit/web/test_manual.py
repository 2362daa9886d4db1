"""The documentation as the program shows it: whole, linked, and nothing else of the disk."""

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from exporter.daemon.watch import SYNC_REASONS
from exporter.web.app import WebApp, WebOptions
from exporter.web.manual import CHINESE, PAGES, PICTURES, Leaf, Manual, slug
from tests.unit.web.asgi import ask, make_app, make_parts
from tests.unit.web.strict_html import Page

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
MANUAL = Manual("1.2.3")
SOURCES = {name: DOCS / f"{name}.md" for name in PAGES} | {"changelog": ROOT / "CHANGELOG.md"}


def html(name: str) -> str:
    leaf = MANUAL.leaf(name)
    assert leaf is not None
    return leaf.body.decode()


def written(directory: Path, **texts: str) -> Manual:
    """A manual with these pages, the others empty."""
    (directory / "images").mkdir()
    for name in PAGES:
        (directory / f"{name}.md").write_text(texts.get(name, "# Nothing\n"))
    for name in PICTURES:
        (directory / "images" / name).write_text("<svg/>")
    return Manual("1", directory)


def tags(manual: Manual, name: str) -> list[tuple[str, dict[str, str | None]]]:
    leaf = manual.leaf(name)
    assert leaf is not None
    return Page(leaf.body.decode().replace(" />", ">")).tags


def test_no_page_has_a_style_that_its_policy_refuses(tmp_path: Path) -> None:
    aligned = "# A\n\n| a | b |\n| ---: | :--: |\n| 1 | 2 |\n"
    cells = [
        a for tag, a in tags(written(tmp_path, metrics=aligned), "metrics") if tag in {"th", "td"}
    ]
    assert cells == [{"class": "right"}, {"class": "center"}] * 2
    for name in ("", *PAGES):
        found = tags(MANUAL, name)
        assert not [attrs for _, attrs in found if "style" in attrs]
        assert not [name for _, attrs in found for name in attrs if name.startswith("on")]


@pytest.mark.parametrize("name", PAGES)
def test_every_word_of_a_page_is_there(name: str) -> None:
    shown = set(re.findall(r"\w{4,}", re.sub(r"<[^>]*>|&\w+;", " ", html(name))))
    source = re.sub(r"<!--.*?-->", "", SOURCES[name].read_text(), flags=re.DOTALL)
    source = re.sub(r"```promql|!\[[^]]*\]\([^)]*\)|\]\([^)]*\)", "", source)
    assert set(re.findall(r"\w{4,}", source)) <= shown


def test_the_index_leads_to_every_page() -> None:
    links = {attrs["href"] for tag, attrs in tags(MANUAL, "") if tag == "a"}
    assert links == {"../", *PAGES}
    english = {path.stem for path in DOCS.glob("*.md") if CHINESE not in path.name}
    assert english | {"changelog"} == {name for name in PAGES if not name.endswith(CHINESE)}


def test_links_lead_to_what_is_there() -> None:
    ids = {name: re.findall(r' id="([^"]*)"', html(name)) for name in PAGES}
    for name in ("", *PAGES):
        assert len(ids.get(name, ())) == len(set(ids.get(name, ())))
        for target in re.findall(r'<a[^>]* href="([^"]*)"', html(name)):
            if target == "../" or target.startswith("http"):
                continue
            page, _, section = unquote(target).partition("#")
            assert (page or name) in PAGES, target
            assert not section or section in ids[page or name], target
        for source in re.findall(r'<img[^>]* src="([^"]*)"', html(name)):
            assert MANUAL.leaf(source) is not None


def test_no_link_begins_at_the_root() -> None:
    """Or it would leave the path below which a reverse proxy serves us."""
    for name in ("", *PAGES):
        assert not re.findall(r'(?:href|src)="/[^"]*"', html(name))


def test_every_picture_is_shown_somewhere() -> None:
    everything = "".join(html(name) for name in PAGES)
    assert all(f'src="images/{name}"' in everything for name in PICTURES)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    text = "# A `b_c` & D: e-f!\n\n## Twice\n\n## Twice\n\n## 中文 标题\n"
    ids = [
        attrs["id"]
        for _, attrs in tags(written(tmp_path, metrics=text), "metrics")
        if "id" in attrs
    ]
    assert ids == ["a-b_c--d-e-f", "twice", "twice-1", "中文-标题"]
    assert slug("EhpcClusterNotSynced") == "ehpcclusternotsynced"


@pytest.mark.parametrize("reason", sorted({*SYNC_REASONS}))
def test_every_reason_has_an_anchor(reason: str) -> None:
    assert f' id="term-{reason}"' in html("operations")


def test_a_link_to_a_file_that_is_not_here_only_names_it(tmp_path: Path) -> None:
    text = "# A\n\n[rules](../deploy/rules.yml) [x](operations.md#a) [w](https://a.invalid/b.md) [s](#a)\n"
    found = tags(written(tmp_path, deployment=text), "deployment")
    inside = [attrs["href"] for tag, attrs in found if tag == "a" and "class" not in attrs]
    assert inside[-3:] == ["operations#a", "https://a.invalid/b.md", "#a"]
    outside = [attrs for tag, attrs in found if attrs.get("class") == "outside"]
    assert outside == [
        {"class": "outside", "title": "deploy/rules.yml in the source of ehpc-exporter"}
    ]


def test_markup_in_the_text_stays_text(tmp_path: Path) -> None:
    text = "# A\n\n<script>alert(1)</script> <!-- unseen -->\n\n[x](javascript:alert(1))\n"
    manual = written(tmp_path, metrics=text)
    leaf = manual.leaf("metrics")
    assert leaf is not None
    assert not [tag for tag, _ in tags(manual, "metrics") if tag == "script"]
    assert b"unseen" not in leaf.body
    assert b'href="javascript' not in leaf.body


@pytest.mark.parametrize(
    "path",
    [
        "nothing", "nothing/", "/", "operations//", "//a.invalid/operations/",
        "../README", "../pyproject.toml", "images/../operations.md",
        "images/dashboard-cluster.png", "/etc/passwd", "%2e%2e/README.md", "generate_metrics.py",
        "../../../../etc/passwd", "images", ".md", "images/performance-calls.svg.md",
    ],
)  # fmt: skip
def test_nothing_else_is_served(path: str) -> None:
    answer = ask(make_app(), f"/docs/{path}")
    assert answer.status in {404, 307}
    if answer.status == 307:
        assert answer.headers["location"] == "../images/performance-calls.svg"


def test_a_page_is_sent_once() -> None:
    app = make_app()
    first = ask(app, "/docs/operations")
    assert first.status == 200
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert "style-src 'sha256-" in first.headers["content-security-policy"]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert "no-store" not in first.headers["cache-control"]
    again = ask(app, "/docs/operations", if_none_match=f'W/"x", {first.headers["etag"]}')
    assert (again.status, again.body) == (304, b"")
    assert ask(app, "/docs/metrics", if_none_match=first.headers["etag"]).status == 200
    assert ask(app, "/docs/operations", method="HEAD").status == 200
    assert ask(app, "/docs/operations", method="POST").status == 405


def test_pictures_are_pictures() -> None:
    answer = ask(make_app(), "/docs/images/performance-calls.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/docs", "./docs/"),
        ("/docs/operations.md", "./operations"),
        ("/docs/operations/", "../operations"),
        ("/docs/operations.md/", "../operations"),
    ],
)
def test_other_spellings_lead_there(path: str, place: str) -> None:
    answer = ask(make_app(), path)
    assert (answer.status, answer.headers["location"]) == (307, place)


def test_it_is_behind_the_password() -> None:
    app = WebApp(make_parts(), WebOptions(), users={"prometheus": "$2y$04$" + "a" * 53})
    assert ask(app, "/docs/operations").status == 401


def test_it_is_made_once_and_only_for_a_reader(tmp_path: Path) -> None:
    manual = written(tmp_path)
    (tmp_path / "metrics.md").write_text("# Written later\n")
    first = manual.leaf("metrics")
    assert isinstance(first, Leaf)
    assert b"Written later" in first.body
    (tmp_path / "metrics.md").unlink()
    assert manual.leaf("metrics") is first


def test_the_wheel_carries_what_is_served() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    carried = set(wheel["targets"]["wheel"]["only-include"]) - {"exporter"}
    pages = {f"docs/{name}.md" for name in PAGES} - {"docs/changelog.md"}
    assert wheel["targets"]["wheel"]["force-include"] == {
        "CHANGELOG.md": "exporter/web/docs/changelog.md"
    }
    assert carried == pages | {f"docs/images/{name}" for name in PICTURES}


def test_a_page_says_in_which_language_it_is() -> None:
    assert '<html lang="zh-CN">' in html("operations.zh-CN")
    assert '<html lang="en">' in html("operations")
    assert ">运维手册</a>" in html("operations")
    assert '<a href="walk.zh-CN">中文</a>' in html("walk")


def test_links_of_chinese_alerts_lead_to_the_page() -> None:
    """They name the file, which GitHub has, too."""
    answer = ask(make_app(), "/docs/operations.zh-CN.md")
    assert answer.status == 307
    assert answer.headers["location"] == "./operations.zh-CN"
