"""The calls beside job/list: what they send, in which form, page by page."""

import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from exporter.api.signature import sign
from exporter.api.transport import RawAnswer
from exporter.errors import ApiError, HttpStatusError, PayloadError, RefusedError
from exporter.model import Amount, ClusterIdentity, ListedCluster, ListedNode
from tests.unit.api.answering import SECRET, World, answered, lost, problem, refused

WHO = ClusterIdentity("cfd", "ehpc-qmmvigwe", "jinan1a", "acc")
QUEUE = {"hpcqueue_id": "q1", "name": "gpu", "spec_detail": {"cpu_num": 26}}


def asked(world: World, call: int = -1) -> dict[str, str]:
    """The parameters of a call, whose signature is checked."""
    parts = urlsplit(world.urls[call])
    parameters = dict(parse_qsl(parts.query))
    given = unquote(parameters.pop("signature"))
    assert given == sign(world.methods[call], parts.path, parameters, SECRET)
    return parameters


def paths(world: World) -> list[tuple[str, str]]:
    return [
        (method, urlsplit(url).path.removeprefix("/api/"))
        for method, url in zip(world.methods, world.urls, strict=True)
    ]


def clusters(*records: Any, total: Any = None) -> RawAnswer:
    return answered(total_count=len(records) if total is None else total, cluster_set=list(records))


def test_the_clusters_of_an_account() -> None:
    counted = {"cluster_id": "ehpc-1", "pending_job_count": "12", "running_job_count": ""}
    nested = {"app_cluster": {"cluster_id": "hpc-2", "cluster_status": " Active "}}
    world = World([lost(), clusters(counted, nested, {"cluster_name": "without an id"})])
    assert world.client().list_clusters("jn1a") == (
        ListedCluster("ehpc-1", "", "", {"pending": 12}),
        ListedCluster("hpc-2", "", "active", {}),
    )
    sent = asked(world)
    assert paths(world) == [("GET", "cluster/list")] * 2
    assert (sent["zone"], sent["limit"], sent["offset"]) == ("jn1a", "100", "0")
    assert not sent.keys() & {"cluster_id", "owner"}
    assert [event for event in world.events if event[0] == "admit"] == [("admit", "")] * 2


def test_the_owner_is_sent_where_it_is_known() -> None:
    world = World([clusters()])
    assert world.client(user_id="usr-1").list_clusters("jn1a") == ()
    assert asked(world)["owner"] == "usr-1"


@pytest.mark.parametrize(("user_id", "do"), [("", "set accounts"), ("usr-1", "Check accounts")])
@pytest.mark.parametrize("answer", [refused(1101), refused(1400), problem(400)])
def test_where_clusters_are_refused_the_owner_may_be_the_matter(
    answer: RawAnswer, user_id: str, do: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        World([answer]).client(user_id=user_id).list_clusters("jn1a")
    assert f"{do}[].user_id" in caught.value.advice


def test_where_keys_are_refused_they_are_the_matter() -> None:
    with pytest.raises(RefusedError) as caught:
        World([refused(1200)]).client().list_clusters("jn1a")
    assert "user_id" not in caught.value.advice


def test_a_fleet_of_several_pages() -> None:
    ids = [{"cluster_id": f"ehpc-{number}"} for number in range(205)]
    world = World([
        clusters(*ids[:100], total=205),
        clusters(*ids[99:199], total="205"),  # the list has moved meanwhile
        clusters(*ids[199:], total=205),
    ])  # fmt: skip
    listed = world.client().list_clusters("jn1a")
    assert [each.cluster_id for each in listed] == [each["cluster_id"] for each in ids]
    assert [asked(world, call)["offset"] for call in range(3)] == ["0", "100", "200"]


@pytest.mark.parametrize("total", ["", 300])
def test_no_page_is_asked_for_in_vain(total: Any) -> None:
    world = World([clusters({"cluster_id": "ehpc-1"}, total=total), clusters(total=total)])
    assert len(world.client().list_clusters("jn1a")) == 1
    assert len(world.urls) == (1 if total == "" else 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(1200), RefusedError),
        (problem(400), RefusedError),
        (answered(503), HttpStatusError),
        (answered(cluster_set={}), PayloadError),
        (answered(ret_code=None), PayloadError),
        (RawAnswer(200, b"<html>", None, 0.1), PayloadError),
    ],
)
def test_clusters_that_are_not_told(answer: RawAnswer, error: type[ApiError]) -> None:
    with pytest.raises(error):
        World([answer]).client().list_clusters("jn1a")


