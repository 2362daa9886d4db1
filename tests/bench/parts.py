"""The parts, in the order in which they run."""

from tests.bench import (
    deleting,
    intake,
    memory,
    restarting,
    scraping,
    starting,
    steady,
    trace,
)
from tests.bench.figures import Part

PARTS: dict[str, Part] = {
    module.PART.name: module.PART
    for module in (steady, starting, restarting, deleting, intake, memory, trace, scraping)
}
