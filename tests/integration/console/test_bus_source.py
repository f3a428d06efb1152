import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from console.events import (
    AnyEvent,
    BacklogRead,
    ControlHeard,
    EventsDropped,
    LaneBacklog,
    LinkAnswered,
    LinkCondition,
    OperatorReported,
)
from console.model import Model
from console.source.bus import (
    LONGEST_PAUSE_SECONDS,
    BusAddress,
    BusSource,
    pause_seconds,
)
from contracts import messages, subjects, topology
from contracts.breakers import BreakerCondition, BreakerState
from contracts.channels import LANES, Lane
from contracts.controls import AnyControl, Pause
from contracts.mesh import ServiceState
from contracts.messages import DeadLettered, NotificationQueued, StatusChanged
from contracts.outcomes import FailureClass
from ops.embedded import folder as folders, ports, probes, wheels
from ops.embedded.child import Spec
from ops.runtime.topology import ensure
from tests.servers import Nats, paused
from tests.unit.console.conformance import Mesh, SourceConformance
from tests.unit.console.world import (
    NOON,
    SMS_HIGH,
    acted,
    breaker,
    change,
    moment,
    notification_id,
    state,
)
from tests.waiting import until


@pytest_asyncio.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    """Speaks for the services of the mesh."""
    client = await nats.connect(
        nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.05
    )
    yield client
    await client.close()


@pytest.fixture
def mesh(nats_url: str, client: Client) -> Mesh:
    async def say_state(state: ServiceState) -> None:
        subject = subjects.mesh_state(state.service, state.instance)
        await client.publish(subject, msgspec.json.encode(state))

    async def say_change(change: StatusChanged) -> None:
        subject = subjects.status(
            change.tenant, change.channel, change.status, change.notification_id
        )
        await client.publish(subject, messages.encode(change))

    async def agree(provider: str, state: BreakerState) -> None:
        js = client.jetstream()
        await ensure(js)
        subject = subjects.bucket_value(topology.BREAKERS.name, provider)
        await js.publish(subject, msgspec.json.encode(state))

    source = BusSource(BusAddress(url=nats_url), pause=_soon)
    return Mesh(source, say_state, say_change, agree)


class TestBusSource(SourceConformance):
    pass


class TestOperators:
    async def test_it_passes_on_what_operators_did(self, mesh: Mesh, client: Client):
        told = acted(NOON)
        async with mesh.listening() as heard:
            subject = subjects.mesh_action(told.action)
            await client.publish(subject, messages.encode(told))
            await client.publish(subject, b"{}")
            await until(lambda: any(isinstance(e, EventsDropped) for e in heard), 15)

        assert [e.acted for e in heard if isinstance(e, OperatorReported)] == [told]

    async def test_orders_that_stand_are_told_at_once_and_again_after_a_loss(
        self, mesh: Mesh, client: Client, nats_server: Nats
    ):
        js = client.jetstream()
        await ensure(js)
        subject = subjects.bucket_value(topology.CONTROLS.name, "pause.sms.low")
        pause = Pause(by="ann", at=moment(NOON), reason="they asked")
        await js.publish(subject, msgspec.json.encode(pause))
        async with mesh.listening() as heard:
            await until(lambda: standing(heard) == [("pause.sms.low", pause)], 15)

            await js.publish(subject, headers={"KV-Operation": "DEL"})
            await until(lambda: standing(heard)[1:] == [("pause.sms.low", None)], 15)

            await nats_server.server.crash()
            await until(lambda: not mesh.is_connected(), 15)
            await nats_server.server.start()
            await until(lambda: standing(heard)[2:] == [("pause.sms.low", None)], 15)


def standing(heard: list[AnyEvent]) -> list[tuple[str, AnyControl | None]]:
    return [(e.key, e.control) for e in heard if isinstance(e, ControlHeard)]


def backlogs(heard: list[AnyEvent]) -> list[BacklogRead]:
    return [event for event in heard if isinstance(event, BacklogRead)]


def lane(read: BacklogRead, wanted: Lane) -> LaneBacklog:
    return next(
        item for item in read.lanes if Lane(item.channel, item.priority) == wanted
    )


async def newest(mesh: Mesh) -> BacklogRead:
    """Ask now, and return an answer to that."""
    seen = len(backlogs(mesh.heard))
    mesh.source.refresh()
    await until(lambda: len(backlogs(mesh.heard)) > seen)
    return backlogs(mesh.heard)[-1]


