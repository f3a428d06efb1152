"""The commands of operators, against a real gateway."""

import json
from collections.abc import AsyncIterator

import pytest_asyncio

from contracts.mesh import ProviderReading
from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from tests.integration.commands import Finished, tocsin
from tests.integration.gateway.gateways import RunningGateway, running_gateway
from tests.integration.gateway.operators import say, state_of

WHY = ("--reason", "the provider asked us to", "--operator", "Ada")


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as gateway:
        yield gateway


async def ops(gateway: RunningGateway, *arguments: str) -> Finished:
    url = f"http://127.0.0.1:{gateway.port}"
    return await tocsin("ops", *arguments, environment={"TOCSIN_GATEWAY_URL": url})


async def done(gateway: RunningGateway, *arguments: str) -> str:
    finished = await ops(gateway, *arguments)
    assert finished.code == 0, finished.err
    return finished.out


async def test_a_script_does_what_the_console_does(
    gateway: RunningGateway, bus: Bus
) -> None:
    acme = ProviderReading(name="acme")
    await say(bus, gateway, state_of("dispatcher", "one", providers=[acme]))
    out = await done(gateway, "pause", "sms.low", *WHY)
    assert "lane.paused sms.low by Ada: the provider asked us to" in out
    assert "paused by Ada: the provider asked us to" in await done(gateway, "lanes")
    await done(gateway, "resume", "sms.low", *WHY)
    assert "paused by" not in await done(gateway, "lanes")
    await done(gateway, "limit", "channel.sms", "50", *WHY)
    await done(gateway, "limit", "provider.acme", "20", *WHY)
    limits = (await done(gateway, "limits")).splitlines()
    assert [line.split()[:2] for line in limits] == [
        ["channel.sms", "50/s"],
        ["provider.acme", "20/s"],
    ]
    await done(gateway, "limit", "channel.sms", "--clear", *WHY)
    await done(gateway, "limit", "provider.acme", "--clear", *WHY)
    assert await done(gateway, "limits") == ""
    await done(gateway, "breaker", "acme", "open", *WHY)
    assert "open by Ada" in await done(gateway, "breakers")
    assert "gateway" in await done(gateway, "services")
    audit = json.loads(await done(gateway, "audit", "--json"))["items"]
    assert [entry["action"] for entry in audit] == [
        "breaker.ordered",
        *["limit.cleared"] * 2,
        *["limit.set"] * 2,
        *("lane.resumed", "lane.paused"),
    ]
    lines = (await done(gateway, "audit", "--limit", "2")).splitlines()
    assert "breaker.ordered acme by Ada" in lines[0]
    assert lines[2] == f"and more: --before {audit[1]['id']}"
    before = audit[1]["id"]
    rest = json.loads(await done(gateway, "audit", "--before", before, "--json"))
    assert rest["items"] == audit[2:]


async def test_notifications_are_found(gateway: RunningGateway) -> None:
    made = await gateway.create(recipient="+15555550142")

    out = await done(gateway, "find", "--recipient", "+15555550142")
    assert out.split()[:4] == [made["id"], "sms.normal", "queued", "+15***42"]
    assert await done(gateway, "find", "--id", made["id"]) == out


async def test_a_key_makes_a_change_once(gateway: RunningGateway) -> None:
    first = await done(gateway, "pause", "sms", "--key", "k", *WHY)

    assert await done(gateway, "pause", "sms", "--key", "k", *WHY) == first
    assert len((await done(gateway, "audit")).splitlines()) == 1


async def test_what_is_wrong_is_said_with_its_exit_code(
    gateway: RunningGateway,
) -> None:
    for code, words, arguments in (
        (2, "--reason", ("pause", "sms")),
        (2, "one is written sms or sms.low", ("pause", "fax", *WHY)),
        (2, "channel.sms or provider.NAME", ("limit", "sms", "5", *WHY)),
        (2, "either PER_SECOND or --clear", ("limit", "channel.sms", *WHY)),
        (2, "give one of", ("find",)),
        (1, "there is no such provider", ("breaker", "nobody", "open", *WHY)),
    ):
        finished = await ops(gateway, *arguments)
        assert finished.code == code, arguments
        assert words in finished.err, arguments
    nowhere = {"TOCSIN_GATEWAY_URL": "http://127.0.0.1:1"}
    assert (await tocsin("ops", "lanes", environment=nowhere)).code == 3
