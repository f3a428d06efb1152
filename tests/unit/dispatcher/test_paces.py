from dispatcher.pacing import BURST_AT_LEAST, pace_of
from dispatcher.peers import Peers


def test_a_burst_covers_one_waiting_pull_for_each_lane() -> None:
    assert pace_of(0.5).size == BURST_AT_LEAST == 3
    assert pace_of(100).size == 10


def test_peers_are_those_heard_of_lately() -> None:
    peers = Peers()
    assert peers.count(0.0) == 1
    peers.heard("one", 100.0)
    peers.heard("two", 103.0)
    assert peers.count(104.0) == 2
    assert peers.count(106.0) == 1
    assert peers.count(200.0) == 1
