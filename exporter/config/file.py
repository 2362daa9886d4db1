"""The configuration as people write it: the one place that knows its keys, types and defaults.

The reader walks a file along these types, and the JSON Schema is generated from them.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from exporter.config import checks
from exporter.config.durations import PATTERN

_ANYTHING = r"[\s\S]+"
_OR_VARIABLE = r"|.*\$.*"
"""A pattern is for the text after ``${VAR}`` is filled in, which an editor cannot see."""


def _checked(
    description: str,
    check: Callable[[str], object],
    pattern: str = ".+",
    *,
    hidden: bool = False,
    examples: Sequence[str] = (),
) -> Meta:
    """A text that ``check`` accepts or raises ValueError about; quoted then unless ``hidden``."""
    return Meta(
        description=description,
        pattern=f"^({pattern}{_OR_VARIABLE})$",
        extra={"check": check, "hidden": hidden},
        extra_json_schema={"examples": list(examples)} if examples else None,
    )


def _text(description: str, *, hidden: bool = False) -> Meta:
    """Any text that is not empty."""
    return Meta(description=description, min_length=1, extra={"hidden": hidden})


class Quota(Struct, forbid_unknown_fields=True):
    """What the account may ask, and the part of it that is for this exporter."""

    requests: Annotated[int, Meta(ge=1, description="Requests the account may make in a period.")]\
        = 2000  # fmt: skip
    period: Annotated[str, _checked("Length of the quota's period.", checks.duration, PATTERN)] = (
        "1h"
    )
    share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="This exporter never uses more than this part of the requests; the rest "
            "is for the account's other tools.",
        ),
    ] = 0.5


class Discovery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Clusters that are found by themselves, beside those of the list."""

    zones: Annotated[
        list[Annotated[str, _checked("A zone, as jinan1a.", checks.word, r"\S+")]],
        Meta(min_length=1, description="The zones in which to look for clusters."),
    ]
    include: Annotated[
        list[Annotated[str, _checked("A pattern.", checks.pattern, _ANYTHING)]],
        Meta(description="Patterns, one of which a cluster's name or id must match as a whole."),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        list[Annotated[str, _checked("A pattern.", checks.pattern, _ANYTHING)]],
        Meta(description="Patterns, none of which its name or id may match as a whole."),
    ] = msgspec.field(default_factory=list)
    interval: Annotated[
        str, _checked("How often clusters are looked for.", checks.interval, PATTERN)
    ] = "10m"