def test_an_account_without_clusters() -> None:
    assert World([answered(cluster_set=None)]).client().list_clusters("jn1a") == ()


NOT_KNOWN = [refused(1101), problem(405), problem(404), answered(405, ret_code=None)]


@pytest.mark.parametrize("unknown", NOT_KNOWN)
def test_queues_by_get_or_post_whichever_is_understood(unknown: RawAnswer) -> None:
    listed = answered(hpc_queue_set=[QUEUE], total_count=1)
    world = World([unknown, listed])
    client = world.client()
    for _ in range(2):
        (queue,) = client.room(WHO).queues("ehpc")
        assert (queue.queue_id, queue.cores) == ("q1", Amount(26.0))
    path = "queue/ehpc/getQueueList"
    assert paths(world) == [("GET", path), ("POST", path), ("POST", path)]
    sent = asked(world)
    assert (sent["cluster_id"], sent["zone"]) == (WHO.cluster_id, WHO.zone)


def test_queues_of_an_hpc_cluster_with_either_name_of_the_zone() -> None:
    listed = answered(queues_set=[QUEUE, QUEUE], total_count=2)
    world = World([problem(400, detail="Missing query parameter 'zone_id'"), listed])
    assert len(world.client().room(WHO).queues("hpc")) == 1
    path = ("GET", "queue/getCurrentQueue")
    assert paths(world) == [path, path]
    first, second = asked(world, 0), asked(world, 1)
    assert (first["zone"], first["belong"], "zone_id" in first) == (WHO.zone, "-1", False)
    assert second["zone_id"] == second["zone"] == WHO.zone


@pytest.mark.parametrize("code", [1400, 2100])
def test_who_may_not_ask_is_not_asked_to_try_otherwise(code: int) -> None:
    world = World([refused(code)])
    with pytest.raises(RefusedError):
        world.client().room(WHO).queues("ehpc")
    assert len(world.urls) == 1


def test_a_call_that_no_form_of_is_understood() -> None:
    world = World([refused(1101, "first"), refused(1101, "second")])
    with pytest.raises(RefusedError, match="first"):
        world.client().room(WHO).queues("ehpc")
    assert [method for method, _ in paths(world)] == ["GET", "POST"]


def test_one_queue() -> None:
    detail = {"total_slots": 224, "avail_slots": "136"}
    world = World([answered(detail=[detail]), answered(detail=[])])
    room = world.client().room(WHO)
    queue = room.queue("hpcq-1")
    assert queue is not None
    assert queue.cores == Amount(224.0, 136.0)
    assert paths(world) == [("GET", "queue/describeQueue")]
    sent = asked(world)
    assert (sent["cluster_id"], sent["id"], "limit" in sent) == (WHO.cluster_id, "hpcq-1", False)
    assert room.queue("hpcq-1") is None


def test_nodes() -> None:
    records = [{"role": "login", "status": "active", "env": "private"}] * 100
    world = World([
        answered(hpc_app_nodes_set=records, total_count=101),
        answered(hpc_app_nodes_set=records[:1], total_count=101),
    ])  # fmt: skip
    nodes = world.client().room(WHO).nodes()
    assert nodes == (ListedNode("login", "active", ""),) * 101
    assert paths(world) == [("GET", "cluster/listNodes")] * 2
    assert "private" not in json.dumps(nodes)


def test_pages_of_a_list_without_a_total_are_read_until_one_is_not_full() -> None:
    pages = [[{"hpcqueue_id": f"q{n}"} for n in range(first, last)]
             for first, last in ((0, 100), (100, 200), (200, 230))]  # fmt: skip
    world = World([answered(hpc_queue_set=page) for page in pages])
    between: list[int] = []
    queues = world.client().room(WHO).queues("ehpc", lambda: between.append(len(world.urls)))
    assert len(queues) == 230
    assert between == [1, 2]


def test_a_server_that_heeds_no_offset_and_tells_no_total_is_not_asked_for_ever() -> None:
    page = answered(hpc_queue_set=[{"hpcqueue_id": f"q{n}"} for n in range(100)])
    with pytest.raises(PayloadError, match="again and again"):
        World([page, page]).client().room(WHO).queues("ehpc")


def test_nodes_that_come_twice_are_not_counted_twice() -> None:
    """As from a server that does not heed the offset."""
    page = answered(
        hpc_app_nodes_set=[{"role": "compute", "status": "active"}] * 100, total_count=150
    )
    with pytest.raises(PayloadError, match="overlap"):
        World([page, page]).client().room(WHO).nodes()
