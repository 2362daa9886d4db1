"""Rows in groups: always those of a plain dict, and what was not touched is not made anew."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from exporter.publishing.rows import Group, Rows

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
    rows: Rows[tuple[Group, str, int]] = Rows()
    plain: dict[tuple[Group, str], int] = {}
    before: dict[Group, tuple[tuple[Group, str, int], ...]] = {}
    for steps in syncs:
        for group, user, number in steps:
            if number is None:
                rows.drop(group, user)
                plain.pop((group, user), None)
            else:
                rows.put(group, user, (group, user, number))
                plain[group, user] = number
        flat = [(*key, number) for key, number in sorted(plain.items())]
        groups = list(rows.groups())
        assert groups == [tuple(each) for _, each in groupby(flat, lambda row: row[0])]
        touched = {group for group, _, _ in steps}
        for rows_of in groups:
            group = rows_of[0][0]
            assert group in touched or rows_of is before[group]
            assert all(rows.row(group, user) == row for row in rows_of for _, user, _ in [row])
        before = {rows_of[0][0]: rows_of for rows_of in groups}
