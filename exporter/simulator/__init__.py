"""The simulated cloud: speaks the real protocol, in process or over HTTP.

It imports nothing else of this program: a mistake that both shared would not be noticed.

In process, for tests of syncing
--------------------------------
::

    cloud = Cloud()
    cluster = cloud.add_cluster("ehpc-1", dialect=DIALECTS["sort-ignored"])
    jobs = cluster.jobs                                          # a JobList, the truth
    uuid = jobs.submit(1000.0, queue="默认队列", user="alice", cores=4)    # -> hpcjob_uuid
    jobs.start(uuid, 1010.0)            # also end, cancel, requeue, suspend, resume, edit
    jobs.delete([uuid])
    cloud.list_jobs("ehpc-1", {"limit": "100", "sort_key": "modified_time", "reverse": "1"}, 1020.0)
                                        # -> the decoded JSON object, refusals included

``JobList`` (``joblist.py``)
    ``submit(at, *, queue, user, cores=1, status="pending") -> uuid``; ``start(uuid, at)``,
    ``end(uuid, at, status="finished")``, ``cancel(uuid, at)``, ``requeue(uuid, at)``,
    ``suspend(uuid, at, status="suspended")``, ``resume(uuid, at)``, each with
    ``moves_modified: bool | None = None`` (None: as ``still_transitions`` says, which the dialect
    sets); ``edit(uuid, at, *, status=, queue=, user=, cores=, moves_modified=False)``;
    ``delete(uuids)``; ``load_one(JobRow) -> uuid`` and ``load(rows)`` for jobs as they are.
    ``len(jobs)``, ``uuid in jobs``, ``get(uuid) -> ListedJob``, ``jobs() -> Iterator[ListedJob]``
    and ``counts() -> Counter[JobKey(status, queue, user)]`` (plain loops, independent of the
    indices), ``page(order=, descending=, offset=, limit=, status=, queue=, user=, ties=, rng=) ->
    Listing(jobs, matching)``, ``matching(status=, queue=, user=) -> int``.
``Dialect``, ``DIALECTS``, ``DEPLOYMENTS`` (``dialect.py``)
    The switches for what is unverified, and named combinations: what the documentation leaves
    open, and what else a first deployment may turn out to be. ``cluster.speak(dialect)`` changes
    it while the world goes on.
``draw_dialect``, ``in_small`` (``drawing.py``), ``parse_dialect``, ``spell_dialect`` (``spelling.py``)
    ``draw_dialect(rng)`` sets the switches at random, ``curiosities=2`` with up to two values that
    are only conceivable; ``in_small(dialect, page_cap)`` is the same server for short lists;
    ``parse_dialect("filter=job_status,sort=submitted_time,zone=+08:00")`` reads what
    ``spell_dialect(dialect)`` writes.
``Cloud`` (``protocol.py``)
    ``list_jobs`` neither checks a signature nor counts against a quota, but plays the faults of
    lists and objects, ``cloud.faults.add("empty-list", next_calls=1)``, and is in ``cloud.journal``
    (``JournalEntry``; ``cloud.calls`` counts).
``fill`` (``bulk.py``)
    ``fill(jobs, 1_000_000, active=2000, now_at=...)``: a large list in a few seconds.
    ``host_fleet(cloud, 300, now_at=...)``: so many small clusters.
``Plant`` (``plant.py``), ``FleetDialect`` (``fleet_dialect.py``)
    What the calls other than job/list report: ``cluster.plant.add_queue("gpu", cores=64, gpus=8)``,
    ``.build_for(jobs)``, ``.status = "stopped"``, ``.queues["gpu"].nodes[0].status``;
    ``cloud.remove_cluster(cluster_id)``. ``cloud.fleet = parse_fleet("owner=required")`` says how.

Over HTTP
---------
::

    simulation = Simulation(cloud)                               # simulation.py
    with SimulatorServer(simulation, latency_seconds=0.05) as server:      # server.py
        server.address                                           # http://127.0.0.1:43210
        with simulation.lock:
            cloud.faults.add("stall", cluster_id="ehpc-1", next_calls=3)   # faults.py
            jobs.submit(...)

``fault_kinds.py`` names every fault, ``admin.py`` lists the routes under ``/-/``.
``build_simulation(options, now_at)`` of ``command.py`` makes the ``simulate`` command's world:
``workload.py`` (people in daily waves) or ``trace.py`` (a recorded workload), both on ``engine.py``
(queues with a limited number of cores); or the servers of a report (``report.py``, with
``dialect_from_profile(traits)``), where nothing happens.

What is simulated and what is real: quota, timestamps of requests and ``Date`` follow the machine's
clock; the times of jobs follow the world's, which may run faster.
"""

from exporter.simulator.bulk import fill, host_fleet
from exporter.simulator.dialect import DEPLOYMENTS, DIALECTS, DOCUMENTED, Dialect
from exporter.simulator.drawing import CURIOSITIES, PLAUSIBLE, draw_dialect, in_small
from exporter.simulator.fleet_dialect import FLEET_DIALECTS, FleetDialect, parse_fleet, spell_fleet
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.joblist import JobList
from exporter.simulator.listed import (
    END_STATUSES,
    JobKey,
    JobRow,
    ListedJob,
    Listing,
    Order,
    TieOrder,
    Transition,
)
from exporter.simulator.protocol import Account, Cloud, JournalEntry
from exporter.simulator.records import CONTENT_MARK
from exporter.simulator.report import dialect_from_profile
from exporter.simulator.spelling import parse_dialect, spell_dialect

__all__ = [
    "CONTENT_MARK",
    "CURIOSITIES",
    "DEPLOYMENTS",
    "DIALECTS",
    "DOCUMENTED",
    "END_STATUSES",
    "FLEET_DIALECTS",
    "PLAUSIBLE",
    "Account",
    "Cloud",
    "Dialect",
    "FleetDialect",
    "HostedCluster",
    "JobKey",
    "JobList",
    "JobRow",
    "JournalEntry",
    "ListedJob",
    "Listing",
    "Order",
    "TieOrder",
    "Transition",
    "dialect_from_profile",
    "draw_dialect",
    "fill",
    "host_fleet",
    "in_small",
    "parse_dialect",
    "parse_fleet",
    "spell_dialect",
    "spell_fleet",
]
