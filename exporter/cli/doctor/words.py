"""Looking up what ``doctor`` says. Pure."""

import re
from collections.abc import Iterable, Mapping

from exporter.cli.doctor.texts import EVIDENCE, LANGUAGES, TEXTS, Language

_PREFIX = "the server does not do what it did: "


class Words:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, /, **parts: object) -> str:
        """The text of a key, filled in."""
        return TEXTS[key][self._column].format(**parts)

    def joined(self, names: Iterable[str]) -> str:
        """Several names."""
        return ", ".join(names)

    def value(self, trait: str, value: str) -> str:
        """What a trait was found to be."""
        general = "value.unknown" if value == "unknown" else f"value.{trait}"
        keys = (f"value.{trait}.{value}", general)
        return next((self(key, value=value) for key in keys if key in TEXTS), value)

    def help(self, reason: str) -> str:
        """What to do about a failure."""
        return self(f"help.{reason}" if f"help.{reason}" in TEXTS else "help.other")

    def evidence(self, text: str) -> str | None:
        """Why a trait is believed; None for words that are not known, or not the program's own."""
        text = text.removeprefix(_PREFIX)
        for pattern, chinese in EVIDENCE.items():
            if found := re.match(pattern, text):
                return found[0] if self.language == "en" else chinese.format(*found.groups())
        return None


def language_of(environ: Mapping[str, str]) -> Language:
    """The language that the environment asks for: Chinese, or else English."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    wanted = next((environ[name] for name in names if environ.get(name)), "")
    return "zh" if wanted.lower().startswith("zh") else "en"
