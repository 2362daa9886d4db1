"""The Chinese README and walk say what the English ones say, as far as that can be seen without reading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [
    pytest.param(
        (ROOT / name).read_text(encoding="utf-8"),
        (ROOT / name.replace(".md", ".zh-CN.md")).read_text(encoding="utf-8"),
        id=name,
    )
    for name in ("README.md", "docs/walk.md")
]
both = pytest.mark.parametrize(("english", "chinese"), PAIRS)


def _code(text: str) -> list[str]:
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^ {4,}((?:make|export|ehpc-exporter) .*)$", text, re.MULTILINE)
    return [*fenced, *commands]


def _headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", text, re.MULTILINE)


def _links(text: str) -> list[str]:
    """Where a page or picture is in both languages, as to the English one; not from one language to the other."""
    targets = re.findall(r"\]\(((?!README|walk)[^)]+)\)", text)
    return [target.replace(".zh-CN.", ".") for target in targets]


def _first_cells(text: str) -> list[list[str]]:
    rows = re.findall(r"^\|([^|]+)\|", text, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", row) for row in rows]


@both
def test_they_have_the_same_sections(english: str, chinese: str) -> None:
    assert _headings(chinese) == _headings(english)


@both
def test_they_have_the_same_code(english: str, chinese: str) -> None:
    assert _code(english)
    assert _code(chinese) == _code(english)


@both
def test_they_link_to_the_same_things(english: str, chinese: str) -> None:
    assert _links(chinese) == _links(english)


@both
def test_their_tables_have_the_same_rows(english: str, chinese: str) -> None:
    assert _first_cells(chinese) == _first_cells(english)
