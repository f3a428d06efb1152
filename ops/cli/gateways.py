"""Which gateway a command speaks to, and how what goes wrong there becomes an exit code."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from ops import client
from ops.client import GatewayError, Unreachable

_DEFAULT = "http://127.0.0.1:8080"

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which gateway, and with what key."""

    url: str
    api_key: str | None


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to keep trying a request, and to wait for results (None: not at all)."""

    request_seconds: float
    result_seconds: float | None


class Failed(click.ClickException):
    """Ends the command with one sentence and the exit code 1."""


class Unanswered(Failed):
    """No gateway answers."""

    exit_code = 3


class Stopped(Failed):
    """It was told to stop."""

    exit_code = 130


def gateway_options(command: _Command) -> _Command:
    """Add where the gateway is and the key to speak to it."""
    url = click.option(
        "--gateway-url",
        envvar="TOCSIN_GATEWAY_URL",
        show_envvar=True,
        metavar="URL",
        callback=lambda _ctx, _param, url: _address(url),
        help="The gateway.  [default: the one of the `tocsin up` that runs here, else"
        f" {_DEFAULT}]",
    )
    key = click.option(
        "--api-key",
        envvar="TOCSIN_API_KEY",
        show_envvar=True,
        metavar="KEY",
        help="The key to speak to it, where it asks for one. Prefer the variable:"
        " arguments can be seen by others on this machine.",
    )
    return url(key(command))


def _address(url: str | None) -> str:
    if url is None:
        return running("gateway") or _DEFAULT
    if not client.is_address(url):
        raise click.BadParameter("an address is written like http://127.0.0.1:8080")
    return url


def running(name: str) -> str | None:
    """Return an address of the mesh that `tocsin up` runs from this folder, if one does."""
    folder = Path(os.environ.get("TOCSIN_UP_DATA", ".tocsin"))
    path = Path(os.environ.get("TOCSIN_UP_READY_FILE", folder / "ready.json"))
    try:
        ready = json.loads(path.read_bytes())
        pids = ready["pids"].values()
        address = str(ready[name])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return address if any(_alive(pid) for pid in pids) else None


def _alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run the command's work; being interrupted in it is an exit code of its own."""
    try:
        return asyncio.run(work)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        raise Stopped(
            "stopped at once; what was in flight may have been accepted"
        ) from error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """End the command with what the gateway said."""
    try:
        yield
    except GatewayError as error:
        fail(error)


def fail(error: GatewayError, message: str | None = None) -> NoReturn:
    """End the command for an error of the gateway."""
    kind = Unanswered if isinstance(error, Unreachable) else Failed
    raise kind(message or str(error)) from error
