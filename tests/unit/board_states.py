"""Cluster states, made up for tests of what is made of them."""

from exporter.clock import Instant
from exporter.model import Amount, ClusterIdentity
from exporter.profile import Profile, Trait
from exporter.snapshot import (
    WAIT_BUCKETS_SECONDS,
    Capacity,
    ClusterSnapshot,
    ClusterState,
    DurationTally,
    JobCount,
    LeftOut,
    QueueCapacity,
    QueueMoment,
    SyncFailure,
    Tally,
    Usage,
    UserGroup,
)

NOON_AT = 1_790_000_000.0
HOSTILE = 'a"b\\c\nd{e}=,#<script>alert(1)</script>&\u2028默认队列\x1f'


AS_DOCUMENTED = Profile(
    status_filter=Trait("both", "asked for pending jobs, it shows 2 of them and no others"),
    order=Trait("change", "pages from here and there are sorted by modified_time"),
    total_count=Trait("filtered", "2 jobs are pending, and so it says"),
    page_size=Trait("100", "the longest page yet seen"),
    zone=Trait("stamped", "all times that were seen carry their zone"),
)


def identity(name: str = "cfd", account: str = "default") -> ClusterIdentity:
    return ClusterIdentity(name, f"ehpc-{name}", "jinan1a", account)


def durations(queue: str, status: str, *values: float) -> DurationTally:
    counts = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
    for value in values:
        counts[sum(value > bound for bound in WAIT_BUCKETS_SECONDS)] += 1
    return DurationTally(queue, status, tuple(counts), float(sum(values)))


def snapshot(taken_at: float = NOON_AT) -> ClusterSnapshot:
    """A small cluster with everything in it; nothing in the order of the exposition."""
    return ClusterSnapshot(
        taken_at=taken_at,
        counts=(
            JobCount("running", "默认队列", "alice", 3, 96),
            JobCount("pending", "默认队列", "alice", 2, 64),
            JobCount("finished", "vis", "bob", 1200, 4800),
            JobCount("pending", "vis", "bob", 0, 0),
            JobCount("running", "vis", "bob", 1, 4),
            JobCount("suspended", "vis", "_other", 5, 5),
        ),
        oldest_pending=(QueueMoment("默认队列", taken_at - 5400.5),),
        submitted=(Tally("默认队列", "", 12), Tally("vis", "", 1_234_567)),
        started=(Tally("vis", "", 7),),
        ended=(Tally("vis", "finished", 5), Tally("vis", "exited", 2)),
        waits=(durations("vis", "", 10, 30, 31, 700_000),),
        runs=(durations("vis", "finished", 3600), durations("vis", "exited", 1, 2.5)),
        core_seconds=(Usage("vis", "_other", 2, 7200), Usage("vis", "bob", 5, 1_209_600)),
        user_waits=(Usage("vis", "_other", 0, 0), Usage("vis", "bob", 4, 700_071)),
        user_groups=(UserGroup("_other", "_other"), UserGroup("bob", "physics")),
        history_complete=True,
        history_known=1211,
        history_expected=1211,
        folded_users=4,
        folded_queues=0,
        left_out=(LeftOut("identity", 0), LeftOut("status", 2)),
    )


def capacity(taken_at: float = NOON_AT) -> Capacity:
    """One queue that jobs call otherwise, one that has none, and one that tells nothing."""
    return Capacity(
        taken=Instant(taken_at - 60, float("inf")),
        served_seconds=1800.0,
        status="active",
        core_hours=446.25,
        listed_jobs={"running": 4, "pending": 2, "finished": 1200},
        queues=(
            QueueCapacity(
                ("可视化", "vis", "hpcq-1"),
                Amount(26.0, 22.0), Amount(0.0, 0.0), Amount(8.0 * 2**30, 2.0**30),
                {"stopped": 1, "active": 2},
            ),
            QueueCapacity(("idle", "hpcq-2"), Amount(512.0), Amount(), Amount(), {"stopped": 4}),
            QueueCapacity(("默认队列",), Amount(), Amount(), Amount(), {}),
        ),
        nodes={("login", "active"): 1, ("compute", "stopped"): 5, ("compute", "active"): 2},
    )  # fmt: skip


def good_state(name: str = "cfd", taken_at: float = NOON_AT) -> ClusterState:
    return ClusterState(
        identity=identity(name),
        tried=True,
        snapshot=snapshot(taken_at),
        last_success_at=taken_at + 0.5,
        profile=AS_DOCUMENTED,
        strategy="delta",
        effective_interval_seconds=60.0,
        ledger_on_disk=True,
        capacity=capacity(taken_at),
    )


def new_state(name: str = "new") -> ClusterState:
    """Never synced: it was tried once, and the cloud refused."""
    failure = SyncFailure("authentication", "refused (1200)", "check the access key", NOON_AT)
    return ClusterState(
        identity=identity(name), tried=True, failure=failure, effective_interval_seconds=60.0
    )


def hostile_state() -> ClusterState:
    """Names that want to break out of whatever they are written into."""
    text = HOSTILE
    return ClusterState(
        identity=ClusterIdentity(text, text, text, text),
        tried=True,
        snapshot=ClusterSnapshot(
            taken_at=NOON_AT,
            counts=(JobCount("pending", text, text, 1, 1), JobCount(text, text, text, 2, 2)),
            oldest_pending=(QueueMoment(text, NOON_AT),),
            submitted=(Tally(text, "", 1),),
            ended=(Tally(text, text, 1),),
            waits=(durations(text, "", 1),),
            runs=(durations(text, text, 1),),
            left_out=(LeftOut(text, 1),),
        ),
        profile=Profile(order=Trait(text, text)),
        last_success_at=NOON_AT,
        failure=SyncFailure(text, text, text, NOON_AT),
        strategy=text,
        capacity=Capacity(
            taken=Instant(NOON_AT, float("inf")),
            served_seconds=1800.0,
            status=text,
            listed_jobs={text: 1},
            queues=(QueueCapacity((text,), Amount(1.0), Amount(), Amount(), {text: 1}),),
            nodes={(text, text): 1},
        ),
    )
