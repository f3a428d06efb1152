"""What a pump asks for, by what waits and by how much room there is."""

import asyncio

from contracts.channels import Priority
from dispatcher.demand import demand
from dispatcher.slots import Slots

HIGH, NORMAL, LOW = Priority


def slots_with(free: int, concurrency: int = 200) -> Slots:
    slots = Slots(concurrency, asyncio.Event())
    slots.take(slots.room() - free)
    return slots


def test_every_lane_with_work_may_fill_the_room() -> None:
    found = demand({HIGH: 700, LOW: 900}, [NORMAL], 0, slots_with(300), 500)

    assert found.wanted == {HIGH: 700, LOW: 900}
    assert found.standing == [NORMAL]
    assert found.size == 300


def test_a_little_room_is_not_worth_a_pull_for_a_backlog() -> None:
    found = demand({LOW: 900}, [NORMAL], 1, slots_with(30), 500)

    assert found.wanted == {}
    assert found.standing == [NORMAL]
    assert (found.size, found.awaited) == (1, 101)


def test_a_little_work_is_fetched_into_a_little_room() -> None:
    assert demand({LOW: 2}, [], 0, slots_with(30), 500).size == 2


def test_a_few_urgent_messages_come_where_a_backlog_has_filled_the_room() -> None:
    found = demand({HIGH: 2, LOW: 900}, [NORMAL], 0, slots_with(0), 500)

    assert found.wanted == {HIGH: 2}
    assert found.standing == []
    assert (found.size, found.urgent) == (2, 2)


def test_an_urgent_lane_without_work_is_watched_where_there_is_no_room() -> None:
    found = demand({LOW: 900}, [HIGH, NORMAL], 0, slots_with(0), 500)

    assert found.standing == [HIGH]
    assert (found.size, found.urgent) == (1, 1)


def test_many_urgent_messages_wait_for_room_with_the_others() -> None:
    found = demand({HIGH: 5000, LOW: 900}, [], 0, slots_with(0), 500)

    assert found.wanted == {}
    assert (found.size, found.awaited) == (0, 100)


def test_a_small_group_is_asked_for_beside_the_pulls_that_stand() -> None:
    assert demand({LOW: 9}, [], 2, slots_with(300), 1).size == 1
