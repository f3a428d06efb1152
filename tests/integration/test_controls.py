"""Operators' controls: set once, heard by every service, kept while the bus is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import structlog
from nats.js.errors import NotFoundError

from contracts import controls, subjects
from contracts.channels import Channel, Priority
from contracts.controls import BreakerOrder, BreakerOverride, Pause, RateLimit
from contracts.topology import CONTROLS
from ops.runtime import topology
from ops.runtime.bus import Bus
from ops.runtime.controls import Controls, clear_control, set_control
from tests.servers import Nats
from tests.waiting import until

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SMS = controls.pause_key(Channel.SMS)
SMS_LOW = controls.pause_key(Channel.SMS, Priority.LOW)


@asynccontextmanager
async def listening(bus: Bus) -> AsyncIterator[Controls]:
    heard = Controls(bus)
    stopping = asyncio.Event()
    task = asyncio.create_task(heard.run(stopping))
    yield heard
    stopping.set()
    await task


async def test_what_was_set_before_and_after_a_service_began_is_heard(bus: Bus) -> None:
    await set_control(bus, SMS_LOW, Pause(by="me", at=NOW))
    async with listening(bus) as heard:
        await until(lambda: heard.paused(Channel.SMS) == {Priority.LOW})
        begun = time.monotonic()
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS) == set(Priority))
        assert time.monotonic() - begun < 2
        await clear_control(bus, SMS)
        await until(lambda: heard.paused(Channel.SMS) == {Priority.LOW})
        assert heard.paused(Channel.EMAIL) == set()


async def test_rates_and_orders_are_found_by_what_they_are_for(bus: Bus) -> None:
    limit = RateLimit(by="me", at=NOW, per_second=5)
    order = BreakerOverride(by="me", at=NOW, order=BreakerOrder.OPEN)
    async with listening(bus) as heard:
        await set_control(bus, controls.channel_rate_key(Channel.SMS), limit)
        await set_control(bus, controls.provider_rate_key("acme"), limit)
        await set_control(bus, controls.breaker_key("acme"), order)
        await until(lambda: heard.breaker("acme") == order)

        assert heard.channel_rate(Channel.SMS) == heard.provider_rate("acme") == 5
        assert heard.channel_rate(Channel.PUSH) is heard.provider_rate("other") is None


async def test_a_value_nobody_can_read_leaves_the_last_one_standing(bus: Bus) -> None:
    async with listening(bus) as heard:
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))
        await bus.js.publish(subjects.bucket_value(CONTROLS.name, SMS), b"{}")
        await set_control(bus, SMS_LOW, Pause(by="me", at=NOW))
        changes = []
        heard.on_change(lambda: changes.append(1))
        await clear_control(bus, SMS_LOW)
        await until(lambda: changes)
        assert heard.paused(Channel.SMS) == set(Priority)


async def test_what_was_heard_holds_without_the_bus_and_is_put_right_when_it_is_back(
    bus: Bus, nats_server: Nats
) -> None:
    async with listening(bus) as heard:
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))
        await nats_server.server.crash()
        await until(lambda: not bus.nc.is_connected)
        assert heard.paused(Channel.SMS) == set(Priority)
        await nats_server.server.start()
        await bus.connected.wait()
        await until(lambda: clear_control(bus, SMS))
        await until(lambda: not heard.paused(Channel.SMS), timeout_seconds=3)


async def test_a_bucket_made_later_is_followed(bare_bus: Bus) -> None:
    async with listening(bare_bus) as heard:
        with pytest.raises(NotFoundError):
            await bare_bus.js.stream_info(CONTROLS.name)
        await topology.ensure(bare_bus.js)
        await set_control(bare_bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))


async def test_what_is_set_in_a_bucket_made_again_is_heard(bus: Bus) -> None:
    """Also under the revision that another value had before."""
    async with listening(bus) as heard:
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await set_control(bus, SMS_LOW, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))
        await make_anew(bus)
        limit = RateLimit(by="me", at=NOW, per_second=5)
        await set_control(bus, controls.channel_rate_key(Channel.SMS), limit)
        email = controls.pause_key(Channel.EMAIL)
        await set_control(bus, email, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.EMAIL), timeout_seconds=20)
        await until(lambda: not heard.paused(Channel.SMS))
        assert heard.channel_rate(Channel.SMS) == 5


async def purge(bus: Bus) -> None:
    await bus.js.purge_stream(CONTROLS.name)


async def make_anew(bus: Bus) -> None:
    await bus.js.delete_stream(CONTROLS.name)
    await topology.ensure(bus.js)


@pytest.mark.parametrize("lose", [purge, make_anew])
async def test_what_is_in_the_bucket_no_more_stands_no_more(
    bus: Bus, lose: Callable[[Bus], Awaitable[None]]
) -> None:
    async with listening(bus) as heard:
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))
        await lose(bus)
        await until(lambda: not heard.paused(Channel.SMS), timeout_seconds=20)


async def test_a_bucket_that_is_gone_clears_nothing(bus: Bus) -> None:
    async with listening(bus) as heard:
        await set_control(bus, SMS, Pause(by="me", at=NOW))
        await until(lambda: heard.paused(Channel.SMS))
        with structlog.testing.capture_logs() as logs:
            await bus.js.delete_stream(CONTROLS.name)
            await until(
                lambda: "bucket.not_followed" in {e["event"] for e in logs},
                timeout_seconds=20,
            )
        assert heard.paused(Channel.SMS) == set(Priority)


async def test_a_bucket_is_one_that_other_clients_know(bus: Bus) -> None:
    await set_control(bus, SMS, Pause(by="me", at=NOW))
    bucket = await bus.js.key_value("CONTROLS")

    assert controls.decode((await bucket.get(SMS)).value or b"").by == "me"
    assert (await bucket.status()).history == 10
