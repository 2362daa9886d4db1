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
    """A text that ``check`` accepts or raises ValueError about; quoted then unless ``hidden``. The ``pattern``
    is for editors, and decides nothing here."""
    for_editors: dict[str, object] = {"pattern": f"^({pattern}{_OR_VARIABLE})$"}
    if examples:
        for_editors["examples"] = list(examples)
    return Meta(
        description=description,
        extra={"check": check, "hidden": hidden},
        extra_json_schema=for_editors,
    )


def _name(description: str) -> Meta:
    """What people call something."""
    return Meta(description=description, min_length=1, extra={"check": checks.name})


def _file(description: str) -> Meta:
    """The path of a file or a directory."""
    return Meta(description=description, min_length=1, extra={"check": checks.path})


class Quota(Struct, forbid_unknown_fields=True):
    """How many calls the account may make, and how many of them this exporter may use."""

    requests: Annotated[int, Meta(ge=1, description="Calls that the account may make in a period.")]\
        = 2000  # fmt: skip
    period: Annotated[str, _checked("Length of the quota's period.", checks.duration, PATTERN)] = (
        "1h"
    )
    share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="This exporter never uses more than this part of the calls; the rest "
            "is for the account's other tools.",
        ),
    ] = 0.5


class Discovery(Struct, forbid_unknown_fields=True, kw_only=True):
    """Discovers clusters, in addition to those in the list."""

    zones: Annotated[
        list[Annotated[str, _checked("A zone, such as jinan1a.", checks.word, r"\S+")]],
        Meta(min_length=1, description="The zones in which to look for clusters."),
    ]
    include: Annotated[
        list[Annotated[str, _checked("A regular expression.", checks.pattern, _ANYTHING)]],
        Meta(
            description="Regular expressions; a cluster's whole name or id must match one of them."
        ),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        list[Annotated[str, _checked("A regular expression.", checks.pattern, _ANYTHING)]],
        Meta(description="Regular expressions; its whole name or id must match none of them."),
    ] = msgspec.field(default_factory=list)
    interval: Annotated[
        str, _checked("How often clusters are looked for.", checks.interval, PATTERN)
    ] = "10m"


