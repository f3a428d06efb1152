"""What a caller may do, with a Redis that is not there: the arithmetic, and what is told."""

import asyncio
import re

import pytest
import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.allowances import Allowance, Allowances
from gateway.errors import RateLimited
from gateway.metrics import Metrics

NOWHERE = "redis://127.0.0.1:1/0"


def allowances(
    per_minute: int, registry: CollectorRegistry | None = None
) -> Allowances:
    metrics = Metrics(registry or CollectorRegistry())
    return Allowances(Redis.from_url(NOWHERE), metrics, per_minute=per_minute)


def told(allowance: Allowance) -> dict[str, str]:
    headers = allowance.headers()
    return {name.decode(): value.decode() for name, value in headers}


async def test_a_caller_may_do_so_much_and_then_has_to_wait() -> None:
    ours = allowances(60).of("one")
    for _ in range(60):
        await ours.spend(1)
    with pytest.raises(RateLimited) as caught:
        await ours.spend(1)

    assert caught.value.retry_after_seconds == 1


async def test_callers_do_not_share() -> None:
    both = allowances(1)
    await both.of("one").spend(1)
    await both.of("other").spend(1)
    with pytest.raises(RateLimited) as caught:
        await both.of("one").spend(1)

    assert caught.value.retry_after_seconds is not None
    assert 58 <= caught.value.retry_after_seconds <= 60


async def test_what_is_left_is_told() -> None:
    ours = allowances(100).of("one")
    assert told(ours) == {
        "ratelimit-policy": '"default";q=100;w=60',
        "ratelimit": '"default";r=100;t=1',
    }
    await ours.spend(30)
    assert told(ours)["ratelimit"] == '"default";r=70;t=1'
    with pytest.raises(RateLimited):
        await ours.spend(80)
    assert told(ours)["ratelimit"].startswith('"default";r=70;')
    await ours.spend(70)
    assert told(ours)["ratelimit"] == '"default";r=0;t=1'


async def test_the_headers_are_structured_fields() -> None:
    ours = allowances(7).of("one")
    item = r'"[a-z]+"(;[a-z]+=\d+)+'
    for _ in range(7):
        await ours.spend(1)
        assert all(re.fullmatch(item, value) for value in told(ours).values())


async def test_a_refused_batch_leaves_room_for_single_requests() -> None:
    ours = allowances(100).of("one")
    await ours.spend(60)
    with pytest.raises(RateLimited) as caught:
        await ours.spend(60)
    await ours.spend(40)

    assert caught.value.retry_after_seconds == 12


async def test_a_batch_larger_than_the_limit_makes_a_debt() -> None:
    ours = allowances(60).of("one")
    await ours.spend(180)
    with pytest.raises(RateLimited) as caught:
        await ours.spend(1)

    assert caught.value.retry_after_seconds in {120, 121}


async def test_going_local_is_said_once() -> None:
    registry = CollectorRegistry()
    ours = allowances(1000, registry)
    with structlog.testing.capture_logs() as logs:
        await asyncio.gather(*(ours.of(f"caller {n}").spend(1) for n in range(20)))

    assert [entry["event"] for entry in logs] == ["rate_limits.fell_back"]
    assert registry.get_sample_value("tocsin_rate_limit_fallbacks_total") == 1
    assert registry.get_sample_value("tocsin_rate_limits_local") == 1


async def test_callers_are_forgotten_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.allowances._REMEMBERED_AT_MOST", 10)
    ours = allowances(10)
    for n in range(100):
        await ours.of(f"caller {n}").spend(1)

    assert len(ours._known) == len(ours._local) == 10
