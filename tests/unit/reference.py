"""What to know of prometheus-client when our text is held against its own."""

from prometheus_client.utils import floatToGoString

_PADS_EXPONENTS = floatToGoString(1e10) != "1e+10"


def is_misprinted(value: float) -> bool:
    """Whether this release writes the number with an exponent of three digits, as old ones do."""
    return _PADS_EXPONENTS and 1e10 <= value < 1e16
