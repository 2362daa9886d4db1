"""What every test can ask for."""

import gc
import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

# A busy machine is no defect.
usual = settings()
settings.register_profile(
    "patient",
    usual,
    deadline=None,
    suppress_health_check=[*usual.suppress_health_check, HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("patient"), max_examples=10)
settings.load_profile("patient")


@given(none())
def _first_example(_: None) -> None:
    """With its first example Hypothesis notes which generators of random numbers it seeds, and warns if
    nothing refers to one of them: what is frozen does not count."""


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what stays for good, and from looking for more all the time.

    Thousands of tests and what they import are there until the end of the process. It took a fifth
    of the time to look through them again and again.
    """
    _first_example()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """Find a program of another project, such as promtool: gives its path.

    Where it is missing, the test is skipped for a person, and fails in CI: a check that CI
    silently leaves out is no check.
    """

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is not None:
            return path
        message = f"{name} is not installed; .ci/run names the package that has it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return find
