"""What the program says to people, in English and in Chinese: the landing page, ``doctor``,
``collect``, the demo, and the advice of failures. Pure.

Each text has a key, ``GROUP.NAME``, and stands in one of the modules beside this one, both languages
side by side, so that whoever changes one sees the other. What is in braces is filled in. The log,
messages of errors and the metrics are in English only, as people search for them.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from exporter.texts.collect import COLLECT
from exporter.texts.demo import DEMO
from exporter.texts.doctor import DOCTOR
from exporter.texts.failures import ADVICE
from exporter.texts.page import PAGE
from exporter.texts.servers import EVIDENCE, SERVERS

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
TEXTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {**PAGE, **SERVERS, **DOCTOR, **COLLECT, **DEMO}
)
"""By key, in English and in Chinese."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_CONTRADICTED = "the server does not do what it did: "
_ADVICE = [
    (re.compile("(.+)".join(map(re.escape, english.split("{}"))), re.DOTALL), chinese)
    for english, chinese in ADVICE.items()
]


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
        return ("、" if self.language == "zh" else ", ").join(names)

    def together(self, statements: Iterable[str]) -> str:
        """Several statements, in which there may be commas."""
        return ("；" if self.language == "zh" else "; ").join(statements)

    def value(self, trait: str, value: str) -> str:
        """What a trait was found to be."""
        general = "value.unknown" if value == "unknown" else f"value.{trait}"
        keys = (f"value.{trait}.{value}", general)
        return next((self(key, value=value) for key in keys if key in TEXTS), value)

    def advice(self, advice: str) -> str:
        """What an error says should be done; as it is where no other words are known for it."""
        if self.language == "zh":
            for pattern, chinese in _ADVICE:
                if found := pattern.fullmatch(advice):
                    return chinese.format(*found.groups())
        return advice

    def evidence(self, text: str) -> str | None:
        """Why a trait is believed; None for words that are not known, or not the program's own."""
        text = text.removeprefix(_CONTRADICTED)
        for pattern, chinese in EVIDENCE.items():
            if found := re.match(pattern, text):
                return found[0] if self.language == "en" else chinese.format(*found.groups())
        return None

    def duration(self, seconds: float) -> str:
        """A length of time: its two largest units at most."""
        rest = max(0, int(seconds))
        days, hours, minutes = rest // _DAY, rest % _DAY // _HOUR, rest % _HOUR // _MINUTE
        parts = (days, hours, minutes, rest % _MINUTE)
        first = next((i for i, part in enumerate(parts) if part), len(parts) - 1)
        # Seconds matter only below ten minutes, hours always.
        last = first + 1 if not (first == 2 and minutes >= 10) else first
        units = ("unit.day", "unit.hour", "unit.minute", "unit.second")
        return " ".join(
            f"{part}{self(unit)}"
            for part, unit in list(zip(parts, units, strict=True))[first : last + 1]
            if part or first == len(parts) - 1
        )


def language_of(environ: Mapping[str, str]) -> Language:
    """The language that the environment asks for, by gettext's rules: Chinese, or else English."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "C")
    preferred = environ.get("LANGUAGE", "") if locale.split(".")[0] not in ("C", "POSIX") else ""
    for wanted in (*preferred.split(":"), locale):
        for language in LANGUAGES:
            if wanted.lower().startswith(language):
                return language
    return "en"
