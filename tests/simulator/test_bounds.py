"""A number on a command line is finite and within its bounds, or the flag says what it must be."""

import argparse

import pytest

from exporter.simulator.bounds import number


@pytest.mark.parametrize("text", ["0.5", "1", "2", "1e0"])
def test_what_is_within(text: str) -> None:
    assert number(0.5, 2)(text) == float(text)


@pytest.mark.parametrize("text", ["0.4", "2.1", "nan", "inf", "-inf", "1e999", "", "two"])
def test_what_is_not(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        number(0.5, 2)(text)
    assert str(caught.value) == f"{text} is not a number of at least 0.5 and at most 2"


def test_whole_numbers() -> None:
    assert number(0, whole=True)("3") == 3
    with pytest.raises(argparse.ArgumentTypeError, match="not a whole number of at least 0"):
        number(0, whole=True)("3.5")


def test_any_number() -> None:
    assert number()("-1e9") == -1e9
    with pytest.raises(argparse.ArgumentTypeError, match="x is not a number"):
        number()("x")
