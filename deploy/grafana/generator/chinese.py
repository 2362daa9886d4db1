"""The dashboards in Chinese: the same ones, with every text replaced by that of ``texts_zh``.

A text that was changed in English has no translation until somebody has written it: then the files are not
made. What comes from the data (statuses, names of queues) stays as it is.
"""

import re
from collections.abc import Mapping
from typing import Any

from deploy.grafana.generator import looks
from deploy.grafana.generator.texts_zh import TEXTS

READ_BY_PEOPLE = ("title", "description", "label", "legendFormat", "noValue", "displayName", "text")
OF_THE_DATA = {*looks.STATUS_COLOURS, *looks.STRATEGY_COLOURS, "E-HPC", "cluster_id", "All"}
SENTENCES = re.compile(r'(?<=[.?]) (?=[A-Z0-9"]|delta: )')


class MissingError(Exception):
    """Texts without a translation."""


class Translation:
    """Of one dashboard; remembers what it lacks, and what it has used."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.used: set[str] = set()
        self.missing: list[str] = []

    def of(self, part: Any, key: str = "") -> Any:
        """The same in Chinese, for a part of a dashboard that stands under this key."""
        if isinstance(part, list):
            return [self.of(each, key) for each in part]
        if isinstance(part, dict):
            if key == "renameByName":
                return {name: self._text(title) for name, title in part.items()}
            if key == "matcher":
                return part | {"options": self._text(part["options"])}
            return {name: self.of(each, name) for name, each in part.items()}
        if isinstance(part, str) and key in READ_BY_PEOPLE:
            return self._text(part)
        return self._link(part) if key == "url" else part

    def _text(self, text: str) -> str:
        if text in self._texts:
            return self._sentence(text)
        if text in OF_THE_DATA or not re.search(r"[A-Za-z]", re.sub(r"\{\{.*?\}\}", "", text)):
            return text
        return "".join(self._sentence(each) for each in SENTENCES.split(text))

    def _sentence(self, text: str) -> str:
        self.used.add(text)
        if text not in self._texts:
            self.missing.append(text)
        return self._texts.get(text, text)

    def _link(self, url: str) -> str:
        """A link names the columns of its table."""

        def column(match: re.Match[str]) -> str:
            return f"__data.fields.{self._text(match[1])}"

        return re.sub(r"__data\.fields\.(\w+)", column, url)


def translated(boards: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboards by the names of their files. Raises MissingError."""
    translation = Translation(TEXTS)
    made = {name: translation.of(board) for name, board in boards.items()}
    if translation.missing:
        raise MissingError("texts_zh.py lacks:\n" + "\n".join(dict.fromkeys(translation.missing)))
    return made


def unused(boards: Mapping[str, Any]) -> set[str]:
    """Translations of what no dashboard says."""
    translation = Translation(TEXTS)
    for board in boards.values():
        translation.of(board)
    return set(TEXTS) - translation.used
