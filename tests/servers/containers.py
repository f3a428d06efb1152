"""Servers in containers, from the official images, where an engine runs."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import docker.errors
import pytest
from testcontainers.core.container import DockerContainer

from ops.embedded import ports, probes
from ops.embedded.probes import Probe
from tests.servers import Nats, Server, Source, Stack
from tests.waiting import until

_READY_WITHIN_SECONDS = 60.0


class Container:
    """One container with fixed ports on the host, so that a restart keeps them."""

    def __init__(self, container: DockerContainer, ready: Probe) -> None:
        self._container = container
        self._ready = ready

    async def create(self) -> None:
        """Pull, create and start it."""
        await asyncio.to_thread(self._container.start)
        await until(self._answers, _READY_WITHIN_SECONDS)

    async def start(self) -> None:
        await asyncio.to_thread(self._engine().start)
        await until(self._answers, _READY_WITHIN_SECONDS)

    async def stop(self) -> None:
        await asyncio.to_thread(self._engine().stop)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def crash(self) -> None:
        await asyncio.to_thread(self._engine().kill)
        await asyncio.to_thread(self._engine().wait)

    def pause(self) -> None:
        self._engine().pause()

    def resume(self) -> None:
        self._engine().unpause()

    async def remove(self) -> None:
        await asyncio.to_thread(self._container.stop)

    def _engine(self) -> Any:
        return self._container.get_wrapped_container()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(2):
                return await self._ready()
        except (OSError, TimeoutError):
            return False


@asynccontextmanager
async def _running(
    image: str, command: list[str], bound: dict[int, int], ready: Probe, **env: str
) -> AsyncIterator[Container]:
    """Run an image; ``bound`` maps the container's ports to the host's."""
    try:
        plan = DockerContainer(image).with_command(command).with_envs(**env)
    except docker.errors.DockerException as error:
        pytest.exit(
            "TOCSIN_TEST_SERVERS=containers needs a container engine, and none answers "
            f"({error}); start one, or unset the variable to use servers from wheels",
            returncode=1,
        )
    for inside, outside in bound.items():
        plan = plan.with_bind_ports(inside, outside)
    container = Container(plan, ready)
    try:
        await container.create()
        yield container
    finally:
        await container.remove()


@dataclass(frozen=True, kw_only=True)
class _Stack:
    postgres_dsn: str
    nats_url: str
    nats_monitoring_url: str
    redis_url: str
    postgres: Server
    nats: Server
    redis: Server


@asynccontextmanager
async def _stack(data: Path) -> AsyncIterator[Stack]:
    postgres_port, redis_port = ports.choose(2)
    password = secrets.token_hex(16)
    dsn = f"postgresql://tocsin:{password}@{ports.HOST}:{postgres_port}/tocsin"
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(_nats(data))
        postgres = await stack.enter_async_context(
            _running(
                "postgres:18",
                ["-c", "fsync=off", "-c", "max_connections=200", "-c", "timezone=UTC"],
                {5432: postgres_port},
                _takes_connections(dsn),
                POSTGRES_USER="tocsin",
                POSTGRES_DB="tocsin",
                POSTGRES_PASSWORD=password,
            )
        )
        redis = await stack.enter_async_context(
            _running(
                "valkey/valkey:9",
                ["valkey-server", "--save", "", "--appendonly", "no"],
                {6379: redis_port},
                probes.valkey(redis_port),
            )
        )
        yield _Stack(
            postgres_dsn=dsn,
            nats_url=nats.url,
            nats_monitoring_url=nats.monitoring_url,
            redis_url=f"redis://{ports.HOST}:{redis_port}/0",
            postgres=postgres,
            nats=nats.server,
            redis=redis,
        )


@asynccontextmanager
async def _nats(_data: Path) -> AsyncIterator[Nats]:
    port, monitoring_port = ports.choose(2)
    monitoring_url = f"http://{ports.HOST}:{monitoring_port}"
    async with _running(
        "nats:2.15-alpine",
        ["--jetstream", "--store_dir", "/data", "--http_port", "8222"],
        {4222: port, 8222: monitoring_port},
        probes.http(f"{monitoring_url}/healthz"),
    ) as server:
        yield Nats(
            url=f"nats://{ports.HOST}:{port}",
            monitoring_url=monitoring_url,
            server=server,
        )


def _takes_connections(dsn: str) -> Probe:
    async def ask() -> bool:
        try:
            connection = await asyncpg.connect(dsn)
        except asyncpg.PostgresError:  # starting up
            return False
        await connection.close()
        return True

    return ask


SOURCE = Source(stack=_stack, nats=_nats)
