"""What is known of a server, and what of it is otherwise than documented."""

import pytest

from exporter.profile import DOCUMENTED, TRAITS, UNKNOWN, Profile, Trait, TraitName


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