class Account(Struct, forbid_unknown_fields=True, kw_only=True):
    """One account of the cloud."""

    name: Annotated[
        str, _text("Names the account; may be left out when there is one, which is 'default'.")
    ] = "default"
    endpoint: Annotated[
        str,
        _checked(
            "URL of the cloud's API, without a query.",
            checks.endpoint,
            "https?://.+",
            hidden=True,
            examples=["https://hpc.api.qingcloud.com", "https://hpc.api.shanhe.com"],
        ),
    ]
    access_key_id: (
        Annotated[
            str,
            _checked(
                "Id of the API key. Or give access_key_id_file.", checks.key, _ANYTHING, hidden=True
            ),
        ]
        | UnsetType
    ) = UNSET
    access_key_id_file: (
        Annotated[str, _text("A file that holds the id; read again when it changes.")] | UnsetType
    ) = UNSET
    secret_access_key: (
        Annotated[
            str,
            _checked(
                "The API key's secret. Or give secret_access_key_file.",
                checks.key,
                _ANYTHING,
                hidden=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    secret_access_key_file: (
        Annotated[str, _text("A file that holds the secret; read again when it changes.")]
        | UnsetType
    ) = UNSET
    timeout: Annotated[str, _checked("Deadline of one call.", checks.duration, PATTERN)] = "10s"
    quota: Quota = msgspec.field(default_factory=Quota)
    user_id: (
        Annotated[
            str,
            _checked(
                "The account's own id, as usr-vceaHsJu; for a cloud that lists clusters only with it.",
                checks.word,
                r"\S+",
            ),
        ]
        | UnsetType
    ) = UNSET
    ca_file: (
        Annotated[
            str, _text("Certificates (PEM) to trust for the endpoint, beside the machine's own.")
        ]
        | UnsetType
    ) = UNSET
    discovery: Discovery | UnsetType = UNSET


class Queue(Struct, forbid_unknown_fields=True):
    """What one queue can run."""

    cores: (
        Annotated[int, Meta(ge=0, description="Cores of the queue, all nodes together.")]
        | UnsetType
    ) = UNSET
    gpus: (
        Annotated[int, Meta(ge=0, description="GPUs of the queue, all nodes together.")] | UnsetType
    ) = UNSET


class Cluster(Struct, forbid_unknown_fields=True, kw_only=True):
    """One cluster to watch."""

    name: (
        Annotated[str, _text("The label cluster_name; the cluster_id if left out. Unique.")]
        | UnsetType
    ) = UNSET
    account: (
        Annotated[str, _text("The name of its account; may be left out when there is one.")]
        | UnsetType
    ) = UNSET
    cluster_id: Annotated[
        str, _checked("The cloud's id of it, as ehpc-qmmvigwe.", checks.word, r"\S+")
    ]
    zone: Annotated[str, _checked("The zone it is in, as jinan1a.", checks.word, r"\S+")]
    timezone: Annotated[
        str,
        _checked(
            "Time zone of API times that carry none, as Asia/Shanghai; auto finds it out.",
            checks.timezone,
        ),
    ] = "auto"
    interval: (
        Annotated[
            str,
            _checked("Overrides collection.interval for this cluster.", checks.interval, PATTERN),
        ]
        | UnsetType
    ) = UNSET
    staleness: (
        Annotated[
            str,
            _checked(
                "Overrides collection.staleness for this cluster.",
                checks.staleness,
                f"auto|{PATTERN}",
            ),
        ]
        | UnsetType
    ) = UNSET
    labels: Annotated[
        dict[str, str],
        Meta(
            description="Labels of its own, on ehpc_cluster_info; one that other clusters have and this"
            " one does not is empty.",
            extra_json_schema={"propertyNames": {"pattern": checks.LABEL_NAME.pattern}},
        ),
    ] = msgspec.field(default_factory=dict)
    queues: Annotated[
        dict[str, Queue],
        Meta(
            description="By queue, as jobs name it: what it can run, where the cloud does not tell."
        ),
    ] = msgspec.field(default_factory=dict)


class Collection(Struct, forbid_unknown_fields=True):
    """How often and how much is asked."""

    interval: Annotated[
        str, _checked("Time between two looks at a cluster; at least 1s.", checks.interval, PATTERN)
    ] = "60s"
    history: Annotated[
        str,
        _checked(
            "Which ended jobs are counted: all, none, or those that ended within a duration.",
            checks.history,
            f"all|none|{PATTERN}",
        ),
    ] = "all"
    audit_interval: Annotated[
        str,
        _checked("How often the ledger is proven equal to the list.", checks.interval, PATTERN),
    ] = "10m"
    staleness: Annotated[
        str,
        _checked(
            "How long counts are served after the last good look: a duration, or auto, which is 5m"
            " or three of the intervals in use, whichever is longer.",
            checks.staleness,
            f"auto|{PATTERN}",
        ),
    ] = "auto"
    capacity_interval: Annotated[
        str,
        _checked(
            "How often queues and nodes are asked for, with calls that nothing else needs; off: never.",
            checks.capacity_interval,
            f"off|{PATTERN}",
        ),
    ] = "10m"
    change_detector: Annotated[
        Literal["auto", "off"],
        Meta(
            description="Whether one call for all clusters tells which have changed, where it is"
            " proven to; off: each is asked every interval."
        ),
    ] = "auto"


class State(Struct, forbid_unknown_fields=True):
    """Where the ledgers live."""

    path: Annotated[str, _text("A directory; ':memory:' keeps nothing through a restart.")] = (
        "./state"
    )


_Patterns = list[Annotated[str, _checked("A pattern.", checks.pattern, _ANYTHING)]]


class UserLabel(Struct, forbid_unknown_fields=True):
    """The label user."""

    mode: Annotated[
        Literal["name", "hash", "off"],
        Meta(description="Show users by name, by a hash of it, or not at all."),
    ] = "name"
    limit: Annotated[
        int,
        Meta(ge=0, description="Users with a label of their own, per cluster; others are _other."),
    ] = 500
    groups_file: (
        Annotated[
            str,
            _text(
                "A file, CSV or YAML, that says in which group each user is, for ehpc_user_info; read"
                " again when it changes."
            ),
        ]
        | UnsetType
    ) = UNSET
    include: Annotated[
        _Patterns,
        Meta(description="Patterns, one of which a user's name must match as a whole to be shown."),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        _Patterns, Meta(description="Patterns, none of which the name may match as a whole.")
    ] = msgspec.field(default_factory=list)


class QueueLabel(Struct, forbid_unknown_fields=True):
    """The label queue."""

    limit: Annotated[
        int,
        Meta(ge=0, description="Queues with a label of their own, per cluster; others are _other."),
    ] = 200
    include: Annotated[
        _Patterns,
        Meta(
            description="Patterns, one of which a queue's name must match as a whole to be shown."
        ),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        _Patterns, Meta(description="Patterns, none of which the name may match as a whole.")
    ] = msgspec.field(default_factory=list)


class Labels(Struct, forbid_unknown_fields=True):
    """How users and queues become label values."""

    user: UserLabel = msgspec.field(default_factory=UserLabel)
    queue: QueueLabel = msgspec.field(default_factory=QueueLabel)


class Links(Struct, forbid_unknown_fields=True):
    """Where the landing page leads to."""

    grafana: (
        Annotated[
            str,
            _checked(
                "URL of the Grafana that has this project's dashboards.",
                checks.link,
                "https?://.+",
                examples=["https://grafana.example.org"],
            ),
        ]
        | UnsetType
    ) = UNSET


class ConfigFile(Struct, forbid_unknown_fields=True):
    """Configuration of ehpc-exporter. ${VAR} in a text takes an environment variable."""

    accounts: Annotated[list[Account], Meta(min_length=1)]
    clusters: Annotated[
        list[Cluster],
        Meta(description="At least one, unless an account has a discovery."),
    ] = msgspec.field(default_factory=list)
    collection: Collection = msgspec.field(default_factory=Collection)
    state: State = msgspec.field(default_factory=State)
    labels: Labels = msgspec.field(default_factory=Labels)
    links: Links = msgspec.field(default_factory=Links)
