"""What the hunt has found: each case ended in wrong counts once."""

from pathlib import Path

import pytest

from tests.unit.sync.play import Play, short_of_memory


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
        ("filters-ignored", 7004218),
        ("sort-ignored-ties-shuffled", 8003362),
        ("times-local", 11003250),
    ],
)
def test_it_is_right_in_the_end(dialect: str, seed: int, tmp_path: Path) -> None:
    with short_of_memory():
        Play(dialect, seed, tmp_path, varied=False).run()


@pytest.mark.parametrize(
    ("dialect", "seed"),
    [
        ("total-missing", 21000307),
        ("nulls", 22000099),
        ("filters-ignored", 23001459),
        ("filters-ignored", 24001149),
        ("times-local", 24001328),
        ("nothing-honoured-total-missing", 24002237),
        ("still-start", 24002285),
        ("always-descending", 24002542),
        ("always-descending", 24004774),
        ("still-end", 26001725),
        ("small-pages", 26001868),
        ("sort-ignored", 28003328),
        ("filters-ignored", 33004156),
        ("sort-ignored-total-whole", 38000078),
        ("sort-ignored-total-whole", 41000109),
        ("sort-ignored-total-missing", 43005998),
        ("sort-ignored-total-missing", 43008013),
        ("nulls", 28003447),
        ("still-start", 28004703),
        ("still-requeue", 28005570),
        ("filters-ignored", 45008930),
        ("always-descending", 60002015),
        ("sort-ignored", 64001134),
        ("sort-ignored-total-whole", 65002015),
        ("still-requeue", 67002405),
        ("sort-by-submitted-only", 64015098),
        ("strings", 72002092),
        ("curious", 32047),
        ("times-z", 500166),
        ("plausible", 32058),
        ("job-status-strict", 91200045),
        ("plausible", 91300057),
        ("plausible", 91400069),
        ("nulls", 91300144),
        ("filter-after-cut", 91300176),
        ("plausible", 91500329),
        ("plausible", 93100089),
        ("plausible", 91200772),
        ("plausible", 91300378),
        ("curious", 91600807),
        ("plausible", 81500476),
        ("curious", 82500535),
        ("plausible", 82510102),
        ("plausible", 81510440),
        ("curious", 82520331),
        ("plausible", 81530128),
        ("plausible", 81561312),
        ("plausible", 830000870),
        ("plausible", 830001428),
        ("plausible", 91000870),
        ("plausible", 92001009),
        ("plausible", 95011313),
        ("filter-after-cut-total-whole", 97000717),
        ("curious", 42300130),
        ("curious", 800000251),
        ("plausible", 800009392),
    ],
)
def test_it_is_right_with_a_part_of_the_history_and_few_calls(
    dialect: str, seed: int, tmp_path: Path
) -> None:
    with short_of_memory():
        Play(dialect, seed, tmp_path).run()
