"""Operators at a gateway under test, what they announce, and dispatchers to be seen."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from contracts import messages, subjects
from contracts.mesh import (
    JobReading,
    LaneReading,
    ProviderReading,
    ServiceCondition,
    ServiceState,
)
from contracts.messages import OperatorActed
from ops import client
from ops.client import Operator
from ops.runtime.bus import Bus
from tests.integration.gateway.gateways import RunningGateway
from tests.waiting import until

OPS = "/api/v1/ops"
WHY = "the provider asked us to"


@asynccontextmanager
async def operator_at(
    gateway: RunningGateway, name: str | None = "Ada", key: str | None = None
) -> AsyncIterator[Operator]:
    url = f"http://127.0.0.1:{gateway.port}"
    async with client.open_gateway(url, key) as opened:
        yield Operator(opened, name)


@asynccontextmanager
async def announcements(bus: Bus) -> AsyncIterator[list[OperatorActed]]:
    """Collect what is said on ``mesh.action.>``, which subject and action have to agree on."""
    heard: list[OperatorActed] = []

    async def hear(message: Any) -> None:
        acted = messages.decode(message.data)
        assert isinstance(acted, OperatorActed)
        assert message.subject == subjects.mesh_action(acted.action)
        heard.append(acted)

    subscription = await bus.nc.subscribe(subjects.MESH_ACTION_ALL, cb=hear)
    await bus.nc.flush()
    yield heard
    await subscription.unsubscribe()


def state_of(
    service: str,
    instance: str,
    *,
    condition: ServiceCondition = ServiceCondition.READY,
    providers: Iterable[ProviderReading] = (),
    lanes: Iterable[LaneReading] = (),
    jobs: Iterable[JobReading] = (),
    **fields: Any,
) -> ServiceState:
    now = datetime.now(UTC)
    return ServiceState(
        service=service,
        instance=instance,
        version="1",
        condition=condition,
        pid=1,
        at=now,
        started_at=now,
        rss_bytes=1,
        dependencies={},
        providers=list(providers),
        lanes=list(lanes),
        jobs=list(jobs),
        **fields,
    )


async def say(bus: Bus, gateway: RunningGateway, state: ServiceState) -> None:
    """Publish a state as a process would, and wait until the gateway has heard it."""
    subject = subjects.mesh_state(state.service, state.instance)

    async def heard() -> bool:
        await bus.nc.publish(subject, msgspec.json.encode(state))
        response = await gateway.get(f"{OPS}/services")
        text = await response.text()
        return f'"{state.instance}"' in text

    await until(heard, 20)
