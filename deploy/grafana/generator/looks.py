"""Colours, thresholds, units. One meaning each, on every panel of every dashboard."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

STATUS_COLOURS = {
    "pending": "orange",
    "running": "blue",
    "finished": "green",
    "exited": "red",
    "cancelled": "#8e8e8e",
    "suspended": "purple",
    "stopped": "dark-purple",
}
"""Waiting is orange and running is blue wherever they appear, cores included."""
PENDING, RUNNING = STATUS_COLOURS["pending"], STATUS_COLOURS["running"]

FLOW_COLOURS = {"submitted": "orange", "started": "blue", "ended": "green"}
STRATEGY_COLOURS = {"delta": "green", "sweep": "yellow", "scan": "orange"}
"""Cheapest first."""
PERCENTILE_COLOURS = {"median": "light-blue", "90 %": "dark-blue", "95 %": "purple"}
REST_COLOUR = "#8e8e8e"
"""Of what is added up under "others"."""
LIMIT_COLOUR = "red"

SECONDS, COUNT, SHARE, BYTES = "s", "locale", "percentunit", "bytes"
PER_MINUTE, HOURS, WHOLE_SECONDS = "suffix:/min", "suffix:h", "suffix:s"
"""The last two for axes, where seconds would be marked at 2.31 days and 3.33 minutes."""

Steps = tuple[tuple[float | None, str], ...]

# Where an alert has a threshold, so has the colour: tests hold them together.
WAIT_STEPS: Steps = ((None, "green"), (3600, "yellow"), (6 * 3600, "orange"), (24 * 3600, "red"))
FAILED_SHARE_STEPS: Steps = ((None, "green"), (0.15, "yellow"), (0.3, "red"))
AGE_STEPS: Steps = ((None, "green"), (180, "yellow"), (300, "red"))
"""Of the counts; at five minutes the exporter withdraws them, unless it is told otherwise."""
QUOTA_STEPS: Steps = ((None, "green"), (0.85, "yellow"), (0.95, "red"))
WOULD_FIT_STEPS: Steps = ((None, "transparent"), (1, "yellow"))
"""Of what waits; whoever waits though all of it would fit waits for something else than cores."""
ANY_IS_BAD: Steps = ((None, "green"), (1, "red"))
ANY_IS_NOTABLE: Steps = ((None, "green"), (1, "yellow"))


def words(**meanings: tuple[str, str]) -> list[model.ValueMap]:
    """Numbers as words: text and colour by the number, which is written after an underscore."""
    results = {
        number.removeprefix("_"): model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (number, (text, colour)) in enumerate(meanings.items())
    }
    return [model.ValueMap(options=results)]


UP_DOWN = words(_1=("up", "green"), _0=("down", "red"))
YES_NO = words(_1=("yes", "green"), _0=("not yet", "yellow"))
YES_OR_NO = words(_1=("yes", "green"), _0=("no", "yellow"))
ON_DISK = words(_1=("on disk", "green"), _0=("in memory", "red"))
LOADED = words(_1=("loaded", "green"), _0=("refused", "red"))
STRATEGIES = words(
    _0=("–", "text"),
    **{
        f"_{place}": (name, colour)
        for place, (name, colour) in enumerate(STRATEGY_COLOURS.items(), 1)
    },
)
"""0 before the first sync, then as in ``STRATEGY_COLOURS``."""


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    """Absolute ones."""
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=colour) for value, colour in steps])
    )


def fixed(colour: str) -> build.FieldColor:
    """Always this colour."""
    return build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(colour)


def by_threshold() -> build.FieldColor:
    """The colour of the threshold that the value has reached."""
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def palette() -> build.FieldColor:
    """Series are sorted by their labels, so that the same names have the same colours."""
    return build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC)


def quiet(steps: Steps) -> Steps:
    """For a table: what is well has no colour, so that the rest stands out."""
    return ((None, "transparent"), *steps[1:])
