"""The targets of ``python -m tests.fuzz``, each with its seeds and with what may not pass."""

import pytest

from tests.fuzz import targets
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_makes_a_target_fail(name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert len(seeds) >= 2
    for seed in seeds:
        for end in range(0, len(seed) + 1, max(1, len(seed) // 100)):
            target.run(seed[:end])


def test_seeds_get_through_to_the_end() -> None:
    """A seed that is refused at the door would teach a fuzzer nothing."""
    page = TARGETS["page"].seeds()[1]
    assert len(targets.decode_page(page, timezone=targets.UTC).jobs) == 2
    for seed in TARGETS["config"].seeds()[1:]:
        assert targets.parse_config(seed.decode(), targets.ENVIRONMENT, targets.NOWHERE).clusters
    for seed in TARGETS["web_config"].seeds()[1:]:
        assert targets.parse_web_config(seed.decode(), targets.NOWHERE)


def test_a_defect_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object, **__: object) -> None:
        raise KeyError("a library's own")

    for name in ("decode_page", "parse_config", "parse_web_config"):
        monkeypatch.setattr(targets, name, careless)
    for name in ("page", "config", "web_config"):
        with pytest.raises(KeyError):
            TARGETS[name].run(b"{}")