class TestBacklog:
    async def test_it_counts_what_waits_and_what_is_with_dispatchers(
        self, mesh: Mesh, client: Client
    ):
        js = client.jetstream()
        await ensure(js)
        for number in range(5):
            queued = NotificationQueued(notification_id=notification_id(number))
            await js.publish(subjects.notify(SMS_HIGH), messages.encode(queued))
        consumer = topology.lane_consumer(SMS_HIGH)
        pull = await js.pull_subscribe_bind(consumer.name, consumer.stream)
        await pull.fetch(2)

        async with mesh.listening():
            read = await newest(mesh)

        assert len(read.lanes) == len(LANES)
        assert (lane(read, SMS_HIGH).queued, lane(read, SMS_HIGH).unacked) == (3, 2)
        assert read.problem == ""

    async def test_it_knows_since_when_the_oldest_waits(
        self, mesh: Mesh, client: Client
    ):
        js = client.jetstream()
        await ensure(js)
        queued = NotificationQueued(notification_id=notification_id(1))
        for _ in range(2):
            ack = await js.publish(subjects.notify(SMS_HIGH), messages.encode(queued))
        first = await js.get_msg(topology.NOTIFY.name, ack.seq - 1)
        assert first.time is not None

        async with mesh.listening():
            read = await newest(mesh)

        assert lane(read, SMS_HIGH).oldest_at == pytest.approx(first.time.timestamp())
        others = [item.oldest_at for item in read.lanes if item.queued == 0]
        assert set(others) == {None}

    async def test_it_counts_dead_letters_and_status_events(
        self, mesh: Mesh, client: Client
    ):
        js = client.jetstream()
        await ensure(js)
        dead = DeadLettered(
            notification_id=notification_id(1),
            tenant="default",
            channel=SMS_HIGH.channel,
            priority=SMS_HIGH.priority,
            attempts=5,
            failure_class=FailureClass.PERMANENT,
            reason="not a mobile number",
            at=moment(NOON),
            correlation_id="c-1",
        )
        await js.publish(subjects.dead_letter(SMS_HIGH), messages.encode(dead))
        for number in range(3):
            await mesh.say_change(change(NOON, number))
        await client.flush()

        async with mesh.listening():
            read = await newest(mesh)

        assert (read.dead_letters, read.status_sequence) == (1, 3)

    async def test_a_bus_that_nobody_has_set_up_is_said_in_words(self, mesh: Mesh):
        async with mesh.listening():
            read = await newest(mesh)

        assert read.problem == "the bus has no stream NOTIFY yet"
        assert read.lanes == []


class TestAgreements:
    async def test_what_was_agreed_before_is_told_again_on_every_connection(
        self, mesh: Mesh, nats_server: Nats, client: Client
    ):
        agreed = breaker(NOON, BreakerCondition.OPEN, wait_seconds=5.0, openings=2)
        await mesh.agree("acme", breaker(NOON - 5))
        await mesh.agree("acme", agreed)
        async with mesh.listening():
            await until(mesh.agreements)
            assert mesh.agreements() == [("acme", agreed)]

            await nats_server.server.crash()
            await until(lambda: not mesh.is_connected())
            await nats_server.server.start()
            await until(lambda: len(mesh.agreements()) == 2, 15)

        assert mesh.agreements() == [("acme", agreed)] * 2

    async def test_what_was_forgotten_is_told(self, mesh: Mesh, client: Client):
        await mesh.agree("acme", breaker(NOON))
        async with mesh.listening():
            await until(mesh.agreements)
            await client.jetstream().publish(
                subjects.bucket_value(topology.BREAKERS.name, "acme"),
                headers={"KV-Operation": "DEL"},
            )
            await until(lambda: mesh.agreements()[-1] == ("acme", None))