class Account(Struct, forbid_unknown_fields=True, kw_only=True):
    """One account of the cloud."""

    name: Annotated[
        str, _name("Name of the account. Optional if there is only one; it is then 'default'.")
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
                "Id of the API key. Alternative: access_key_id_file.",
                checks.key,
                _ANYTHING,
                hidden=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    access_key_id_file: (
        Annotated[str, _file("A file with the id; read again when it changes.")] | UnsetType
    ) = UNSET
    secret_access_key: (
        Annotated[
            str,
            _checked(
                "Secret of the API key. Alternative: secret_access_key_file.",
                checks.key,
                _ANYTHING,
                hidden=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    secret_access_key_file: (
        Annotated[str, _file("A file with the secret; read again when it changes.")] | UnsetType
    ) = UNSET
    timeout: Annotated[str, _checked("Deadline of one call.", checks.duration, PATTERN)] = "10s"
    quota: Quota = msgspec.field(default_factory=Quota)
    user_id: (
        Annotated[
            str,
            _checked(
                "The account's own id, such as usr-vceaHsJu, if the cloud lists clusters only with it.",
                checks.word,
                r"\S+",
            ),
        ]
        | UnsetType
    ) = UNSET
    ca_file: (
        Annotated[
            str,
            _file(
                "Certificates (PEM) to trust for the endpoint, in addition to the machine's own."
            ),
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
        Annotated[str, _name("The label cluster_name; default: the cluster_id. Must be unique.")]
        | UnsetType
    ) = UNSET
    account: (
        Annotated[str, _name("The name of its account. Optional if there is only one.")] | UnsetType
    ) = UNSET
    cluster_id: Annotated[
        str, _checked("The cluster's id in the cloud, such as ehpc-qmmvigwe.", checks.word, r"\S+")
    ]
    zone: Annotated[str, _checked("The cluster's zone, such as jinan1a.", checks.word, r"\S+")]
    timezone: Annotated[
        str,
        _checked(
            "Time zone of API times without one, such as Asia/Shanghai; auto detects it.",
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
            description="Your own labels, on ehpc_cluster_info. A label that only other clusters have is"
            " empty here.",
            extra_json_schema={"propertyNames": {"pattern": checks.LABEL_NAME.pattern}},
        ),
    ] = msgspec.field(default_factory=dict)
    queues: Annotated[
        dict[str, Queue],
        Meta(
            description="What each queue can run, by the queue's name in the jobs, if the cloud does not report it."
        ),
    ] = msgspec.field(default_factory=dict)


class Collection(Struct, forbid_unknown_fields=True):
    """What is queried, and how often."""

    interval: Annotated[
        str, _checked("Time between two syncs of a cluster; at least 1s.", checks.interval, PATTERN)
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
        _checked("How often the ledger is checked against the list.", checks.interval, PATTERN),
    ] = "10m"
    staleness: Annotated[
        str,
        _checked(
            "How long counts are served after the last good sync: a duration, or auto, which is 5m"
            " or three of the intervals in use, whichever is longer.",
            checks.staleness,
            f"auto|{PATTERN}",
        ),
    ] = "auto"
    capacity_interval: Annotated[
        str,
        _checked(
            "How often queues and nodes are queried, with calls that nothing else needs; off: never.",
            checks.capacity_interval,
            f"off|{PATTERN}",
        ),
    ] = "10m"
    change_detector: Annotated[
        Literal["auto", "off"],
        Meta(
            description="auto: if the cloud's counters are reliable, one call for all clusters of a zone shows"
            " which have changed; off: each cluster is queried at every interval."
        ),
    ] = "auto"


class State(Struct, forbid_unknown_fields=True):
    """Where the ledgers are."""

    path: Annotated[str, _file("A directory; with ':memory:' nothing survives a restart.")] = (
        "./state"
    )


_Patterns = list[Annotated[str, _checked("A regular expression.", checks.pattern, _ANYTHING)]]


class UserLabel(Struct, forbid_unknown_fields=True):
    """The label user."""

    mode: Annotated[
        Literal["name", "hash", "off"],
        Meta(description="Show users by name, by a hash of it, or not at all."),
    ] = "name"
    limit: Annotated[
        int,
        Meta(ge=0, description="Users shown by name in each cluster; the others are _other."),
    ] = 500
    groups_file: (
        Annotated[
            str,
            _file(
                "A file, CSV or YAML, with the group of each user, for ehpc_user_info; read"
                " again when it changes."
            ),
        ]
        | UnsetType
    ) = UNSET
    include: Annotated[
        _Patterns,
        Meta(description="Regular expressions; only users whose whole name matches one are shown."),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        _Patterns, Meta(description="Regular expressions; the whole name must match none of them.")
    ] = msgspec.field(default_factory=list)


class QueueLabel(Struct, forbid_unknown_fields=True):
    """The label queue."""

    limit: Annotated[
        int,
        Meta(ge=0, description="Queues shown by name in each cluster; the others are _other."),
    ] = 200
    include: Annotated[
        _Patterns,
        Meta(
            description="Regular expressions; only queues whose whole name matches one are shown."
        ),
    ] = msgspec.field(default_factory=lambda: [".*"])
    exclude: Annotated[
        _Patterns, Meta(description="Regular expressions; the whole name must match none of them.")
    ] = msgspec.field(default_factory=list)


class Labels(Struct, forbid_unknown_fields=True):
    """How users and queues become label values."""

    user: UserLabel = msgspec.field(default_factory=UserLabel)
    queue: QueueLabel = msgspec.field(default_factory=QueueLabel)


class Links(Struct, forbid_unknown_fields=True):
    """Links on the landing page."""

    grafana: (
        Annotated[
            str,
            _checked(
                "URL of the Grafana that has this project's dashboards.",
                checks.link,
                "https?://.+",
                hidden=True,
                examples=["https://grafana.example.org"],
            ),
        ]
        | UnsetType
    ) = UNSET


class ConfigFile(Struct, forbid_unknown_fields=True):
    """Configuration of ehpc-exporter. ${VAR} in a text is replaced by an environment variable."""

    accounts: Annotated[list[Account], Meta(min_length=1)]
    clusters: Annotated[
        list[Cluster],
        Meta(description="At least one, unless an account has a discovery."),
    ] = msgspec.field(default_factory=list)
    collection: Collection = msgspec.field(default_factory=Collection)
    state: State = msgspec.field(default_factory=State)
    labels: Labels = msgspec.field(default_factory=Labels)
    links: Links = msgspec.field(default_factory=Links)
