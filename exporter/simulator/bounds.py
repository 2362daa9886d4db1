"""Numbers on a command line that are neither out of bounds nor infinite. Pure."""

import argparse
import math
from collections.abc import Callable


def number(
    least: float = -math.inf, most: float = math.inf, *, whole: bool = False
) -> Callable[[str], float | int]:
    """A type of a flag: a finite number, not below ``least`` and not above ``most``."""

    def read(text: str) -> float | int:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            kind = "a whole number" if whole else "a number"
            bounds = [f"of at least {least:g}"] * (least > -math.inf)
            bounds += [f"at most {most:g}"] * (most < math.inf)
            raise argparse.ArgumentTypeError(
                f"{text} is not {' '.join([kind, ' and '.join(bounds)])}"
            )
        return value

    return read
