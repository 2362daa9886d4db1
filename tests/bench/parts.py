"""The parts, in the order in which they run."""

from tests.bench import (
    clusters,
    contact,
    deleting,
    fleet,
    history,
    intake,
    memory,
    restarting,
    scraping,
    series,
    short,
    starting,
    steady,
    submission,
    trace,
)
from tests.bench.figures import Part

PARTS: dict[str, Part] = {
    module.PART.name: module.PART
    for module in (
        steady,
        short,
        submission,
        fleet,
        starting,
        contact,
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
