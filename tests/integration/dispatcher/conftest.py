from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from contracts.settings import MeshSettings
from dispatcher.settings import DispatcherSettings
from tests.integration.dispatcher.endpoint import Endpoint, running_endpoint
from tests.integration.dispatcher.running import dispatcher_settings


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as endpoint:
        yield endpoint


@pytest_asyncio.fixture
async def ours(
    settings: MeshSettings, endpoint: Endpoint, tmp_path: Path
) -> DispatcherSettings:
    """A dispatcher that tries again within a tenth of a second."""
    hasty = tmp_path / "retries.toml"
    hasty.write_text("[default]\ndelays_seconds = [0.1]\n")
    return dispatcher_settings(
        settings, endpoint.url, dispatcher_retries_file=str(hasty)
    )
