"""The calls other than job/list: an account's clusters, a cluster's queues and nodes.

Where the sources of the API disagree about how a call is made, each way is tried; the first that the
server understands is remembered for the account.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from exporter.api.answer import bad
from exporter.api.sending import Answer, Asker, Question, Scrub
from exporter.api.siblings import (
    decode_clusters,
    decode_nodes,
    decode_queue_detail,
    decode_queues,
)
from exporter.errors import ApiError, HttpStatusError, RefusedError
from exporter.model import (
    PAGE_LIMIT,
    Item,
    ListedCluster,
    ListedNode,
    ListedQueue,
    ListPage,
)

CLUSTERS_PATH = "/api/cluster/list"
NODES_PATH = "/api/cluster/listNodes"
EHPC_QUEUES_PATH = "/api/queue/ehpc/getQueueList"
HPC_QUEUES_PATH = "/api/queue/getCurrentQueue"
QUEUE_PATH = "/api/queue/describeQueue"

HPC = "hpc"
"""The kind of cluster whose queues are asked for by another call."""
_ALL_QUEUES = "-1"
"""As ``belong``: the shared and the private ones."""
_ABOUT_THE_OWNER = frozenset({"request", "denied"})
"""Why a cloud may refuse to list clusters if it wants to know whose."""
_TELL_OWNER = "If the cloud wants the account's owner, set accounts[].user_id."
_CHECK_OWNER = "Check accounts[].user_id, and that the account's keys may list clusters."
_UNKNOWN_ROUTE = frozenset({404, 405, 501})  # HTTP statuses


def not_understood(error: ApiError) -> bool:
    """Whether the server does not know the call, or not in this form."""
    if isinstance(error, HttpStatusError):
        return error.status in _UNKNOWN_ROUTE
    return isinstance(error, RefusedError) and error.reason == "request"


class _Listed(Asker):
    """Reads listings to their end."""

    def _all(
        self,
        forms: Callable[[int], Sequence[Question[ListPage[Item]]]],
        between: Callable[[], None] = lambda: None,
    ) -> tuple[Item, ...]:
        """``forms`` gives the question for the page at an offset, in each of its forms. ``between`` is
        called between two pages."""
        return tuple(item for page in self._pages(forms, between) for item in page.items)

    def _pages(
        self,
        forms: Callable[[int], Sequence[Question[ListPage[Item]]]],
        between: Callable[[], None],
    ) -> Iterator[ListPage[Item]]:
        """Until as many were read as there are; where that is not told, until a page is not full."""
        read, before = 0, None
        while True:
            page = self._as_understood(forms(read))
            if page.records and page.total_count is None and page == before:
                raise bad("it tells no total, and shows one page again and again")
            yield page
            read, before = read + page.records, page
            full = page.records >= PAGE_LIMIT
            if not page.records or not (
                full if page.total_count is None else read < page.total_count
            ):
                return
            between()

    def _as_understood(self, forms: Sequence[Question[Answer]]) -> Answer:
        known = self._sender.forms
        path = forms[0].path
        best = known.get(path, 0)
        failure: ApiError | None = None
        for place in sorted(range(len(forms)), key=lambda place: place != best):
            try:
                answer = self.ask(forms[place])
            except ApiError as error:
                if not not_understood(error):
                    raise
                failure = failure or error
            else:
                known[path] = place
                return answer
        assert failure is not None  # noqa: S101 - there is a form at least
        raise failure


class ZoneClusters(_Listed):
    """The clusters of an account in one zone. For one thread."""

    def clusters(self) -> tuple[ListedCluster, ...]:
        """All of them, each once. Raises ApiError, or Stopped if the program stops."""
        owner = self._sender.user_id
        page = partial(_page, CLUSTERS_PATH, decode_clusters)
        try:
            clusters = self._all(lambda offset: [page(offset, owner=owner)])
        except RefusedError as error:
            if error.reason in _ABOUT_THE_OWNER:
                error.advice = _CHECK_OWNER if owner else _TELL_OWNER
            raise
        return tuple({each.cluster_id: each for each in clusters}.values())


class ClusterRoom(_Listed):
    """What the queues and nodes of one cluster could run. For one thread. Each method raises
    ApiError, or Stopped if the program stops."""

    def queues(
        self, kind: str, between: Callable[[], None] = lambda: None
    ) -> tuple[ListedQueue, ...]:
        """All queues, each once; ``kind`` is that of the cluster. ``between`` is called between two
        pages."""
        forms = self._hpc_forms if kind == HPC else self._ehpc_forms
        queues = self._all(forms, between)
        return tuple({queue.queue_id or queue.names: queue for queue in queues}.values())

    def queue(self, queue_id: str) -> ListedQueue | None:
        """One queue, with what of it is free; None where the answer tells of none."""
        parameters = {"cluster_id": self._target.cluster_id, "id": queue_id}
        return self.ask(Question(QUEUE_PATH, parameters, _scrubbed(decode_queue_detail)))

    def nodes(self, between: Callable[[], None] = lambda: None) -> tuple[ListedNode, ...]:
        """All nodes that the API shows: of an HPC cluster, those for logging in. ``between`` is called
        between two pages."""
        cluster_id = self._target.cluster_id
        *before, last = self._pages(
            lambda offset: [_page(NODES_PATH, decode_nodes, offset, cluster_id=cluster_id)],
            between,
        )
        nodes = tuple(node for page in (*before, last) for node in page.items)
        if before and last.total_count is not None and len(nodes) > last.total_count:
            # Nothing is read by which one that came twice could be told.
            raise bad("the pages of the list overlap")
        return nodes

    def _ehpc_forms(self, offset: int) -> Sequence[Question[ListPage[ListedQueue]]]:
        """The documentation's table says POST; its sample and the vendor's client say GET."""
        page = partial(_page, EHPC_QUEUES_PATH, decode_queues, offset)
        cluster_id = self._target.cluster_id
        return [page("GET", cluster_id=cluster_id), page("POST", cluster_id=cluster_id)]

    def _hpc_forms(self, offset: int) -> Sequence[Question[ListPage[ListedQueue]]]:
        """The documentation calls the zone ``zone_id`` here; every other source, ``zone``."""
        page = partial(_page, HPC_QUEUES_PATH, decode_queues, offset)
        asked = {"cluster_id": self._target.cluster_id, "belong": _ALL_QUEUES}
        return [page(**asked), page(**asked, zone_id=self._target.zone)]


def _page(
    path: str,
    decode: Callable[..., ListPage[Item]],
    offset: int,
    method: str = "GET",
    **parameters: str,
) -> Question[ListPage[Item]]:
    asked = {**parameters, "limit": str(PAGE_LIMIT), "offset": str(offset)}
    return Question(path, asked, _scrubbed(decode), method)


def _scrubbed(decode: Callable[..., Answer]) -> Callable[[bytes, float, Scrub], Answer]:
    def read(body: bytes, _: float, scrub: Scrub) -> Answer:
        return decode(body, scrub=scrub)

    return read
