"""What a channel has in hand is bounded, and the next are claimed while these are sent."""

import asyncio

from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from dispatcher.holdings import Holding
from dispatcher.lines import Line
from dispatcher.slots import Slots


def test_more_may_come_than_are_sent_at_once_but_not_without_bound() -> None:
    slots = Slots(10, asyncio.Event())
    assert slots.room() > 10

    slots.take(slots.room())

    assert slots.room() == 0
    assert slots.waiting > 10


def test_urgent_messages_have_room_where_others_have_filled_it() -> None:
    slots = Slots(10, asyncio.Event())
    slots.take(slots.room())

    assert slots.room() == 0
    assert slots.room(urgent=True) == 10


def test_outcomes_that_wait_for_the_ledger_take_room_too() -> None:
    slots = Slots(10, asyncio.Event())
    for _ in range(2):
        count = slots.room()
        slots.take(count)
        for _ in range(count):
            slots.begin()
            slots.sent()

    assert slots.waiting == 0
    assert slots.room() == 0


def test_the_pump_is_woken_when_as_many_slots_are_free_as_it_awaits() -> None:
    changed = asyncio.Event()
    slots = Slots(10, changed)
    slots.take(slots.room())
    slots.awaited = slots.worth_a_pull
    for freed in range(1, slots.awaited + 1):
        assert not changed.is_set()
        slots.begin()
        slots.sent()
        assert slots.room() == freed

    assert changed.is_set()


def test_a_provider_that_takes_one_at_a_time_is_not_left_idle() -> None:
    assert Slots(1, asyncio.Event()).worth_a_pull == 1


def test_the_most_urgent_claim_is_next_and_within_a_priority_the_oldest() -> None:
    line = Line()
    came = [Priority.LOW, Priority.HIGH, Priority.NORMAL, Priority.HIGH]
    holdings = [Holding(new_id(), Lane(Channel.SMS, p), "") for p in came]
    for holding in holdings:
        line.add(holding)

    assert len(line) == 4
    assert [line.next() for _ in range(3)] == [holdings[1], holdings[3], holdings[2]]
    assert line.take() == [holdings[0]]
    assert line.next() is None
