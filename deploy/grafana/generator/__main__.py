"""Write the dashboards, or with ``--check`` say which files are not up to date."""

import sys

from deploy.grafana.generator import CHINESE, DIRECTORY, generate
from deploy.grafana.generator.chinese import MissingError


def main(arguments: list[str]) -> int:
    """Gives the exit code: 1 when a check finds a difference, or a text has no translation."""
    try:
        texts = generate()
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    known = {
        path: path.read_text(encoding="utf-8")
        for directory in (DIRECTORY, CHINESE)
        for path in directory.glob("*.json")
    }
    if arguments == ["--check"]:
        differing = sorted(p for p in texts.keys() | known.keys() if texts.get(p) != known.get(p))
        sys.stdout.writelines(f"not up to date: {path}\n" for path in differing)
        return 1 if differing else 0
    for path in known.keys() - texts.keys():
        path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
