from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.settings import MeshSettings
from gateway.app import DIRECT
from gateway.routing import RouteName
from ops.client import Operator
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.conftest import database_made
from tests.integration.gateway.gateways import RunningGateway, running_gateway
from tests.integration.gateway.operators import operator_at
from tests.integration.gateway.spooling import Drain
from tests.servers import Stack


@pytest_asyncio.fixture
async def gateway(settings: MeshSettings, bus: Bus) -> AsyncIterator[RunningGateway]:
    """A gateway as it is shipped, without keys, on the test's own servers."""
    async with running_gateway(settings) as gateway:
        yield gateway


@pytest.fixture(params=["direct", "quart"])
def direct(request: pytest.FixtureRequest) -> frozenset[RouteName]:
    """Which routes do without Quart: what holds must hold either way."""
    return DIRECT if request.param == "direct" else frozenset()


@pytest_asyncio.fixture
async def either_gateway(
    settings: MeshSettings, bus: Bus, direct: frozenset[RouteName]
) -> AsyncIterator[RunningGateway]:
    """A gateway with the direct way, and one where everything goes through Quart."""
    async with running_gateway(settings, direct=direct) as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["direct", "quart"])
async def shared_gateway(
    request: pytest.FixtureRequest, servers: Stack, migrated_template: str
) -> AsyncIterator[RunningGateway]:
    """Either gateway, one for all tests of a module: for tests that leave nothing behind."""
    async with database_made(servers, migrated_template) as dsn:
        settings = MeshSettings.model_validate(
            {
                "postgres_dsn": dsn,
                "nats_url": servers.nats_url,
                "redis_url": servers.redis_url,
                "instance": "shared",
            }
        )
        direct = DIRECT if request.param == "direct" else frozenset()
        async with running_gateway(settings, direct=direct) as gateway:
            yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def emptied_gateway(shared_gateway: RunningGateway) -> RunningGateway:
    """The shared gateway with a ledger in which nothing was ever accepted."""
    await shared_gateway.empty()
    return shared_gateway


@pytest.fixture
def drain(bus: Bus, ledger: Ledger) -> Drain:
    return Drain(bus, ledger)


@pytest_asyncio.fixture
async def ada(gateway: RunningGateway) -> AsyncIterator[Operator]:
    async with operator_at(gateway) as operator:
        yield operator
