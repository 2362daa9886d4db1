"""Rows in groups: always those of a plain dict, and what was not touched is not made anew."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from exporter.publishing.rows import Group, Rows
from exporter.snapshot import JobCount

STEPS = st.lists(
    st.tuples(
        st.sampled_from([("running", "a"), ("pending", "b"), ("pending", "a")]),
        st.sampled_from(["x", "y", "z"]),
        st.one_of(st.none(), st.integers(0, 9)),
    ),
    max_size=6,
)


def row_of(group: Group, user: str, jobs: int) -> JobCount:
    """A row of a group."""
    status, queue = group
    return JobCount(status, queue, user, jobs, 0)


def group_of(row: JobCount) -> Group:
    """The group of a row."""
    return row.status, row.queue


@given(st.lists(STEPS, max_size=6))
def test_they_are_those_of_a_plain_dict_and_others_stay_the_same_objects(
    syncs: list[list[tuple[Group, str, int | None]]],
) -> None:
    rows: Rows[JobCount] = Rows()
    plain: dict[tuple[Group, str], int] = {}
    before: dict[Group, tuple[JobCount, ...]] = {}
    for steps in syncs:
        for group, user, number in steps:
            row = None if number is None else row_of(group, user, number)
            rows.put(group, user, row)
            assert rows.row(group, user) is row
            if number is None:
                plain.pop((group, user), None)
            else:
                plain[group, user] = number
        flat = [row_of(group, user, number) for (group, user), number in sorted(plain.items())]
        groups = list(rows.groups())
        assert groups == [tuple(each) for _, each in groupby(flat, group_of)]
        touched = {group for group, _, _ in steps}
        for rows_of in groups:
            group = group_of(rows_of[0])
            assert group in touched or rows_of is before[group]
            assert all(rows.row(group, row.user) == row for row in rows_of)
        before = {group_of(rows_of[0]): rows_of for rows_of in groups}
