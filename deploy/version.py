"""The version stands in ``exporter/__init__.py``. This brings everything that repeats it to a new one.

``python -m deploy.version set 0.3.0`` for a new version; ``show`` and ``notes`` print the present one and what the
changelog says of it; ``check v0.3.0`` fails unless that tag is its. It needs nothing but Python.
"""

import datetime
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUMBER = r"\d+\.\d+\.\d+"
UNRELEASED = "## [Unreleased]\n"
PLACES: Mapping[str, Sequence[str]] = {
    "exporter/__init__.py": [rf'^__version__ = "({NUMBER})"$'],
    "deploy/helm/ehpc-exporter/Chart.yaml": [
        rf"^version: ({NUMBER})$",
        rf'^appVersion: "({NUMBER})"$',
    ],
    "docs/deployment.md": [rf'ehpc-exporter, (?:tag|newTag): "({NUMBER})"'],
}
"""Where it stands: in each file, patterns whose group is the version."""


class VersionError(Exception):
    """A version that cannot be made, or a tag that is not the version's."""


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; gives the exit code."""
    try:
        match arguments:
            case ["set", version]:
                _set(version)
            case ["show"]:
                sys.stdout.write(f"{present()}\n")
            case ["notes"]:
                sys.stdout.write(notes(_read("CHANGELOG.md"), present()))
            case ["check", tag]:
                _check(tag)
            case _:
                sys.stderr.write("set VERSION, show, notes or check TAG\n")
                return 2
    except VersionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def present() -> str:
    """The version of this tree."""
    (version,) = versions("exporter/__init__.py", _read("exporter/__init__.py"))
    return version


def versions(name: str, text: str) -> list[str]:
    """Every version that a file of ``PLACES`` names. Raises ``VersionError`` if a place is gone."""
    found = [re.findall(pattern, text, re.MULTILINE) for pattern in PLACES[name]]
    if not all(found):
        raise VersionError(f"{name} names no version where it did")
    return [version for each in found for version in each]


def renewed(name: str, text: str, version: str) -> str:
    """The text of a file of ``PLACES`` with another version. Raises ``VersionError``."""
    versions(name, text)

    def another(match: re.Match[str]) -> str:
        return match[0].replace(match[1], version)

    for pattern in PLACES[name]:
        text = re.sub(pattern, another, text, flags=re.MULTILINE)
    return text


def released(changelog: str, version: str, day: str) -> str:
    """The changelog in which what was unreleased is that version. Raises ``VersionError``."""
    if re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE):
        raise VersionError(f"CHANGELOG.md has a section for {version} already")
    if not _section(changelog, "Unreleased"):
        raise VersionError("CHANGELOG.md has nothing under Unreleased")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {day}\n", 1)


def notes(changelog: str, version: str) -> str:
    """What the changelog says of a version, without its heading. Raises ``VersionError``."""
    found = _section(changelog, version)
    if not found:
        raise VersionError(f"CHANGELOG.md has no section for {version}")
    return found


def _section(changelog: str, name: str) -> str:
    heading = rf"^## \[{re.escape(name)}\].*\n"
    _, *rest = re.split(heading, changelog, maxsplit=1, flags=re.MULTILINE)
    text = re.split(r"^## ", rest[0], maxsplit=1, flags=re.MULTILINE)[0].strip() if rest else ""
    return f"{text}\n" if text else ""


def _set(version: str) -> None:
    if not re.fullmatch(NUMBER, version):
        raise VersionError(f"{version!r} is no version such as 0.3.0")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    texts = {name: renewed(name, _read(name), version) for name in PLACES}
    texts["CHANGELOG.md"] = released(_read("CHANGELOG.md"), version, today)
    for name, text in texts.items():
        (ROOT / name).write_text(text, encoding="utf-8")


def _check(tag: str) -> None:
    if tag != f"v{present()}":
        raise VersionError(f"{tag} is not the tag of version {present()}")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
