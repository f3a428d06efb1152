"""The real servers that tests run on: from wheels, or in containers where that is asked for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Server(Protocol):
    """One server. It keeps its port and its data through everything here."""

    async def start(self) -> None:
        """Start it and return when it is ready."""

    async def stop(self) -> object:
        """Ask it to stop and wait for the end."""

    async def restart(self) -> None:
        """Stop it and start it."""

    async def crash(self) -> None:
        """Kill it without warning and wait for the end."""

    def pause(self) -> None:
        """Freeze it: sockets stay open, nothing answers."""

    def resume(self) -> None:
        """Let it go on after a pause."""


@contextmanager
def paused(server: Server) -> Iterator[None]:
    """Freeze a server for a while."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


class Stack(Protocol):
    """All three servers."""

    @property
    def postgres_dsn(self) -> str: ...
    @property
    def nats_url(self) -> str: ...
    @property
    def nats_monitoring_url(self) -> str: ...
    @property
    def redis_url(self) -> str: ...
    @property
    def postgres(self) -> Server: ...
    @property
    def nats(self) -> Server: ...
    @property
    def redis(self) -> Server: ...


@dataclass(frozen=True, kw_only=True)
class Nats:
    """A bus of a test's own, to crash and restart as it likes."""

    url: str
    monitoring_url: str
    server: Server


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where servers come from. Data lies in the given folder or in the container."""

    stack: Callable[[Path], AbstractAsyncContextManager[Stack]]
    nats: Callable[[Path], AbstractAsyncContextManager[Nats]]
