from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.integration.sandbox.sandboxes import clear, set_behaviour, start_sandbox


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with start_sandbox(SEED="7") as (_, url):
        yield url


@pytest.fixture
async def http(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(address) as session:
        await clear(session)
        await set_behaviour(session)
        yield session
