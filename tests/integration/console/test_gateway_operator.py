"""The operator's port on a real gateway."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from console.operator import Unreachable
from console.operator.gateway import GatewayOperator, open_operator
from contracts.channels import Channel
from contracts.settings import MeshSettings
from ops.embedded import ports
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.factories import seed_notifications
from tests.integration.gateway.gateways import running_gateway
from tests.integration.scheduler.seeds import give_up
from tests.unit.console.operator_conformance import (
    Office,
    OperatorConformance,
    OversightConformance,
)


@pytest_asyncio.fixture
async def operator(settings: MeshSettings, bus: Bus) -> AsyncIterator[GatewayOperator]:
    async with (
        running_gateway(settings) as gateway,
        open_operator(f"http://127.0.0.1:{gateway.port}", None, "ann") as operator,
    ):
        yield operator


class TestGatewayOperator(OperatorConformance, OversightConformance):
    @pytest.fixture
    def office(self, operator: GatewayOperator, ledger: Ledger) -> Office:
        async def queue(number: int) -> list[UUID]:
            return await seed_notifications(ledger, None, number)

        async def fail(number: int, channel: Channel) -> list[UUID]:
            ids = await seed_notifications(ledger, None, number, channel=channel)
            await give_up(ledger, ids)
            return ids

        return Office(operator=operator, queue=queue, fail=fail)


async def test_without_a_gateway_nobody_answers() -> None:
    [port] = ports.choose(1)
    async with open_operator(f"http://127.0.0.1:{port}", None, "ann") as operator:
        with pytest.raises(Unreachable, match="cannot be reached"):
            await operator.reach()
