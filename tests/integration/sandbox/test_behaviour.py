"""How the sandbox answers: as its simulator recipients say, and as it is told."""

import asyncio
import time

import aiohttp
import pytest

from tests.integration.sandbox.sandboxes import clear, get, send, set_behaviour


@pytest.mark.parametrize(
    ("to", "channel"),
    [("+15005550002", "sms"), ("flaky@example.com", "email"), ("flaky", "push")],
)
async def test_flaky_fails_once_for_each_idempotency_key(http, to, channel):
    statuses = [(await send(http, to, channel, key))[0] for key in "aabba"]

    assert statuses == [503, 202, 503, 202, 202]


async def test_clearing_forgets_what_flaky_remembers(http):
    await send(http, "+15005550002", key="a")
    await clear(http)

    assert (await send(http, "+15005550002", key="a"))[0] == 503
    assert (await get(http, "/stats"))["received"] == 1


async def test_permanent_says_why(http):
    status, refusal, _ = await send(http, "+15005550001")

    assert status == 422
    assert refusal == {
        "code": "permanent",
        "message": "The recipient is refused for good.",
    }


async def test_throttled_carries_retry_after(http):
    status, refusal, headers = await send(http, "throttled", "push")

    assert status == 429
    assert refusal["code"] == "throttled"
    assert headers["Retry-After"] == "2"


async def test_slow_is_accepted_after_three_seconds(http):
    started = time.monotonic()
    status, _, _ = await send(http, "slow@example.com", "email")

    assert status == 202
    assert 2.9 < time.monotonic() - started < 6


async def test_behaviour_is_shown_as_set_and_reset_by_an_empty_object(http):
    wanted = {"mode": "transient", "rate": 0.5, "latency_ms": 20, "channel": "sms"}
    await set_behaviour(http, **wanted)
    assert await get(http, "/behaviour") == wanted

    await set_behaviour(http)
    assert await get(http, "/behaviour") == {
        "mode": "accept",
        "rate": 1.0,
        "latency_ms": 0,
        "channel": None,
    }


@pytest.mark.parametrize(
    ("behaviour", "pointer"),
    [
        ({"mode": "explode"}, "/mode"),
        ({"rate": 1.5}, "/rate"),
        ({"rate": "half"}, "/rate"),
        ({"latency_ms": -1}, "/latency_ms"),
        ({"latency_ms": 0.5}, "/latency_ms"),
        ({"channel": "fax"}, "/channel"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_an_invalid_behaviour_is_refused_by_name_and_changes_nothing(
    http, behaviour, pointer
):
    await set_behaviour(http, mode="permanent")
    async with http.put("/behaviour", json=behaviour) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["pointer"] == pointer

    assert (await get(http, "/behaviour"))["mode"] == "permanent"


async def test_a_seeded_rate_repeats_after_clearing(http):
    await set_behaviour(http, mode="transient", rate=0.5)

    async def run_once() -> list[int]:
        await clear(http)
        return [(await send(http))[0] for _ in range(20)]

    first = await run_once()
    assert set(first) == {202, 503}
    assert await run_once() == first


async def test_latency_is_added_to_the_chosen_channel(http):
    await set_behaviour(http, latency_ms=300, channel="push")
    started = time.monotonic()
    await send(http, "+15555550001", "sms")
    quick = time.monotonic() - started
    await send(http, "token", "push")

    assert time.monotonic() - started - quick >= 0.3


async def test_timeout_never_answers_but_records(http):
    await set_behaviour(http, mode="timeout")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await send(http, key="held")

    [message] = await get(http, "/messages", idempotency_key="held")
    assert (message["answer"], message["outcome"]) == (None, "timeout")


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("reset", aiohttp.ServerDisconnectedError),
        ("garbage", aiohttp.ClientResponseError),
    ],
)
async def test_a_connection_that_is_cut_or_spoilt_is_recorded(http, mode, error):
    await set_behaviour(http, mode=mode)
    # A reset may come as what the operating system calls it.
    with pytest.raises((error, aiohttp.ClientOSError)):
        await send(http, key="cut")

    [message] = await get(http, "/messages", idempotency_key="cut")
    assert (message["answer"], message["outcome"]) == (None, mode)
    await set_behaviour(http)
    assert (await send(http, key="cut"))[0] == 202
