"""What is known of a server: found, contradicted, found anew; and what is otherwise than documented."""

import msgspec
import pytest

from exporter.profile import (
    DOCUMENTED,
    LESSER_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TRAITS,
    UNKNOWN,
    Profile,
    Trait,
    TraitName,
    zone_name,
)

AT = 1_700_000_000.0
PAUSE = 600.0
DAY = LONGEST_PAUSE_SECONDS


def test_nothing_is_undocumented_of_a_server_that_is_as_documented_or_not_known() -> None:
    assert Profile().undocumented() == {}
    for name, values in DOCUMENTED.items():
        for value in values:
            assert Profile(**{name: Trait(value, "seen")}).undocumented() == {}
    assert DOCUMENTED.keys() == set(TRAITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status_filter", "job_status"), ("status_filter", "none"), ("order", "change_only"),
        ("order", "submission"), ("order", "default"), ("order", "none"), ("total_count", "cluster"),
        ("total_count", "none"), ("page_size", "50"), ("depth", "10000"), ("zone", "+08:00"),
        ("zone", "contradicted"), ("lag", "20"),
    ],
)  # fmt: skip
def test_whatever_is_otherwise_is_undocumented(name: TraitName, value: str) -> None:
    trait = Trait(value, "seen")
    assert Profile(**{name: trait}).undocumented() == {name: trait}


def test_so_is_what_was_contradicted_until_it_is_found_anew() -> None:
    profile = Profile().found("order", "change", "sorted", 0.0)
    profile = profile.contradicted("order", "a page is not sorted", 10.0, 600.0)
    assert {name: trait.evidence for name, trait in profile.undocumented().items()} == {
        "order": "a page is not sorted"
    }
    assert profile.found("order", "change", "sorted", 20.0).undocumented() == {}


def test_that_something_could_not_be_found_out_has_its_evidence_too() -> None:
    profile = Profile().found("zone", UNKNOWN, "nothing proves it", 0.0)
    assert profile.zone.evidence == "nothing proves it"
    assert list(profile.undocumented()) == ["zone"]
    assert profile.found("zone", UNKNOWN, "nothing proves it", 60.0) is profile


def contradicted_again_and_again(name: TraitName, value: str, times: int) -> list[float]:
    """How long it waits each time, if it is found anew as soon as it may be."""
    profile, now_at, waits = Profile().found(name, value, "seen", AT), AT, []
    for _ in range(times):
        profile = profile.contradicted(name, "not so", now_at, PAUSE)
        trait: Trait = getattr(profile, name)
        assert (trait.value, trait.evidence, trait.at) == (UNKNOWN, "not so", now_at)
        waits.append(trait.retry_at - now_at)
        now_at = trait.retry_at
        assert profile.due(name, now_at)
        assert not waits[-1] or not profile.due(name, now_at - 1)
        profile = profile.found(name, value, "seen again", now_at)
    return waits


class TestContradictions:
    """What an answer contradicts is found anew: at once, and then later and later."""

    def test_at_once_the_first_time_and_doubled_up_to_a_day(self) -> None:
        waits = contradicted_again_and_again("order", "change", 12)
        assert waits[:5] == [0.0, PAUSE, 2 * PAUSE, 4 * PAUSE, 8 * PAUSE]
        assert waits[-1] == DAY

    @pytest.mark.parametrize("name", ["depth", "page_size"])
    def test_at_once_always_where_no_call_can_be_made_without(self, name: TraitName) -> None:
        assert set(contradicted_again_and_again(name, "1000", 5)) == {0.0}

    def test_one_that_has_stood_for_a_day_is_found_at_once_again(self) -> None:
        profile = Profile().found("order", "change", "seen", AT)
        for _ in range(5):
            profile = profile.contradicted("order", "not so", AT, PAUSE)
        profile = profile.found("order", "change", "seen again", AT)
        soon = profile.contradicted("order", "not so", AT + DAY - 1, PAUSE).order
        late = profile.contradicted("order", "not so", AT + DAY, PAUSE).order
        assert (soon.contradictions, late.contradictions) == (6, 1)
        assert late.retry_at == AT + DAY

    def test_they_can_go_on_for_ever(self) -> None:
        profile = Profile(order=Trait("change", "seen", AT, 0.0, 5_000))
        profile = profile.contradicted("order", "not so", AT, PAUSE)
        assert profile.order.contradictions == 5_001
        assert profile.order.retry_at == AT + DAY

    def test_other_traits_stay_as_they_are(self) -> None:
        profile = Profile().found("order", "change", "seen", AT).found("lag", "5", "seen", AT)
        assert profile.contradicted("order", "not so", AT, PAUSE).lag == profile.lag


