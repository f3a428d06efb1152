import asyncio

import pytest
from prometheus_client import CollectorRegistry, Counter

from ops.runtime.tasks import keep_running, wait_for_stop


@pytest.fixture
def errors() -> Counter:
    return Counter("errors", "Errors.", ["loop"], registry=CollectorRegistry())


def counted(errors: Counter) -> float:
    return float(errors.labels(loop="sweep")._value.get())


async def test_a_loop_goes_on_after_an_error_and_counts_it(errors: Counter) -> None:
    stopping = asyncio.Event()
    steps = iter([ConnectionError("away"), ValueError("a bug"), None])

    async def step() -> None:
        error = next(steps)
        if error:
            raise error
        stopping.set()

    async with asyncio.timeout(5):
        await keep_running("sweep", step, stopping, errors, (ConnectionError,))

    assert counted(errors) == 2


async def test_a_loop_that_is_cancelled_ends(errors: Counter) -> None:
    started = asyncio.Event()

    async def step() -> None:
        started.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(keep_running("sweep", step, asyncio.Event(), errors))
    await started.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert counted(errors) == 0


async def test_a_pause_after_an_error_ends_when_the_service_stops(
    errors: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = asyncio.Event()

    async def step() -> None:
        asyncio.get_running_loop().call_soon(stopping.set)
        raise ConnectionError("away")

    async with asyncio.timeout(5):
        await keep_running("sweep", step, stopping, errors, (ConnectionError,))


async def test_waiting_says_whether_the_service_was_told_to_stop() -> None:
    stopping = asyncio.Event()

    assert not await wait_for_stop(stopping, 0.001)
    stopping.set()
    assert await wait_for_stop(stopping, 60)
