from random import Random

import pytest

from contracts.lifecycle import LOST_LEASES_AT_MOST
from dispatcher import suspects


def test_the_more_dispatchers_were_lost_the_fewer_are_sent_together():
    together = [suspects.room([]) // weight for weight in suspects.WEIGHTS]

    assert together == [64, 8, 1, 1]


def test_what_is_under_way_takes_room():
    assert suspects.room([0, 0, 1, 1]) == suspects.room([]) - 2
    assert suspects.room([1] * 64) == 0
    assert suspects.room([3]) == 0
    assert suspects.room([3, 3]) == 0, "two processes' worth, taken over by one"


@pytest.mark.parametrize("seed", range(20))
def test_only_the_one_that_ends_dispatchers_reaches_the_bound(seed: int):
    """Whoever is sent beside the guilty one loses a dispatcher with it, each time."""
    rng = Random(seed)
    guilty, innocent = 0, range(1, 500)
    lost = dict.fromkeys([guilty, *innocent], 0)
    waiting, crashes = set(lost), 0
    while guilty in waiting:
        order = sorted(waiting, key=lambda id_: (lost[id_], rng.random()))
        group, room = set(), suspects.room([])
        for id_ in order:
            weight = suspects.WEIGHTS[lost[id_] - 1] if lost[id_] else 0
            if weight <= room:
                group.add(id_)
                room -= weight
        if guilty not in group:
            waiting -= group
            continue
        crashes += 1
        for id_ in group:
            lost[id_] += 1
        if lost[guilty] >= LOST_LEASES_AT_MOST:
            waiting.discard(guilty)

    assert crashes == LOST_LEASES_AT_MOST
    assert max(lost[id_] for id_ in innocent) <= 3