class TestLesserValues:
    """That a server has not what would be better is tried again after an hour, or later."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("status_filter", "none"), ("order", "none"), ("order", "submission"),
            ("order", "default"), ("total_count", "none"), ("depth", "10000"),
        ],
    )  # fmt: skip
    def test_after_an_hour(self, name: TraitName, value: str) -> None:
        profile = Profile().found(name, value, "seen", AT)
        assert not profile.due(name, AT + LESSER_PAUSE_SECONDS - 1)
        assert profile.due(name, AT + LESSER_PAUSE_SECONDS)
        again = profile.found(name, value, "seen", AT + LESSER_PAUSE_SECONDS)
        assert not again.due(name, AT + LESSER_PAUSE_SECONDS + 1), "the same once more waits, too"

    def test_doubled_if_it_had_it_and_lost_it_again(self) -> None:
        profile = Profile().found("order", "change", "seen", AT)
        for hours in (1, 2, 4, 8, 16, 24, 24):
            profile = profile.contradicted("order", "not so", AT, PAUSE)
            profile = profile.found("order", "submission", "seen", AT)
            assert profile.order.retry_at == AT + hours * 3600

    @pytest.mark.parametrize(("name", "value"), [("order", "change"), ("order", "change_only")])
    def test_what_could_not_be_better_is_not_looked_at_again(
        self, name: TraitName, value: str
    ) -> None:
        assert not Profile().found(name, value, "seen", AT).due(name, AT + 1e9)

    def test_nothing_that_is_not_known_waits(self) -> None:
        assert all(Profile().due(name, AT) for name in TRAITS)

    def test_a_wait_that_a_wrong_clock_has_written_is_none(self) -> None:
        profile = Profile(order=Trait("none", "seen", AT + 1e8, AT + 1e8, 1))
        assert profile.due("order", AT)


def test_what_is_found_again_as_it_was_keeps_its_moment() -> None:
    profile = Profile().found("page_size", "100", "seen", AT)
    assert profile.found("page_size", "100", "seen once more", AT + 60) is profile


@pytest.mark.parametrize(
    ("depth", "most"), [("unknown", float("inf")), ("unlimited", float("inf")), ("1000", 1000.0)]
)
def test_how_deep_offsets_reach(depth: str, most: float) -> None:
    assert Profile(depth=Trait(depth)).most_offset == most


@pytest.mark.parametrize(("lag", "seconds"), [("unknown", 0.0), ("0", 0.0), ("20", 20.0)])
def test_how_far_answers_may_be_behind(lag: str, seconds: float) -> None:
    assert Profile(lag=Trait(lag)).lag_seconds == seconds


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [
        ("utc", 0), ("+08:00", 28800), ("-03:30", -12600), ("unknown", 28800), ("stamped", 28800),
        ("configured", 28800),
    ],
)  # fmt: skip
def test_zones(zone: str, seconds: int) -> None:
    assert Profile(zone=Trait(zone)).zone_seconds == seconds
    if zone[0] in "u+-" and zone != "unknown":
        assert zone_name(seconds) == zone


def test_it_is_kept_as_it_is() -> None:
    profile = Profile().found("order", "change", "seen", AT).contradicted("lag", "no", AT, PAUSE)
    assert msgspec.json.decode(msgspec.json.encode(profile), type=Profile) == profile
