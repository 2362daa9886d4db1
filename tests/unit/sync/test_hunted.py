"""What the hunt has found: each case ended in wrong counts once."""

from pathlib import Path
from unittest.mock import patch

import pytest

import exporter.ledger.jobs
import exporter.ledger.places
from tests.unit.sync.hunt import Play


@pytest.mark.parametrize(
    ("dialect", "seed"),
    [
        ("nothing-honoured", 700964),
        ("sort-ignored-total-whole", 1001287),
        ("nothing-honoured", 1034599),
        ("nothing-honoured", 4000747),
        ("still-requeue", 5005229),
        ("sort-ignored-total-whole", 7000016),
        ("times-z", 7000120),
        ("nothing-honoured-total-missing", 7000935),
    ],
)
def test_it_is_right_in_the_end(dialect: str, seed: int, tmp_path: Path) -> None:
    with (
        patch.object(exporter.ledger.jobs, "MOST_RECENT", 40),
        patch.object(exporter.ledger.places, "_SMALLEST", 4),
    ):
        Play(dialect, seed, tmp_path).run()
