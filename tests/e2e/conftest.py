"""What the tests of the real process can ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

NEWER = Path(__file__).parents[2] / "build" / "prometheus"
"""Where ``.ci/fetch-newer-prometheus`` puts those of newer Debian releases: 2.53 and 3.5 or later."""


@pytest.fixture(params=["machine", "trixie", "forky"])
def prometheus_tool(
    request: pytest.FixtureRequest, require_tool: Callable[[str], str]
) -> Callable[[str], str]:
    """Find ``prometheus`` or ``promtool`` of this machine, and then of newer releases."""
    release = request.param
    if release == "machine":
        return require_tool

    def find(name: str) -> str:
        path = NEWER / release / "usr" / "bin" / name
        if path.exists():
            return str(path)
        message = f"{name} of Debian's {release} is not there; .ci/fetch-newer-prometheus gets it"
        if os.environ.get("CI") and release != "forky":  # that one still changes from day to day
            pytest.fail(message)
        pytest.skip(message)

    return find
