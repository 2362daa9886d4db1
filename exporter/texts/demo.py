"""What ``demo`` says. Data only."""

from collections.abc import Mapping

# fmt: off
DEMO: Mapping[str, tuple[str, str]] = {}
# fmt: on
