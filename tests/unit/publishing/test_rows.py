"""Rows in groups: always those of a plain dict, and what was not touched is not made anew."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.publishing.rows import Rows
from exporter.snapshot import Columns, Group, Grouped, JobCount

STEPS = st.lists(
    st.tuples(
        st.sampled_from([("running", "a"), ("pending", "b"), ("pending", "a")]),
        st.sampled_from(["x", "y", "z"]),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    max_size=6,
)


@given(st.lists(STEPS, max_size=6))
def test_they_are_those_of_a_plain_dict_and_others_stay_the_same_objects(
    syncs: list[list[tuple[Group, str, int | None]]],
) -> None:
    rows = Rows()
    plain: dict[tuple[Group, str], tuple[int, int]] = {}
    before: dict[Group, Columns] = {}
    for steps in syncs:
        for group, user, number in steps:
            numbers = None if number is None else (number, 2 * number)
            rows.put(group, user, numbers)
            assert rows.numbers(group, user) == numbers
            if numbers is None:
                plain.pop((group, user), None)
            else:
                plain[group, user] = numbers
        groups = rows.groups()
        flat = [(*group, user, *of) for (group, user), of in sorted(plain.items())]
        assert Grouped(JobCount, groups) == flat
        touched = {group for group, _, _ in steps}
        assert all(group in touched or groups[group] is before[group] for group in groups)
        assert all(rows.numbers(*key) == numbers for key, numbers in plain.items())
        before = groups
