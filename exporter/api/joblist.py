"""job/list of one cluster: what a query sends, and which records of the answer cannot be counted."""

import logging
from collections.abc import Iterable

from exporter.api.payload import decode_page
from exporter.api.sending import Asker, Question, Scrub, Sender, Target
from exporter.model import LEFT_OUT_REASONS, JobListQuery, LeftOut, Page

_log = logging.getLogger(__name__)

PATH = "/api/job/list"

_MOST_NAMED = 100
"""How many records of one cluster that cannot be counted are named in the log."""


class ClusterJobs(Asker):
    """The remote list of one cluster."""

    def __init__(self, sender: Sender, target: Target) -> None:
        super().__init__(sender, target)
        self._named: set[LeftOut] = set()

    def list_jobs(self, query: JobListQuery) -> Page:
        """Ask for one page, with few retries. Raises ApiError, or Stopped if the program stops."""
        timezone = query.zone(self._target.timezone)

        def decode(body: bytes, server_time_at: float, scrub: Scrub) -> Page:
            return decode_page(body, timezone=timezone, server_time_at=server_time_at, scrub=scrub)

        page = self.ask(Question(PATH, job_parameters(self._target.cluster_id, query), decode))
        self._sender.note_names_cut(self._target, page.names_cut)
        self._name(page.left_out)
        return page

    def _name(self, left_out: Iterable[LeftOut]) -> None:
        """Log which records cannot be counted, each once, and not too many: a metric counts them."""
        unnamed = sorted(set(left_out) - self._named)[: _MOST_NAMED - len(self._named)]
        self._named.update(unnamed)
        for status, reason in LEFT_OUT_REASONS.items():
            ids = [record.job_id or "unknown" for record in unnamed if record.status == status]
            fields = {"cluster": self._target.name, "reason": reason}
            if ids:
                what = "records of the list cannot be counted"
                _log.warning(what, extra={**fields, "job_ids": " ".join(ids)})


def job_parameters(cluster_id: str, query: JobListQuery) -> dict[str, str]:
    """What job/list is asked for one page."""
    parameters = {
        "cluster_id": cluster_id,
        "limit": str(query.limit),
        "offset": str(query.offset),
    }
    if query.status is not None:
        parameters |= dict.fromkeys(query.filter_names, query.status)
    if query.sort_key is not None:
        parameters["sort_key"] = query.sort_key
        parameters["reverse"] = "1" if query.descending else "0"
    return parameters
