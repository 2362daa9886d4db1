"""The documentation that the program includes: ``docs/*.md`` as pages below ``/docs/``.

It is that of this very version, and there where nothing else can be reached. All of it is rendered
once, when the first reader comes, off the web's thread. Headings have the anchors that GitHub and
GitLab give them, so that the same link works here and there; besides, the first word in code of a
table's row has one, ``term-`` and the word.
"""

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from exporter.web.look import IMAGE_POLICY, Look

if TYPE_CHECKING:
    from markdown_it.token import Token

PAGES: Mapping[str, str] = MappingProxyType(
    {
        "walk": "From an empty directory to an exporter that watches two clusters, behind TLS and a password.",
        "walk.zh-CN": "同一页的中文版：从空目录到一个监视两个集群、启用 TLS 和密码的 exporter。",
        "operations": "Sizing, state, upgrades, alerting; the reasons of failures, and a runbook for"
        " each alert.",
        "operations.zh-CN": "同一页的中文版：容量规划、状态、升级、告警、失败原因，以及每条告警的处理手册。",
        "metrics": "Every metric with its labels, and queries to paste.",
        "deployment": "One command for each way to run it: compose, a container, systemd, Kubernetes.",
        "configuration": "Every key of the configuration file, with its default.",
        "architecture": "How it is built, and how it follows a list of a million jobs with one call a"
        " minute.",
        "performance": "Measurements, compared with an exporter that reads every page.",
        "release": "How a version is made, and what it promises.",
        "changelog": "What is new in each version.",
    }
)
"""The pages by name, in the order in which they are offered, and what is in them."""
CHINESE = ".zh-CN"
"""How the names of pages in Chinese end."""
PICTURES = ("performance-calls.svg", "performance-trace.svg")
"""Those in ``docs/images`` that the pages show; the others are the README's."""


_TERM = re.compile(r"[\w.-]+")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)


INDEX = "./docs/"
"""Where the pages are, from the landing page."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One thing that a browser can have."""

    body: bytes
    media_type: str
    policy: str
    """Its ``Content-Security-Policy``."""

    @property
    def tag(self) -> str:
        """Its ``ETag``."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


class Manual:
    """The pages and pictures. Any thread may ask."""

    def __init__(self, version: str, directory: Path | None = None) -> None:
        """``directory`` is that of the Markdown files: in a checkout ``docs``, else inside this
        package, where the wheel puts them."""
        self._version = version
        self._directory = directory or _carried()
        self._look = Look("manual")
        self._leaves: Mapping[str, Leaf] | None = None
        self._lock = threading.Lock()

    def leaf(self, path: str) -> Leaf | None:
        """What is at ``path`` below ``/docs/``, where the empty one is the index; None if nothing.

        The first call takes some tens of milliseconds. No file is looked for by ``path``.
        """
        with self._lock:
            if self._leaves is None:
                self._leaves = MappingProxyType(dict(self._make()))
            return self._leaves.get(path)

    def _make(self) -> Iterator[tuple[str, Leaf]]:
        documents = [_read(self._directory, name) for name in PAGES]
        for document in documents:
            yield document.name, self._page(document.name, document.title, document.html, ())
        yield "", self._page("", "Documentation", "", documents)
        for name in PICTURES:
            body = (self._directory / "images" / name).read_bytes()
            yield f"images/{name}", Leaf(body, "image/svg+xml", IMAGE_POLICY)

    def _page(self, name: str, title: str, html: str, index: Sequence["_Document"]) -> Leaf:
        from markupsafe import Markup  # noqa: PLC0415 - with what it needs, once somebody reads

        text = self._look(
            lang=_language(name), home="../", name=name, title=title, version=self._version, pages=PAGES,
            labels={each: _label(each) for each in PAGES},
            document=Markup(html), index=index,  # noqa: S704 - markdown-it lets no HTML through
        )  # fmt: skip
        return Leaf(text.encode(), "text/html; charset=utf-8", self._look.policy)


@dataclass(frozen=True, slots=True)
class _Document:
    name: str
    title: str
    html: str


def _label(name: str) -> str:
    return {"walk.zh-CN": "上手指南", "operations.zh-CN": "运维手册"}.get(name, name.capitalize())


def _language(name: str) -> str:
    return CHINESE[1:] if name.endswith(CHINESE) else "en"


def _carried() -> Path:
    inside = Path(__file__).with_name("docs")
    return inside if inside.is_dir() else Path(__file__).parents[2] / "docs"


def _read(directory: Path, name: str) -> _Document:
    # Only who reads the manual pays for it: the daemon runs for months without.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    path = directory / f"{name}.md"
    if name == "changelog" and not path.exists():  # in a checkout it stands above
        path = directory.parent / "CHANGELOG.md"
    text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    title = _plain(next(token for token in tokens if token.type == "inline"))
    for inline in tokens:
        _mend_links(inline.children or ())
    html: str = markdown.renderer.render(list(_with_anchors(tokens)), markdown.options, {})
    return _Document(name, title, html)


def _with_anchors(tokens: Sequence["Token"]) -> Iterator["Token"]:
    """The tokens with an ``id`` at what can be linked to, and a frame around what may be wide."""
    taken: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            inline = tokens[number + 1]
            anchor = _unused(slug(_plain(inline)), taken)
            token.attrSet("id", anchor)
            mark = f'<a class="anchor" href="#{escape(anchor)}" aria-label="Link to this section">#</a>'
            (inline.children or []).append(_raw(mark))
        if token.type == "tr_open" and tokens[number + 1].type == "td_open":
            for code in tokens[number + 2].children or ():
                if code.type == "code_inline" and _TERM.fullmatch(code.content):
                    code.attrSet("id", _unused(f"term-{code.content}", taken))
        if str(token.attrGet("style")).startswith("text-align"):
            # As a class: the policy allows no style beside the sheet.
            token.attrs = {"class": str(token.attrs["style"]).removeprefix("text-align:")}
        if token.type == "table_open":
            yield _raw('<div class="wide" tabindex="0">')
        yield token
        if token.type == "table_close":
            yield _raw("</div>")


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and GitLab make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _unused(anchor: str, taken: dict[str, int]) -> str:
    """The anchor, or with a number behind it if there is one like it, as GitHub does."""
    before = taken.get(anchor, 0)
    taken[anchor] = before + 1
    return f"{anchor}-{before}" if before else anchor


def _mend_links(tokens: Sequence["Token"]) -> None:
    """Let links lead to our own pages; one to a file that is not here only names it."""
    for number, token in enumerate(tokens):
        if token.type != "link_open":
            continue
        target = str(token.attrGet("href"))
        address = _address(target)
        if address is not None:
            token.attrSet("href", address)
            continue
        end = next(later for later in tokens[number:] if later.type == "link_close")
        token.tag = end.tag = "span"
        name = target.removeprefix("../")
        token.attrs = {"class": "outside", "title": f"{name} in the source of ehpc-exporter"}


def _address(target: str) -> str | None:
    """Where a link of a Markdown file leads here; None if its file is not served."""
    if re.match(r"https?:|#", target):
        return target
    path, mark, fragment = target.partition("#")
    name = path.removesuffix(".md")
    return f"{name}{mark}{fragment}" if path.endswith(".md") and name in PAGES else None


def _plain(inline: "Token") -> str:
    """The words of a heading, without what marks them up."""
    return "".join(token.content for token in inline.children or ())


def _raw(html: str) -> "Token":
    from markdown_it.token import Token  # noqa: PLC0415

    return Token("html_inline", "", 0, content=html)
