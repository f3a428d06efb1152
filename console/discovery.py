"""Finds the mesh to watch: the address that was given, or that of a mesh running here."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from pydantic import TypeAdapter, ValidationError

from console.place import Place
from console.source.bus import BusAddress
from contracts.settings import NatsUrl, nats_servers
from ops import client

READY_FILE = Path(".tocsin") / "ready.json"
HERE = "here"

_NATS_URL: TypeAdapter[NatsUrl] = TypeAdapter(NatsUrl)


class NoMesh(Exception):
    """There is no address to go to; the message says what to do."""


class _Ready(msgspec.Struct):
    """What `tocsin up` writes about the mesh it runs."""

    nats: str
    gateway: str = ""
    pids: dict[str, int] = {}


def find(
    url: str | None, creds: Path | None, environment: str | None, folder: Path
) -> tuple[BusAddress, Place]:
    """Return where the bus is and what to call the mesh; raises NoMesh."""
    if url is not None:
        _check(url)
        address = BusAddress(url=url, creds=creds)
        return address, Place(name=environment or _host(url))
    ready = _read(folder / READY_FILE)
    if ready is None:
        raise NoMesh(
            "no mesh to watch: start one in this folder with `tocsin up`, or say where"
            " its bus is with --nats-url or TOCSIN_NATS_URL"
        )
    if ready.pids and not any(_alive(pid) for pid in ready.pids.values()):
        raise NoMesh(
            f"the mesh that wrote {READY_FILE} is not running any more: start it again"
            " with `tocsin up`, or give --nats-url or TOCSIN_NATS_URL"
        )
    return BusAddress(url=ready.nats, creds=creds), Place(name=environment or HERE)


def find_gateway(url: str | None, nats_url: str | None, folder: Path) -> str | None:
    """Return where the gateway of the mesh is, None when nobody has said; raises NoMesh.

    One that runs here is not taken for the gateway of a mesh whose bus was named: what is
    watched and what is changed must be the same.
    """
    if url is not None:
        if not client.is_address(url):
            raise NoMesh(
                "that is no address of a gateway; one looks like http://127.0.0.1:8080"
            )
        return url
    if nats_url is not None:
        return None
    ready = _read(folder / READY_FILE)
    return None if ready is None else ready.gateway or None


def _read(path: Path) -> _Ready | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NoMesh(f"{path} cannot be read: {error.strerror}") from None
    try:
        return msgspec.json.decode(content, type=_Ready)
    except msgspec.MsgspecError as error:
        raise NoMesh(f"{path} is not what `tocsin up` writes: {error}") from None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check(url: str) -> None:
    for server in nats_servers(url):
        try:
            _NATS_URL.validate_python(server)
        except ValidationError:
            raise NoMesh(
                "that is no address of a bus; one looks like nats://127.0.0.1:4222"
            ) from None


def _host(url: str) -> str:
    """Return the host of the first server, without user or password."""
    first = nats_servers(url)[0]
    return urlsplit(first).hostname or "unnamed"
