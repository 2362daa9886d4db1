"""Write the dashboards, or with ``--check`` say which files are not up to date."""

import sys

from deploy.grafana.generator import DIRECTORY, generate


def main(arguments: list[str]) -> int:
    """Gives the exit code: 1 when a check finds a difference."""
    texts = generate()
    known = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}
    if arguments == ["--check"]:
        differing = sorted(n for n in texts.keys() | known.keys() if texts.get(n) != known.get(n))
        sys.stdout.writelines(f"not up to date: {name}\n" for name in differing)
        return 1 if differing else 0
    DIRECTORY.mkdir(exist_ok=True)
    for name in known.keys() - texts.keys():
        (DIRECTORY / name).unlink()
    for name, text in texts.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
