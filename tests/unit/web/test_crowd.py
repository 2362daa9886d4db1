"""Who makes room when too many are connected."""

from dataclasses import dataclass, field

import pytest

from exporter.web.crowd import Crowd, Phase, peer_of


@dataclass(eq=False)
class Client:
    peer: str = "a"
    phase: Phase = Phase.IDLE
    since: float = 0.0
    ended: bool = field(default=False, init=False)

    def current_phase(self) -> Phase:
        return self.phase

    def abort(self) -> None:
        self.ended = True


def crowd_of(clients: list[Client], connections: int = 6, handshakes: int = 2) -> Crowd[Client]:
    crowd: Crowd[Client] = Crowd(connections, handshakes)
    for client in clients:
        crowd.enter(client)
    return crowd


def ended(clients: list[Client]) -> list[int]:
    return [number for number, client in enumerate(clients) if client.ended]


def test_while_there_is_room_nobody_has_to_go() -> None:
    clients = [Client() for _ in range(6)]
    assert len(crowd_of(clients)) == 6
    assert ended(clients) == []


def test_whoever_has_most_connections_makes_room() -> None:
    few = [Client("b", Phase.ASKING), Client("c", Phase.ASKING)]
    many = [Client("a", Phase.ANSWERING, since) for since in (3, 2, 4, 5)]
    crowd = crowd_of([*few, *many])
    for _ in range(2):
        crowd.enter(Client("d"))
    assert ended(few) == []
    assert ended(many) == [0, 1]
    assert len(crowd) == 6


def test_of_one_peer_that_which_is_of_least_use_goes_and_the_longest_so() -> None:
    phases = [Phase.ANSWERING, Phase.IDLE, Phase.ASKING, Phase.HANDSHAKE, Phase.ASKING, Phase.IDLE]
    clients = [Client("a", phase, -number) for number, phase in enumerate(phases)]
    crowd = crowd_of(clients)
    gone = []
    for _ in range(6):
        crowd.enter(Client("a", Phase.ANSWERING, 99))
        gone += [number for number in ended(clients) if number not in gone]
    assert gone == [3, 4, 2, 5, 1, 0]


def test_handshakes_make_room_for_handshakes_long_before_all_places_are_taken() -> None:
    silent = [Client("a", Phase.HANDSHAKE, since) for since in (1, 2)]
    other = Client("b", Phase.IDLE)
    crowd = crowd_of([other, *silent])
    crowd.enter(newcomer := Client("b", Phase.HANDSHAKE, 3))
    assert (ended(silent), newcomer.ended, other.ended) == ([0], False, False)
    crowd.enter(Client("a", Phase.HANDSHAKE, 4))
    assert (ended(silent), newcomer.ended) == ([0, 1], False)  # one each: the one there longest


def test_one_peers_flood_ends_no_other_ones_handshake() -> None:
    crowd = crowd_of([slow := Client("b", Phase.HANDSHAKE, 0)], handshakes=4)
    for since in range(1, 100):
        crowd.enter(Client("a", Phase.HANDSHAKE, since))
    assert not slow.ended
    assert len(crowd) == 4


def test_who_has_left_takes_no_place() -> None:
    clients = [Client() for _ in range(6)]
    crowd = crowd_of(clients)
    crowd.leave(clients[0])
    crowd.leave(clients[0])
    crowd.enter(Client())
    assert ended(clients) == []


def test_room_can_be_made_where_nobody_is() -> None:
    crowd_of([]).make_room()


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_whom_an_address_belongs_to(host: str, peer: str) -> None:
    assert peer_of(host) == peer
