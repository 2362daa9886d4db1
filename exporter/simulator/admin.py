"""The routes under ``/-/``: what a test or a demo asks of the simulated cloud itself.

======  ==================  =====================================================================
GET     /-/journal          ``calls`` so far, ``quota_used`` by key id, ``entries`` (``?cluster_id=``,
                            ``?limit=`` for the last ones)
POST    /-/journal/reset    forgets the entries
GET     /-/faults           the rules in force and how often they struck
POST    /-/faults           adds a rule, or a list of them: ``{"name": "ret-5000", "every": 3}``;
                            keys as ``FaultPlan.add_spec``
DELETE  /-/faults           takes all of them away
GET     /-/truth            plain counts by cluster (``?cluster_id=`` for one)
GET     /-/time             the world's time and speed
POST    /-/time             ``{"advance_seconds": 3600}``, ``{"speed": 60}``, ``{"pause": true}``
POST    /-/backlog          ``{"cluster_id":, "queue":, "jobs":, "user":, "cores":, "run_seconds":}``
DELETE  /-/backlog          ``?cluster_id=&queue=``: cancels all that waits there
GET     /-/dialect          by cluster
POST    /-/dialect          ``{"name": "sort-ignored"}``, with ``cluster_id`` for one; or as
                            ``spelling.py`` says: ``{"name": "filter=job_status,zone=+08:00"}``
GET     /-/fleet            how clusters, queues and nodes are told of
POST    /-/fleet            ``{"name": "owner=required"}``, as ``fleet_dialect.py`` says
POST    /-/cluster          ``{"cluster_id":, "zone":, "status":}``: changes one, or hosts a new one
DELETE  /-/cluster          ``?cluster_id=``: deletes it
======  ==================  =====================================================================

Answers are JSON. A request that cannot be understood is answered with 400 and an ``error``.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from exporter.simulator.answers import Answer, json_answer
from exporter.simulator.fleet_dialect import parse_fleet, spell_fleet
from exporter.simulator.hosted import HostedCluster
from exporter.simulator.simulation import Simulation
from exporter.simulator.spelling import parse_dialect, spell_dialect

PREFIX = "/-/"


class Admin:
    """Answers the routes; ``real_at`` is the moment, in real time."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._routes: Mapping[tuple[str, str], Callable[[dict[str, str], Any, float], Any]] = {
            ("GET", "/-/journal"): self._journal,
            ("POST", "/-/journal/reset"): self._reset_journal,
            ("GET", "/-/faults"): self._faults,
            ("POST", "/-/faults"): self._add_faults,
            ("DELETE", "/-/faults"): self._clear_faults,
            ("GET", "/-/truth"): self._truth,
            ("GET", "/-/time"): self._time,
            ("POST", "/-/time"): self._set_time,
            ("POST", "/-/backlog"): self._backlog,
            ("DELETE", "/-/backlog"): self._cancel_backlog,
            ("GET", "/-/dialect"): self._dialects,
            ("POST", "/-/dialect"): self._speak,
            ("GET", "/-/fleet"): self._fleet,
            ("POST", "/-/fleet"): self._set_fleet,
            ("POST", "/-/cluster"): self._set_cluster,
            ("DELETE", "/-/cluster"): self._delete_cluster,
        }

    def handle(self, method: str, path: str, raw_query: str, body: bytes, real_at: float) -> Answer:
        """One request."""
        act = self._routes.get((method, path))
        if act is None:
            return json_answer({"error": f"no route {method} {path}"}, status=404)
        try:
            asked = json.loads(body) if body else {}
            with self._simulation.lock:
                return json_answer(act(dict(parse_qsl(raw_query)), asked, real_at))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return json_answer({"error": f"{type(error).__name__}: {error}"}, status=400)

    def _journal(self, query: dict[str, str], _: Any, real_at: float) -> Any:
        cloud = self._simulation.cloud
        wanted = query.get("cluster_id")
        entries = [entry for entry in cloud.journal if wanted in {None, entry.cluster_id}]
        if "limit" in query:
            entries = entries[max(0, len(entries) - int(query["limit"])) :]
        return {
            "calls": cloud.calls,
            "quota_used": {key: cloud.quota_used(key, real_at) for key in cloud.accounts},
            "entries": [asdict(entry) for entry in entries],
        }

    def _reset_journal(self, _: dict[str, str], __: Any, ___: float) -> Any:
        self._simulation.cloud.journal.clear()
        return {}

    def _faults(self, _: dict[str, str], __: Any, ___: float) -> Any:
        return [asdict(rule) for rule in self._simulation.cloud.faults.rules]

    def _add_faults(self, query: dict[str, str], asked: Any, real_at: float) -> Any:
        for settings in asked if isinstance(asked, list) else [asked]:
            self._simulation.cloud.faults.add_settings(settings, real_at)
        return self._faults(query, asked, real_at)

    def _clear_faults(self, _: dict[str, str], __: Any, ___: float) -> Any:
        self._simulation.cloud.faults.rules.clear()
        return []

    def _truth(self, query: dict[str, str], _: Any, __: float) -> Any:
        truth = self._simulation.truth()
        return truth[query["cluster_id"]] if "cluster_id" in query else truth

    def _time(self, _: dict[str, str], __: Any, real_at: float) -> Any:
        clock = self._simulation.clock
        return {"world_at": clock.world_at(real_at), "speed": clock.speed}

    def _set_time(self, query: dict[str, str], asked: Any, real_at: float) -> Any:
        clock = self._simulation.clock
        if asked.get("pause"):
            clock.set_speed(real_at, 0.0)
        if "speed" in asked:
            clock.set_speed(real_at, max(0.0, float(asked["speed"])))
        if "advance_seconds" in asked:
            clock.jump(real_at, max(0.0, float(asked["advance_seconds"])))
        self._simulation.advance(real_at)
        return self._time(query, asked, real_at)

    def _backlog(self, _: dict[str, str], asked: Any, real_at: float) -> Any:
        world = self._simulation.world
        if world is None:
            raise ValueError("there is no world to submit to")
        self._simulation.advance(real_at)
        waiting = world.submit_backlog(
            str(asked["cluster_id"]),
            queue=str(asked["queue"]),
            user=str(asked.get("user", "backlog")),
            jobs=int(asked["jobs"]),
            cores=int(asked.get("cores", 0)),
            run_seconds=int(asked.get("run_seconds", 3600)),
        )
        return {"waiting": waiting}

    def _cancel_backlog(self, query: dict[str, str], _: Any, real_at: float) -> Any:
        world = self._simulation.world
        if world is None:
            raise ValueError("there is no world to cancel in")
        self._simulation.advance(real_at)
        return {"cancelled": world.cancel_backlog(query["cluster_id"], query["queue"])}

    def _dialects(self, _: dict[str, str], __: Any, ___: float) -> Any:
        clusters = self._simulation.cloud.clusters
        return {
            cluster_id: spell_dialect(cluster.dialect) for cluster_id, cluster in clusters.items()
        }

    def _speak(self, query: dict[str, str], asked: Any, real_at: float) -> Any:
        dialect = parse_dialect(asked["name"])
        for cluster in self._clusters(asked):
            cluster.speak(dialect)
        return self._dialects(query, asked, real_at)

    def _fleet(self, _: dict[str, str], __: Any, ___: float) -> Any:
        return {"name": spell_fleet(self._simulation.cloud.fleet)}

    def _set_fleet(self, query: dict[str, str], asked: Any, real_at: float) -> Any:
        self._simulation.cloud.fleet = parse_fleet(asked["name"])
        return self._fleet(query, asked, real_at)

    def _set_cluster(self, _: dict[str, str], asked: Any, __: float) -> Any:
        cloud, cluster_id = self._simulation.cloud, str(asked["cluster_id"])
        cluster = cloud.clusters.get(cluster_id)
        if cluster is None:
            cluster = cloud.add_cluster(cluster_id, zone=str(asked["zone"]))
        cluster.plant.status = str(asked.get("status", cluster.plant.status))
        return {"cluster_id": cluster_id, "status": cluster.plant.status}

    def _delete_cluster(self, query: dict[str, str], _: Any, __: float) -> Any:
        self._simulation.cloud.remove_cluster(query["cluster_id"])
        return {}

    def _clusters(self, asked: Mapping[str, Any]) -> list[HostedCluster]:
        clusters = self._simulation.cloud.clusters
        return [clusters[asked["cluster_id"]]] if "cluster_id" in asked else list(clusters.values())
