"""What the hunt has found: each case ended in wrong counts once.

Dice decide what happens in a case, one after the other, so it is another case once anything else is asked of
them. Such a case is no more than one of the hunt's, and leaves: what it had found has a test of its own.
"""

from pathlib import Path

import pytest

from tests.unit.sync.play import Play, short_of_memory


@pytest.mark.parametrize(
    ("dialect", "seed"),
    [
        ("total-missing", 21000307),
        ("sort-ignored-total-whole", 65002015),
        ("plausible", 32058),
        ("job-status-strict", 91200045),
        ("nulls", 91300144),
        ("plausible", 830001428),
    ],
)
def test_it_is_right_with_a_part_of_the_history_and_few_calls(
    dialect: str, seed: int, tmp_path: Path
) -> None:
    with short_of_memory():
        Play(dialect, seed, tmp_path).run()
