"""Pulling lanes from a real bus: what the server answers, and what it forgets."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio
from nats.js.api import ConsumerConfig
from prometheus_client import CollectorRegistry

from contracts import subjects, topology
from contracts.channels import Channel, Lane, Priority
from contracts.ids import new_id
from contracts.messages import NotificationQueued, encode
from dispatcher.answers import Answers
from dispatcher.lanes import Lanes
from dispatcher.metrics import Metrics
from ops.runtime import topology as served
from ops.runtime.bus import Bus
from tests.servers import Nats
from tests.waiting import until

HIGH, LOW = Priority.HIGH, Priority.LOW


@pytest_asyncio.fixture
async def lanes(bare_bus: Bus) -> AsyncIterator[Lanes]:
    metrics = Metrics(CollectorRegistry())
    answers = Answers(bare_bus.nc, metrics)
    lanes = Lanes(bare_bus, Channel.SMS, answers, metrics, asyncio.Event())
    await lanes.hold(())
    yield lanes
    await lanes.close()


async def publish(bus: Bus, count: int, priority: Priority = HIGH) -> list[UUID]:
    ids = [new_id() for _ in range(count)]
    subject = subjects.notify(Lane(Channel.SMS, priority))
    for id_ in ids:
        await bus.js.publish(subject, encode(NotificationQueued(notification_id=id_)))
    return ids


async def test_a_lane_gives_what_it_has_and_says_that_it_is_empty(
    bus: Bus, lanes: Lanes
) -> None:
    ids = await publish(bus, 3)
    await lanes.ask(HIGH, 10)
    assert lanes.outstanding == 10
    await until(lambda: lanes.views[HIGH].order is None)

    assert lanes.views[HIGH].depth == 0
    assert lanes.outstanding == 3  # come, and not yet taken
    assert [holding.id for holding in await lanes.take()] == ids
    assert lanes.outstanding == 0
    assert await lanes.take() == []


async def test_a_lane_that_has_more_says_how_much(bus: Bus, lanes: Lanes) -> None:
    await publish(bus, 30)
    await lanes.ask(HIGH, 5)
    await until(lambda: lanes.views[HIGH].order is None)

    assert lanes.views[HIGH].depth == 25
    assert len(await lanes.take()) == 5


async def test_a_standing_pull_brings_the_next_message(bus: Bus, lanes: Lanes) -> None:
    await lanes.stand(HIGH)
    await lanes.stand(LOW)
    [id_] = await publish(bus, 1)
    await until(lambda: lanes.views[HIGH].order is None)

    [holding] = await lanes.take()
    assert holding.id == id_
    assert holding.lane == (Channel.SMS, HIGH)
    assert lanes.views[LOW].order is not None


async def test_a_standing_pull_for_several_stays_open_between_them(
    bus: Bus, lanes: Lanes
) -> None:
    await lanes.stand(HIGH, 3)
    standing = lanes.views[HIGH].order
    for _ in range(2):
        [id_] = await publish(bus, 1)
        [holding] = await until(lanes.take)
        assert holding.id == id_
        assert lanes.views[HIGH].order is standing

    [last] = await publish(bus, 1)
    assert [holding.id for holding in await until(lanes.take)] == [last]
    assert lanes.views[HIGH].order is None
    assert lanes.views[HIGH].depth == 0


async def test_a_lane_that_does_not_exist_yet_is_asked_again_later(
    bare_bus: Bus, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatcher.lanes._REFUSED_PAUSE_SECONDS", 60.0)
    await lanes.stand(HIGH)
    await until(lambda: lanes.views[HIGH].order is None)
    refused_until = lanes.views[HIGH].refused_until

    assert refused_until > time.monotonic()
    with pytest.raises(ConnectionError):
        lanes.check()
    assert lanes.next_deadline() <= refused_until
    await served.ensure(bare_bus.js)
    [id_] = await publish(bare_bus, 1)
    await lanes.ask(HIGH, 1)
    await until(lambda: lanes.views[HIGH].order is None)
    assert [holding.id for holding in await lanes.take()] == [id_]


async def test_a_restart_of_the_bus_opens_every_lane_again(
    bus: Bus, lanes: Lanes, nats_server: Nats
) -> None:
    await lanes.stand(HIGH)
    await nats_server.server.crash()
    await nats_server.server.start()
    await until(lambda: lanes.views[HIGH].order is None)

    assert lanes.views[HIGH].depth == 1


async def test_a_pull_that_is_never_answered_is_given_up_and_its_messages_are_taken(
    bus: Bus, lanes: Lanes
) -> None:
    """A consumer with as many unacknowledged messages as it may have says nothing."""
    consumer = topology.lane_consumer(Lane(Channel.SMS, HIGH))
    config: ConsumerConfig = (
        await bus.js.consumer_info(consumer.stream, consumer.name)
    ).config
    config.max_ack_pending = 2
    await bus.js.add_consumer(consumer.stream, config)
    ids = await publish(bus, 4)
    await lanes.ask(HIGH, 4)

    def given_up() -> bool:
        lanes.give_up_lost()
        return lanes.views[HIGH].order is None

    await until(given_up)
    first = await lanes.take()
    assert [holding.id for holding in first] == ids[:2]
    for holding in first:
        await bus.nc.publish(holding.reply, b"+ACK")
    rest = [holding.id for holding in await until(lanes.take)]
    await lanes.ask(HIGH, 4)
    while len(rest) < 2:
        rest += [holding.id for holding in await until(lanes.take)]
    assert rest == ids[2:]


async def test_closing_leaves_no_pull_behind(bus: Bus, lanes: Lanes) -> None:
    await lanes.stand(HIGH)
    await until(lambda: has_waiting_pulls(bus, 1))
    await lanes.close()
    await until(lambda: has_waiting_pulls(bus, 0))


async def test_a_lane_that_is_held_gives_nothing_and_leaves_the_others_alone(
    bus: Bus, lanes: Lanes
) -> None:
    await lanes.stand(HIGH)
    await lanes.stand(LOW)
    await until(lambda: has_waiting_pulls(bus, 1))
    standing = lanes.views[LOW].order
    await lanes.hold([HIGH])
    [held] = await publish(bus, 1)
    [id_] = await publish(bus, 1, LOW)
    await until(lambda: lanes.views[LOW].order is not standing)

    assert [holding.id for holding in await lanes.take()] == [id_]
    assert lanes.views[HIGH].order is None
    lanes.check()
    await lanes.hold(())
    await lanes.ask(HIGH, 1)
    await until(lambda: lanes.outstanding and lanes.views[HIGH].order is None)
    assert [holding.id for holding in await lanes.take()] == [held]


async def has_waiting_pulls(bus: Bus, count: int) -> bool:
    consumer = topology.lane_consumer(Lane(Channel.SMS, HIGH))
    info = await bus.js.consumer_info(consumer.stream, consumer.name)
    return info.num_waiting == count
