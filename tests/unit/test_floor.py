"""The constraints with which the oldest versions are installed."""

from pathlib import Path

import pytest

from tests.floor import floors


def test_every_dependency_has_its_floor(tmp_path: Path) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project]\ndependencies = ["a-b>=1.2,<2", "C>=3.0.1,<4"]\n')
    assert floors(pyproject) == ["a-b==1.2", "C==3.0.1"]
    assert "urllib3==2.2.3" in floors()


@pytest.mark.parametrize("requirement", ["a", "a>=1", "a<2", "a==1", "a>=1,<2; os_name=='nt'"])
def test_one_without_floor_or_ceiling_is_refused(tmp_path: Path, requirement: str) -> None:
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text(f'[project]\ndependencies = ["{requirement}"]\n')
    with pytest.raises(ValueError, match="has no floor, or no ceiling"):
        floors(pyproject)
