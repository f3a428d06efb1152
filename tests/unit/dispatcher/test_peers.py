"""What a dispatcher remembers of others."""

from dispatcher.peers import Peers


def test_those_that_are_gone_are_forgotten_though_nobody_counts() -> None:
    peers = Peers()
    for restart in range(100):
        peers.heard(f"instance-{restart}", 10.0 * restart)

    # as a clock that goes back would show
    assert peers.count(0.0) == 1
