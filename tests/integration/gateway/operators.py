"""Operators at a gateway under test, what is left of their deeds, and dispatchers to be seen."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from contracts import controls, messages, subjects
from contracts.channels import Channel, Priority
from contracts.mesh import (
    JobReading,
    LaneReading,
    ProviderReading,
    ServiceCondition,
    ServiceState,
)
from contracts.messages import OperatorActed
from contracts.oversight import AuditEntry
from contracts.topology import CONTROLS
from gateway.audit_store import AuditStore
from ops import client
from ops.client import Operator
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from ops.runtime.values import read_value
from tests.integration.gateway.gateways import RunningGateway
from tests.waiting import until

OPS = "/api/v1/ops"
WHY = "the provider asked us to"
SMS_LOW = controls.pause_key(Channel.SMS, Priority.LOW)
SMS_RATE = controls.channel_rate_key(Channel.SMS)


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


async def control(bus: Bus, key: str) -> controls.AnyControl | None:
    payload = (await read_value(bus, CONTROLS, key)).payload
    return None if payload is None else controls.decode(payload)


async def entries(ledger: Ledger) -> list[AuditEntry]:
    """Return the whole audit, oldest first."""
    store = AuditStore(ledger)
    newest = UUID(int=(1 << 128) - 1)
    found = await store.of("default").entries(newest, 1000, None, of_everyone=True)
    return found[::-1]