class TestLink:
    async def test_it_measures_how_fast_the_bus_answers(self, mesh: Mesh):
        async with mesh.listening() as heard:
            await until(lambda: [e for e in heard if isinstance(e, LinkAnswered)])

    async def test_it_comes_back_after_the_bus_was_killed(
        self, mesh: Mesh, nats_server: Nats, client: Client
    ):
        async with mesh.listening():
            await nats_server.server.crash()
            await until(lambda: len(mesh.link()) >= 4)
            lost = mesh.link()[2:]
            assert {e.condition for e in lost} == {LinkCondition.RETRYING}
            assert [e.attempt for e in lost] == list(range(1, len(lost) + 1))
            assert mesh.link()[-1].reason == "connection refused"

            await nats_server.server.start()
            await until(mesh.is_connected)
            await until(lambda: client.is_connected)
            await mesh.say_change(change(NOON))
            await until(mesh.changes)

    async def test_it_notices_a_bus_that_is_frozen(self, mesh: Mesh, nats_server: Nats):
        async with mesh.listening() as heard:
            await until(lambda: backlogs(heard))
            with paused(nats_server.server):
                await until(
                    lambda: mesh.link()[-1].condition is LinkCondition.RETRYING, 20
                )
            await until(mesh.is_connected)

    async def test_it_starts_before_the_bus_does(self, mesh: Mesh, nats_server: Nats):
        await nats_server.server.crash()
        task = asyncio.create_task(mesh.source.run(mesh.heard.append))
        await until(lambda: len(mesh.link()) >= 3)
        await nats_server.server.start()
        await until(mesh.is_connected)
        task.cancel()

    async def test_refused_credentials_are_said_and_tried_for_ever(
        self, locked_bus: str
    ):
        mesh = Mesh(
            BusSource(BusAddress(url=f"nats://ops:wrong@{locked_bus}"), pause=_soon),
            _unused,
            _unused,
            _unused_twice,
        )
        task = asyncio.create_task(mesh.source.run(mesh.heard.append))
        await until(lambda: len(mesh.link()) >= 4)
        task.cancel()

        assert {e.reason for e in mesh.link()[1:]} == {"credentials refused"}

    async def test_what_it_may_not_hear_is_said(self, locked_bus: str):
        url = f"nats://deaf:deaf@{locked_bus}"
        mesh = Mesh(BusSource(BusAddress(url=url)), _unused, _unused, _unused_twice)
        async with mesh.listening():
            read = await newest(mesh)

        assert "status.>" in read.problem

    async def test_right_credentials_are_taken(self, locked_bus: str):
        url = f"nats://ops:right@{locked_bus}"
        mesh = Mesh(BusSource(BusAddress(url=url)), _unused, _unused, _unused_twice)
        async with mesh.listening():
            assert mesh.is_connected()

    async def test_what_cannot_be_read_is_counted(self, mesh: Mesh, client: Client):
        async with mesh.listening() as heard:
            await client.publish("status.t.sms.delivered.x", b"{}")
            await client.publish("mesh.state.gateway.x", b'{"type":"service.state.v9"}')
            await until(lambda: [e for e in heard if isinstance(e, EventsDropped)])

        dropped = [e for e in heard if isinstance(e, EventsDropped)]
        assert sum(e.unreadable for e in dropped) == 2


@pytest_asyncio.fixture
async def locked_bus(tmp_path: Path) -> AsyncIterator[str]:
    """Host and port of a bus with two users: ops, and deaf, who may not hear the feed."""
    port, monitoring_port = ports.choose(2)
    config = tmp_path / "locked.conf"
    config.write_text(
        f"""
        listen: "{ports.HOST}:{port}"
        http: "{ports.HOST}:{monitoring_port}"
        jetstream {{ store_dir: "{tmp_path / "store"}" }}
        authorization {{ users: [
            {{ user: ops, password: right }}
            {{ user: deaf, password: deaf, permissions: {{ subscribe: {{ deny: ["status.>"] }} }} }}
        ] }}
        """
    )
    spec = Spec(
        name="nats",
        argv=(str(wheels.NATS.locate()), "--config", str(config)),
        ready=probes.http(f"http://{ports.HOST}:{monitoring_port}/healthz"),
    )
    with folders.opened(tmp_path / "locked") as folder:
        server = folder.child(spec)
        await server.start()
        yield f"{ports.HOST}:{port}"
        await server.stop()


def _soon(_attempt: int) -> float:
    return 0.05


async def _unused(_value: object) -> None:
    raise AssertionError


async def _unused_twice(_name: str, _value: object) -> None:
    raise AssertionError


async def test_a_model_on_a_bus_counts_what_it_missed(
    mesh: Mesh, nats_server: Nats, client: Client
):
    model = Model()

    def hear(event: AnyEvent) -> None:
        mesh.heard.append(event)
        model.apply(event, time.time())

    await ensure(client.jetstream())
    task = asyncio.create_task(mesh.source.run(hear))
    await until(lambda: backlogs(mesh.heard))
    await nats_server.server.crash()
    await until(lambda: mesh.link()[-1].condition is LinkCondition.RETRYING)
    await nats_server.server.start()
    await until(mesh.is_connected)
    await until(lambda: model.notices)
    task.cancel()

    assert model.notices[0].endswith(", 0 events missed")


@pytest.mark.parametrize("attempt", [1, 2, 5, 100, 10**6])
def test_pauses_grow_and_are_capped(attempt: int):
    assert 0 < pause_seconds(attempt) <= LONGEST_PAUSE_SECONDS


async def test_a_state_that_is_sent_is_the_state_that_is_heard(mesh: Mesh):
    async with mesh.listening():
        await mesh.say_state(state(NOON))
        await until(mesh.states)
