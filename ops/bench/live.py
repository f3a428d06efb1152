"""Measures those who follow: what a WebSocket costs, and how fast changes reach all of them."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import msgspec

from contracts import messages, subjects
from contracts.channels import Channel, Priority
from contracts.keys import DEFAULT_TENANT
from contracts.lifecycle import Status
from contracts.messages import StatusChanged
from ops.bench.figures import Figure
from ops.bench.followers import Follower, Tally, open_followers
from ops.bench.stack import listener, processor_seconds
from ops.runtime.bus import Bus
from ops.runtime.publisher import announce

CONNECTIONS = 5_000
#: Each follows three notifications of its own and one that it shares with others.
OWN = 3
SHARED_BY = 50
SUBSCRIPTIONS = CONNECTIONS * (OWN + 1)

_OTHER_FILES = 500
_ROUNDS = 4
_EVENTS_AT_ONCE = 500
_FIRST_SEQUENCE = 3
_BATCH = 1000


def raise_file_limit() -> None:
    """Let this process, and those it starts, open as many files as they need."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CONNECTIONS + _OTHER_FILES:
        raise SystemExit(
            f"{CONNECTIONS:,} WebSockets need {CONNECTIONS + _OTHER_FILES:,} open files;"
            f" this account may open {hard:,} (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class LiveBench:
    """One measurement over one gateway."""

    def __init__(self, gateway: str, bus: Bus, item: dict[str, str]) -> None:
        self._gateway = gateway
        self._process = listener(gateway)
        self._bus = bus
        self._item = item
        self._tally = Tally()

    async def run(self) -> AsyncIterator[Figure]:
        """Measure connections, subscriptions, and both ways of telling."""
        ids = await self._create(CONNECTIONS * OWN + CONNECTIONS // SHARED_BY)
        own, shared = ids[: CONNECTIONS * OWN], ids[CONNECTIONS * OWN :]
        before = self._bytes
        begun = time.perf_counter()
        followers = await open_followers(self._gateway, CONNECTIONS, self._tally)
        yield Figure(
            name=f"{CONNECTIONS:,} WebSockets opened",
            rate=CONNECTIONS / (time.perf_counter() - begun),
            unit="conn/s",
            notes={"KiB each": (self._bytes - before) / CONNECTIONS / 1024},
        )
        try:
            yield await self._subscribe(followers, own, shared, before)
            yield await self._tell("one client an event", own, 1)
            yield await self._tell(f"{SHARED_BY} clients an event", shared, SHARED_BY)
        finally:
            for follower in followers:
                follower.close()

    async def _subscribe(
        self,
        followers: Sequence[Follower],
        own: Sequence[str],
        shared: Sequence[str],
        before: int,
    ) -> Figure:
        begun = time.perf_counter()
        for number, follower in enumerate(followers):
            follower.subscribe(
                [*own[number * OWN : (number + 1) * OWN], shared[number // SHARED_BY]]
            )
            await asyncio.sleep(0)
        await self._tally.reach(SUBSCRIPTIONS)
        return Figure(
            name=f"{SUBSCRIPTIONS:,} subscriptions with a snapshot each",
            rate=SUBSCRIPTIONS / (time.perf_counter() - begun),
            unit="sub/s",
            notes={
                "KiB a connection with its subscriptions": (self._bytes - before)
                / CONNECTIONS
                / 1024,
                "gateway MiB": self._bytes / (1 << 20),
            },
        )

    async def _tell(self, name: str, ids: Sequence[str], heard_by: int) -> Figure:
        """Publish changes of every notification, as fast as the frames of them come."""
        rounds = _ROUNDS if heard_by == 1 else _ROUNDS * 10
        already = self._tally.frames
        cpu = processor_seconds(self._process)
        begun = time.perf_counter()
        published = 0
        for sequence in range(_FIRST_SEQUENCE, _FIRST_SEQUENCE + rounds):
            for start in range(0, len(ids), _EVENTS_AT_ONCE):
                some = ids[start : start + _EVENTS_AT_ONCE]
                await announce(self._bus, [_event(UUID(i), sequence) for i in some])
                published += len(some)
                late = published - 2 * _EVENTS_AT_ONCE
                await self._tally.reach(already + max(late, 0) * heard_by)
        await self._tally.reach(already + published * heard_by)
        took = time.perf_counter() - begun
        frames = published * heard_by
        spent = processor_seconds(self._process) - cpu
        return Figure(
            name=f"frames, {name}",
            rate=frames / took,
            unit="frames/s",
            notes={"µs of the gateway a frame": spent / frames * 1e6},
        )

    @property
    def _bytes(self) -> int:
        memory: int = self._process.memory_info().rss
        return memory

    async def _create(self, count: int) -> list[str]:
        """Accept so many notifications and return their ids."""
        url = f"{self._gateway}/api/v1/notifications/batch"
        ids: list[str] = []
        async with aiohttp.ClientSession() as http:
            while len(ids) < count:
                size = min(_BATCH, count - len(ids))
                body = {"notifications": [self._item] * size}
                async with http.post(url, json=body) as accepted:
                    batch = await accepted.json()
                async with http.get(f"{url}/{batch['id']}") as shown:
                    document = msgspec.json.decode(await shown.read())
                ids += [member["id"] for member in document["notifications"]]
        return ids


def _event(id_: UUID, sequence: int) -> tuple[str, bytes]:
    status = Status.RETRYING if sequence % 2 == 0 else Status.PROCESSING
    event = StatusChanged(
        notification_id=id_,
        tenant=DEFAULT_TENANT,
        channel=Channel.SMS,
        priority=Priority.NORMAL,
        status=status,
        attempts=sequence // 2,
        sequence=sequence,
        at=datetime.now(UTC),
        correlation_id=str(id_),
    )
    subject = subjects.status(DEFAULT_TENANT, Channel.SMS, status, id_)
    return subject, messages.encode(event)
