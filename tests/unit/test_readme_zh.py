"""The Chinese README says what the English one says, as far as that can be seen without reading."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def _code(text: str) -> list[str]:
    fenced = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^ {4,}((?:make|export|ehpc-exporter) .*)$", text, re.MULTILINE)
    return [*fenced, *commands]


def _headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", text, re.MULTILINE)


def _links(text: str) -> list[str]:
    return re.findall(r"\]\(((?!README)[^)]+)\)", text)


def _first_cells(text: str) -> list[list[str]]:
    rows = re.findall(r"^\|([^|]+)\|", text, re.MULTILINE)
    return [re.findall(r"`([^`]+)`", row) for row in rows]


def test_they_have_the_same_sections() -> None:
    assert _headings(CHINESE) == _headings(ENGLISH)


def test_they_have_the_same_code() -> None:
    assert _code(CHINESE) == _code(ENGLISH)


def test_they_link_to_the_same_things() -> None:
    assert _links(CHINESE) == _links(ENGLISH)


def test_their_tables_have_the_same_rows() -> None:
    assert _first_cells(CHINESE) == _first_cells(ENGLISH)


def test_what_they_link_to_is_there() -> None:
    missing = [link for link in _links(ENGLISH) if "://" not in link and not (ROOT / link).exists()]
    assert not missing
