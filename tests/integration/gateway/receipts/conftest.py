from collections.abc import AsyncIterator

import pytest_asyncio

from contracts.settings import MeshSettings
from ops.runtime.bus import Bus
from tests.integration.gateway.following import Mesh
from tests.integration.gateway.gateways import RunningGateway, running_gateway
from tests.integration.gateway.receipts.sending import SETTINGS


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings, **SETTINGS) as gateway:
        yield gateway


@pytest_asyncio.fixture
async def mesh(gateway: RunningGateway, bus: Bus) -> Mesh:
    return Mesh(gateway.ledger, bus)
