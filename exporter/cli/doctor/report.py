"""The findings of a doctor, as JSON that may be shown to anybody. Pure.

No key, no name, no id, nothing of a job: clusters are numbered, failures are told by their codes, and
evidence is only what this program has words for. ``simulate --profile`` reads it.
"""

import json
from typing import Any

from exporter import __version__
from exporter.api.shape import Fields, status_word
from exporter.daemon.differences import differences
from exporter.daemon.findings import (
    CapacityFindings,
    ClusterFindings,
    Failure,
    Findings,
    Timing,
    all_jobs,
    cost_of,
    cost_of_all,
)
from exporter.texts import Words

FORMAT = 1
_TYPES = ("ehpc", "hpc")
_WORDS = Words("en")


def report_text(found: Findings) -> str:
    """The report, as it is written."""
    return json.dumps(report_of(found), indent=2, ensure_ascii=False) + "\n"


def report_of(found: Findings) -> dict[str, Any]:
    """The report as plain values."""
    numbers = {each.config.name: name_of(each, n) for n, each in enumerate(found.clusters, 1)}
    off = found.clock_off_seconds
    return {
        "format": FORMAT,
        "exporter": __version__,
        "calls": found.calls,
        "most_calls": found.most_calls,
        "keys": found.keys,
        "clock_off_seconds": None if off is None else round(off, 1),
        "answers": [_timing(each) for each in found.timings],
        "quota_headers": dict(found.quota_headers),
        "cluster_list": {
            "clusters": None if found.listed is None else len(found.listed),
            "record": _fields(found.list_shape.record) if found.list_shape else {},
            "failure": _failure(found.list_failure),
        },
        "clusters": [_cluster(each, numbers[each.config.name], found) for each in found.clusters],
        "cost": _cost(found),
        "differs": [
            {
                "key": each.key,
                "what": _WORDS(f"differs.{each.key}", **each.parts),
                "clusters": [numbers[name] for name in each.clusters],
            }
            for each in differences(found)
        ],
        "failures": [
            {"clusters": [numbers[name] for name in each.clusters], **(_failure(each) or {})}
            for each in found.failures
        ],
    }


def _timing(timing: Timing) -> dict[str, Any]:
    seconds = {"median_seconds": timing.median_seconds, "most_seconds": timing.most_seconds}
    return {
        "path": timing.path,
        "calls": timing.calls,
        **{name: round(value, 3) for name, value in seconds.items()},
        "most_bytes": timing.most_bytes,
    }


def name_of(found: ClusterFindings, number: int) -> str:
    """A number in place of an id; E-HPC and HPC are different systems, so that much is told."""
    kind = found.config.cluster_id.partition("-")[0]
    return f"{kind if kind in _TYPES else 'cluster'}-{number}"


def _cluster(found: ClusterFindings, name: str, whole: Findings) -> dict[str, Any]:
    traits = found.traits
    evidence = {
        trait: _WORDS.evidence(getattr(found.profile, trait).evidence)
        for trait, value in traits.items()
        if value != "unknown"
    }
    shape, cost = found.shape, cost_of(found, whole.collection)
    return {
        "cluster_id": name,
        "calls": found.calls,
        "finished": found.finished,
        "one_page": found.one_page,
        "traits": traits,
        "evidence": {trait: text for trait, text in evidence.items() if text},
        "jobs": {status_word(status): jobs for status, jobs in all_jobs(found).items()},
        "pages": [
            [each.status and status_word(each.status), each.jobs, each.told] for each in found.asked
        ],
        "refused_with": sorted(set(found.refusals)),
        "statuses": sorted(shape.statuses) if shape else [],
        "answer": _fields(shape.answer) if shape else {},
        "record": _fields(shape.record) if shape else {},
        "records_left_out": found.left_out,
        "cost": {
            "strategy": cost.strategy,
            "calls_a_sync": cost.calls_a_sync,
            "calls_an_hour": round(cost.calls_an_hour, 1),
            "at_least": cost.at_least,
            "history_calls": cost.history_calls,
        }
        if found.finished
        else None,
        "capacity": _capacity(found.capacity),
        "failure": _failure(found.failure),
    }


def _capacity(found: CapacityFindings | None) -> dict[str, Any] | None:
    """Counts only: the names of queues are the user's own."""
    if found is None:
        return None
    queues = found.queues
    return {
        "answers": {
            call: {
                "outcome": answer.outcome,
                **({"reason": answer.reason} if answer.reason else {}),
            }
            for call, answer in found.answers.items()
        },
        "queues": len(queues),
        "queues_with_cores": sum(queue.cores.total is not None for queue in queues),
        "queues_with_free_cores": sum(queue.cores.available is not None for queue in queues),
        "queues_with_gpus": sum(bool(queue.gpus.total) for queue in queues),
        "nodes": sum(found.capacity.nodes.values()) if found.capacity else 0,
    }


def _cost(found: Findings) -> dict[str, Any]:
    cost = cost_of_all(found)
    hours = cost.history_hours
    return {
        "calls_an_hour": round(cost.calls_an_hour, 1),
        "allowed_an_hour": round(cost.allowed_an_hour, 1),
        "stretch": round(cost.stretch, 2),
        "history_hours": None if hours is None else round(hours, 2),
    }


def _fields(fields: Fields) -> dict[str, list[str]]:
    return {name: sorted(types) for name, types in sorted(fields.items())}


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    """Without its message, in which the server may have named somebody."""
    if failure is None:
        return None
    codes = {"ret_code": failure.ret_code, "http_status": failure.http_status}
    return {"reason": failure.reason, **{k: v for k, v in codes.items() if v is not None}}
