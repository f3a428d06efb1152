import asyncio

import nats
import pytest
from nats.aio.client import Client

from contracts.channels import LANES
from contracts.messages import MESSAGE_ID_HEADER
from contracts.subjects import notify
from contracts.topology import NOTIFY
from ops.runtime import publisher
from ops.runtime.bus import Bus
from ops.runtime.errors import BusFull, BusUnavailable
from ops.runtime.publisher import ATOMIC_FROM, Outgoing, publish_group
from tests.servers import Nats
from tests.waiting import until

SMALL = ATOMIC_FROM - 1
ATOMIC = ATOMIC_FROM
SEVERAL_BATCHES = 2_300


def group(size: int, prefix: str = "n") -> list[Outgoing]:
    return [
        Outgoing(
            subject=notify(LANES[n % len(LANES)]),
            payload=b"%d" % n,
            message_id=f"{prefix}{n}",
            headers={"Tocsin-Correlation-Id": "test"},
        )
        for n in range(size)
    ]


async def stored(bus: Bus) -> int:
    return (await bus.js.stream_info(NOTIFY.name)).state.messages


async def limit(bus: Bus, messages: int) -> None:
    config = (await bus.js.stream_info(NOTIFY.name)).config
    await bus.js.update_stream(config.evolve(max_msgs=messages))


@pytest.mark.parametrize("size", [0, 1, SMALL, ATOMIC, SEVERAL_BATCHES])
async def test_a_published_group_is_stored_whole(bus: Bus, size: int) -> None:
    await publish_group(bus, group(size))

    assert await stored(bus) == size


@pytest.mark.parametrize("size", [SMALL, ATOMIC])
async def test_a_message_arrives_as_it_was_handed_over(bus: Bus, size: int) -> None:
    outgoing = group(size)
    await publish_group(bus, outgoing)

    by_id = {}
    for sequence in range(1, size + 1):
        message = await bus.js.get_msg(NOTIFY.name, sequence)
        by_id[(message.headers or {})[MESSAGE_ID_HEADER]] = message
    for sent in outgoing:
        message = by_id[sent.message_id]
        assert (message.subject, message.data) == (sent.subject, sent.payload)
        assert (message.headers or {})["Tocsin-Correlation-Id"] == "test"


@pytest.mark.parametrize("size", [SMALL, ATOMIC, SEVERAL_BATCHES])
async def test_the_same_group_again_stores_nothing_twice(bus: Bus, size: int) -> None:
    await publish_group(bus, group(size))
    await publish_group(bus, group(size))

    assert await stored(bus) == size


@pytest.mark.parametrize("known", [1, SMALL, ATOMIC + 1])
async def test_a_half_known_group_is_completed(bus: Bus, known: int) -> None:
    await publish_group(bus, group(known))
    await publish_group(bus, group(2 * ATOMIC))

    assert await stored(bus) == 2 * ATOMIC


async def test_a_group_repeated_inside_itself_is_stored_once(bus: Bus) -> None:
    await publish_group(bus, group(ATOMIC) + group(ATOMIC))

    assert await stored(bus) == ATOMIC


async def test_groups_published_at_once_do_not_mix(bus: Bus) -> None:
    await asyncio.gather(
        *(publish_group(bus, group(ATOMIC, prefix=f"{n}-")) for n in range(8))
    )

    assert await stored(bus) == 8 * ATOMIC


@pytest.mark.parametrize("size", [SMALL, ATOMIC])
async def test_a_full_stream_is_told_apart(bus: Bus, size: int) -> None:
    await limit(bus, 10)

    with pytest.raises(BusFull):
        await publish_group(bus, group(size))
    assert await stored(bus) <= 10


async def test_a_full_stream_takes_no_part_of_an_atomic_batch(bus: Bus) -> None:
    await limit(bus, ATOMIC - 1)

    with pytest.raises(BusFull):
        await publish_group(bus, group(ATOMIC))
    assert await stored(bus) == 0


@pytest.mark.parametrize("size", [SMALL, ATOMIC])
async def test_a_stream_with_room_again_takes_the_group(bus: Bus, size: int) -> None:
    await limit(bus, 10)
    with pytest.raises(BusFull):
        await publish_group(bus, group(size))

    await limit(bus, -1)
    await publish_group(bus, group(size))
    assert await stored(bus) == size


@pytest.mark.parametrize("size", [1, ATOMIC])
async def test_a_bus_without_the_stream_is_unavailable(
    bare_bus: Bus, size: int
) -> None:
    with pytest.raises(BusUnavailable) as caught:
        await publish_group(bare_bus, group(size))
    assert not isinstance(caught.value, BusFull)


@pytest.mark.parametrize("size", [1, SMALL, ATOMIC])
async def test_a_bus_that_is_away_is_unavailable_at_once(
    bus: Bus, nats_server: Nats, size: int
) -> None:
    await nats_server.server.crash()
    await until(lambda: not bus.nc.is_connected)

    async with asyncio.timeout(1):
        with pytest.raises(BusUnavailable):
            await publish_group(bus, group(size))

    await nats_server.server.start()
    await until(lambda: bus.nc.is_connected)
    assert await stored(bus) == 0, "what was reported as failed was kept and sent later"


@pytest.mark.parametrize("burst", [SMALL, 1000])
async def test_a_server_killed_midway_costs_nothing_once_the_group_is_sent_again(
    bus: Bus, nats_server: Nats, burst: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "_CONFIRM_SECONDS", 1.0)
    outgoing = group(40 * burst)

    async def publish_all() -> None:
        for start in range(0, len(outgoing), burst):
            await publish_group(bus, outgoing[start : start + burst])

    other = await nats.connect(nats_server.url)
    publishing = asyncio.create_task(publish_all())
    await until(lambda: _some_stored(other))
    await other.close()
    await nats_server.server.crash()
    with pytest.raises(BusUnavailable):
        await publishing

    await nats_server.server.start()
    await until(lambda: bus.nc.is_connected)
    await publish_all()
    assert await stored(bus) == len(outgoing)


async def _some_stored(other: Client) -> bool:
    info = await other.jetstream().stream_info(NOTIFY.name)
    return bool(info.state.messages)
