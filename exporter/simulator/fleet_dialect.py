"""What the API leaves open about clusters, queues and nodes, as switches, and how records are
written then.

They hold for the whole cloud, while ``dialect.py`` is about one cluster's jobs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args, get_type_hints

from exporter.simulator.plant import Counting
from exporter.simulator.refusal import Refused
from exporter.simulator.spelling import read_switches

CALLS = ("clusters", "queues", "queue", "nodes")
"""A word for each: cluster/list, getQueueList and getCurrentQueue, describeQueue, listNodes."""


@dataclass(frozen=True, slots=True)
class FleetDialect:
    """How one cloud behaves where the documentation does not say, or may not be right."""

    owner: Literal["optional", "required"] = "optional"
    """Of cluster/list: the account's ``user_id``."""
    counters: Counting = "live"
    """Of jobs, in cluster/list: as the list is now, a minute behind, as they were when first asked
    for, or with all ended jobs as finished and suspended ones as running."""
    cluster_fields: Literal["flat", "nested"] = "flat"
    """``nested`` in ``app_cluster``."""
    queue_method: Literal["GET", "POST", "either"] = "GET"
    """Of getQueueList."""
    queue_list: Literal["queues_set", "queue_set"] = "queues_set"
    """The list of getCurrentQueue."""
    queue_zone: Literal["zone", "zone_id"] = "zone"
    """The zone of getCurrentQueue; ``zone`` is always there."""
    numbers: Literal["int", "string"] = "int"
    capacity: Literal["told", "empty"] = "told"
    """Whether queues tell how much they can run, or ``""``."""
    unknown: Refused = "problem"
    """How a call that is not understood is refused."""
    unknown_param: Literal["ignored"] | Refused = "ignored"
    forbidden: frozenset[str] = frozenset()
    """Which of ``CALLS`` are refused with 1400."""


FLEET_DIALECTS: Mapping[str, FleetDialect] = {
    "documented": FleetDialect(),
    "by-the-table": FleetDialect(
        owner="required",
        cluster_fields="nested",
        queue_method="POST",
        queue_list="queue_set",
        queue_zone="zone_id",
        unknown="1101",
    ),
    "strict": FleetDialect(unknown_param="problem"),
    "counters-lag": FleetDialect(counters="lagging"),
    "counters-still": FleetDialect(counters="still"),
    "counters-otherwise": FleetDialect(counters="otherwise"),
    "texts": FleetDialect(numbers="string"),
    "no-capacity": FleetDialect(capacity="empty"),
    "forbidden": FleetDialect(forbidden=frozenset(CALLS)),
}
"""Named combinations."""

_CHOICES: dict[str, tuple[str, ...]] = {
    name: tuple(word for each in get_args(hint) for word in (get_args(each) or (each,)))
    for name, hint in get_type_hints(FleetDialect).items()
} | {"forbidden": (*CALLS, "none")}
FLEET_KEYS = tuple(_CHOICES)


def parse_fleet(text: str) -> FleetDialect:
    """``NAME``, ``KEY=VALUE,...`` or ``NAME,KEY=VALUE,...``, as ``spelling.py`` has it. ``ValueError``
    if it cannot be read."""
    dialect, switches = read_switches(text, FLEET_DIALECTS, FleetDialect(), what="fleet")
    changed: dict[str, object] = {}
    for key, value in switches:
        if key not in _CHOICES:
            raise ValueError(f"no such switch of a fleet: {key}")
        words = value.split("+") if key == "forbidden" else [value]
        if wrong := set(words) - set(_CHOICES[key]):
            raise ValueError(f"{key}={min(wrong)} is none of {', '.join(_CHOICES[key])}")
        changed[key] = frozenset(words) - {"none"} if key == "forbidden" else value
    return replace(dialect, **changed)  # type: ignore[arg-type] # checked above


def spell_fleet(dialect: FleetDialect) -> str:
    """How it is written: by its name, or by what differs from what is documented."""
    for name, named in FLEET_DIALECTS.items():
        if named == dialect:
            return name
    documented = FleetDialect()
    return ",".join(
        f"{field.name}={'+'.join(sorted(value)) or 'none' if field.name == 'forbidden' else value}"
        for field in fields(FleetDialect)
        if (value := getattr(dialect, field.name)) != getattr(documented, field.name)
    )
