import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from contracts import messages, subjects
from contracts.ids import new_id
from contracts.lifecycle import Status
from contracts.messages import ReceiptArrived
from contracts.problems import ProblemType
from contracts.receipts import Receipt, ReceiptKind
from contracts.settings import MeshSettings
from ops import client
from ops.client import Bus, Gateway, Refused, Unreachable
from ops.embedded import ports
from ops.runtime.bus import Bus as MeshBus
from ops.runtime.ledger import Ledger
from ops.runtime.publisher import announce
from tests.integration.gateway.following import Mesh
from tests.integration.gateway.gateways import SMS, RunningGateway, running_gateway
from tests.integration.gateway.test_ingest import answers

BODY = json.dumps(SMS).encode()


@pytest_asyncio.fixture
async def http(gateway: RunningGateway) -> AsyncIterator[Gateway]:
    async with client.open_gateway(f"http://127.0.0.1:{gateway.port}", None) as opened:
        yield opened


@pytest_asyncio.fixture
async def on_bus(
    gateway: RunningGateway, bus: MeshBus, nats_url: str
) -> AsyncIterator[Bus]:
    await answers(bus.nc)
    async with client.open_bus(nats_url) as opened:
        yield opened


async def test_one_key_sends_once_over_http_and_the_bus(
    http: Gateway, on_bus: Bus
) -> None:
    first = await http.create(BODY, "k-1")
    again = await on_bus.create(BODY, "k-1")

    assert again.value == first.value
    assert (first.replayed, again.replayed) == (False, True)


async def test_a_batch_over_the_bus_can_be_asked_for_over_http(
    http: Gateway, on_bus: Bus
) -> None:
    body = json.dumps({"notifications": [SMS, SMS]}).encode()
    batch = (await on_bus.create_batch(body, "k-2", tenant="default")).value

    assert batch.size == 2
    assert (await http.batch(batch.id)).value.counts[Status.QUEUED] == 2


async def test_a_refusal_on_the_bus_is_the_problem_it_would_be_over_http(
    http: Gateway, on_bus: Bus
) -> None:
    wrong = json.dumps(SMS | {"recipient": "nobody"}).encode()
    for create in (http.create, on_bus.create):
        with pytest.raises(Refused) as refused:
            await create(wrong, "k-3")
        assert refused.value.problem.type == ProblemType.INVALID_RECIPIENT.uri
        assert refused.value.problem.errors[0].pointer == "/recipient"


async def test_changes_on_the_bus_are_told_as_they_happen(
    http: Gateway, on_bus: Bus
) -> None:
    changes = on_bus.changes("default")
    first = asyncio.ensure_future(anext(changes))
    while not first.done():  # the subscription begins with the first question
        created = await http.create(BODY, str(new_id()))
        await asyncio.wait({first}, timeout=0.2)
    change = await first

    assert change.status is Status.QUEUED
    assert isinstance(created.value.id, UUID)
    await changes.aclose()


async def test_receipts_on_the_bus_are_told_apart_from_changes(
    on_bus: Bus, ledger: Ledger, bus: MeshBus, http: Gateway
) -> None:
    created = (await http.create(BODY, "k-r")).value
    receipts = on_bus.receipts("default", created.id)
    first = asyncio.ensure_future(anext(receipts))
    receipt = Receipt(
        kind=ReceiptKind.BOUNCED, at=created.created_at, provider="acme", id=new_id()
    )
    arrived = ReceiptArrived(
        notification_id=created.id,
        tenant="default",
        channel=created.channel,
        priority=created.priority,
        status=created.status,
        attempts=0,
        sequence=2,
        status_at=created.created_at,
        receipt=receipt,
        correlation_id="",
    )
    subject = subjects.receipt("default", created.channel, receipt.kind, created.id)
    while not first.done():
        await announce(bus, [(subject, messages.encode(arrived))])
        await asyncio.wait({first}, timeout=0.2)

    assert await first == arrived
    await receipts.aclose()


async def test_without_a_gateway_on_the_bus_nothing_is_promised(
    nats_url: str, bus: MeshBus
) -> None:
    async with client.open_bus(nats_url) as alone:
        with pytest.raises(Unreachable, match="no gateway answers"):
            await alone.create(BODY, "k-4")


async def test_a_bus_that_is_not_there_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client.bus, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(Unreachable, match="cannot be reached"):
        async with client.open_bus("nats://127.0.0.1:9"):
            pass


async def test_a_notification_is_followed_to_its_end(
    http: Gateway, ledger: Ledger, bus: MeshBus
) -> None:
    created = (await http.create(BODY, "k-5")).value
    mesh = Mesh(ledger, bus)
    heard = []
    async for change in http.follow(created.id):
        heard.append(change.status)
        if change.status is Status.QUEUED:
            await mesh.move(created.id, Status.PROCESSING, Status.DELIVERED)

    assert heard == [Status.QUEUED, Status.PROCESSING, Status.DELIVERED]


async def test_following_what_does_not_exist_is_refused(http: Gateway) -> None:
    with pytest.raises(Refused) as refused:
        await anext(http.follow(new_id()))
    assert refused.value.problem.type == ProblemType.NOT_FOUND.uri


async def test_following_goes_on_when_the_gateway_comes_back(
    settings: MeshSettings, ledger: Ledger, bus: MeshBus
) -> None:
    mesh = Mesh(ledger, bus)
    [port] = ports.choose(1)
    url = f"http://127.0.0.1:{port}"
    async with client.open_gateway(url, None) as http:
        async with running_gateway(settings, port=port):
            created = (await http.create(BODY, "k-6")).value
            changes = http.follow(created.id)
            assert (await anext(changes)).status is Status.QUEUED
        await mesh.move(created.id, Status.PROCESSING, Status.DELIVERED)
        async with running_gateway(settings, port=port):
            heard = [change.status async for change in changes]

    assert heard == [Status.DELIVERED]
