import asyncio

import pytest
from nats.js.api import ConsumerInfo, RetentionPolicy, StorageType, StreamInfo
from nats.js.errors import BadRequestError

from contracts import topology as declared
from contracts.channels import LANES
from contracts.topology import ACK_WAIT_SECONDS, ADVISORY, DLQ, NOTIFY, STATUS, Stream
from ops.runtime import topology
from ops.runtime.bus import Bus
from ops.runtime.errors import TopologyConflict
from ops.runtime.topology import Change

SMS_HIGH = declared.lane_consumer(LANES[0])


async def stream(bus: Bus, which: Stream) -> StreamInfo:
    return await bus.js.stream_info(which.name)


async def sms_high(bus: Bus) -> ConsumerInfo:
    info: ConsumerInfo = await bus.js.consumer_info(NOTIFY.name, SMS_HIGH.name)
    return info


async def test_a_fresh_bus_gets_every_stream_and_consumer(bare_bus: Bus) -> None:
    await topology.ensure(bare_bus.js)

    streams = await bare_bus.js.streams_info()
    consumers = [
        (info.stream_name, info.name)
        for stream_ in streams
        for info in await bare_bus.js.consumers_info(str(stream_.config.name))
    ]
    assert {info.config.name for info in streams} == {s.name for s in declared.STREAMS}
    assert set(consumers) == {(c.stream, c.name) for c in declared.CONSUMERS}


async def test_advisories_are_captured_before_the_first_lane_exists(
    bare_bus: Bus,
) -> None:
    changes = await topology.ensure(bare_bus.js)

    made = [change.name for change in changes]
    assert {change.action for change in changes} == {"created"}
    lanes = [made.index(f"NOTIFY/{c.name}") for c in map(declared.lane_consumer, LANES)]
    assert made.index("ADVISORY") < made.index("NOTIFY") < min(lanes)


async def test_the_second_run_changes_nothing(bus: Bus) -> None:
    before = await stream(bus, NOTIFY), await sms_high(bus)

    assert await topology.ensure(bus.js) == []
    after = await stream(bus, NOTIFY), await sms_high(bus)
    assert [i.config for i in after] == [i.config for i in before]


async def test_two_that_start_at_once_agree(bare_bus: Bus) -> None:
    await asyncio.gather(*(topology.ensure(bare_bus.js) for _ in range(3)))

    assert await topology.ensure(bare_bus.js) == []


async def test_a_limit_somebody_set_is_taken_back(bus: Bus) -> None:
    wanted = (await stream(bus, STATUS)).config
    await bus.js.update_stream(
        wanted.evolve(
            max_age=60.0, duplicate_window=60.0, max_msgs=77, max_bytes=1 << 20
        )
    )

    assert await topology.ensure(bus.js) == [Change("STATUS", "updated")]
    assert (await stream(bus, STATUS)).config == wanted


async def test_a_partial_update_by_somebody_is_put_right_as_a_whole(bus: Bus) -> None:
    """An update resets every field that it leaves out."""
    wanted = (await stream(bus, NOTIFY)).config
    await bus.js.update_stream(
        name=NOTIFY.name, subjects=list(NOTIFY.subjects), retention=wanted.retention
    )
    assert (await stream(bus, NOTIFY)).config != wanted

    assert await topology.ensure(bus.js) == [Change("NOTIFY", "updated")]
    assert (await stream(bus, NOTIFY)).config == wanted


async def test_a_drifted_consumer_is_put_right_and_keeps_its_place(bus: Bus) -> None:
    wanted = (await sms_high(bus)).config
    await bus.js.publish("notify.sms.high", b"{}")
    lane = await bus.js.pull_subscribe_bind(SMS_HIGH.name, NOTIFY.name)
    (message,) = await lane.fetch(1)
    await bus.js.add_consumer(
        NOTIFY.name, wanted.evolve(ack_wait=1.0, max_deliver=2, max_ack_pending=5)
    )

    assert await topology.ensure(bus.js) == [
        Change(f"NOTIFY/{SMS_HIGH.name}", "updated")
    ]
    info = await sms_high(bus)
    assert info.config == wanted
    assert info.config.ack_wait == ACK_WAIT_SECONDS
    assert info.num_ack_pending == 1
    await message.ack_sync()


async def test_a_stream_with_other_retention_is_refused_and_kept(bare_bus: Bus) -> None:
    await bare_bus.js.add_stream(
        name=NOTIFY.name,
        subjects=list(NOTIFY.subjects),
        retention=RetentionPolicy.LIMITS,
    )
    await bare_bus.js.publish("notify.sms.high", b"{}")

    with pytest.raises(TopologyConflict, match="stream NOTIFY keeps messages by"):
        await topology.ensure(bare_bus.js)
    info = await stream(bare_bus, NOTIFY)
    assert info.config.retention == RetentionPolicy.LIMITS
    assert info.state.messages == 1


async def test_a_stream_in_memory_is_refused_and_kept(bare_bus: Bus) -> None:
    await bare_bus.js.add_stream(
        name=DLQ.name, subjects=list(DLQ.subjects), storage=StorageType.MEMORY
    )

    with pytest.raises(TopologyConflict, match="stream DLQ is stored in"):
        await topology.ensure(bare_bus.js)
    assert (await stream(bare_bus, DLQ)).config.storage == StorageType.MEMORY


async def test_a_limit_that_would_drop_messages_is_refused(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        await bus.js.publish("dlq.sms.high", b"x" * 1000)
    smaller = Stream(
        name=DLQ.name,
        subjects=DLQ.subjects,
        retention=DLQ.retention,
        discard_new=DLQ.discard_new,
        max_age_seconds=DLQ.max_age_seconds,
        max_bytes=10_000,
    )
    monkeypatch.setattr(declared, "STREAMS", (ADVISORY, NOTIFY, STATUS, smaller))

    with pytest.raises(TopologyConflict, match="more than the 10,000"):
        await topology.ensure(bus.js)
    assert (await stream(bus, DLQ)).state.messages == 20


async def test_a_subject_taken_by_another_stream_is_an_error_of_the_bus(
    bare_bus: Bus,
) -> None:
    await bare_bus.js.add_stream(name="OLD", subjects=["notify.>"])

    with pytest.raises(BadRequestError, match="overlap"):
        await topology.ensure(bare_bus.js)


async def test_a_dead_message_leaves_an_advisory(bus: Bus) -> None:
    await bus.js.publish("notify.sms.high", b"{}")
    lane = await bus.js.pull_subscribe_bind(SMS_HIGH.name, NOTIFY.name)
    (message,) = await lane.fetch(1)
    await message.term()

    dead_letters = await bus.js.pull_subscribe_bind(
        declared.DEAD_LETTERS.name, ADVISORY.name
    )
    (advisory,) = await dead_letters.fetch(1, timeout=5)
    assert advisory.subject == (
        f"$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.NOTIFY.{SMS_HIGH.name}"
    )
