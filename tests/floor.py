"""Constraints for pip: each of our dependencies in the oldest version that pyproject.toml allows.

Needs nothing but Python, as it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+),<[0-9.]+")


def floors(pyproject: Path = PYPROJECT) -> list[str]:
    """As ``requests==2.32``. Raises ``ValueError`` for a dependency without floor or ceiling."""
    lines = []
    for requirement in tomllib.loads(pyproject.read_text())["project"]["dependencies"]:
        match = REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(f"{requirement} has no floor, or no ceiling")
        lines.append(f"{match[1]}=={match[2]}")
    return lines


if __name__ == "__main__":
    sys.stdout.write("\n".join(floors()) + "\n")
