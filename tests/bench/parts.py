"""The parts, in the order in which they run."""

from tests.bench import (
    clusters,
    deleting,
    fleet,
    history,
    intake,
    memory,
    restarting,
    scraping,
    series,
    starting,
    steady,
    trace,
)
from tests.bench.figures import Part

PARTS: dict[str, Part] = {
    module.PART.name: module.PART
    for module in (
        steady,
        fleet,
        starting,
        restarting,
        deleting,
        history,
        intake,
        memory,
        trace,
        scraping,
        series,
        clusters,
    )
}
