"""`tocsin sandbox`."""

import click
from pydantic import ValidationError

from ops.runtime.service import describe
from ops.sandbox.server import run
from ops.sandbox.settings import SandboxSettings

_DEFAULTS = SandboxSettings.model_fields


@click.command("sandbox")
@click.option(
    "--host",
    envvar="TOCSIN_SANDBOX_HOST",
    show_envvar=True,
    default=_DEFAULTS["host"].default,
    show_default=True,
    help="Address to listen on.",
)
@click.option(
    "--port",
    envvar="TOCSIN_SANDBOX_PORT",
    show_envvar=True,
    type=click.IntRange(0, 65535),
    default=_DEFAULTS["port"].default,
    show_default=True,
    help="Port to listen on; 0 takes any free one and prints it.",
)
@click.option(
    "--keep",
    envvar="TOCSIN_SANDBOX_KEEP",
    show_envvar=True,
    type=click.IntRange(min=1),
    default=_DEFAULTS["keep"].default,
    show_default=True,
    help="Messages kept in memory; the oldest are dropped first.",
)
@click.option(
    "--seed",
    envvar="TOCSIN_SANDBOX_SEED",
    show_envvar=True,
    type=int,
    default=None,
    help="Repeat the same random choice of affected requests on every run.",
)
def command(host: str, port: int, keep: int, seed: int | None) -> None:
    """Run the sandbox provider: an HTTP service that takes every message.

    It speaks the webhook contract on POST /send, shows what it received on its inbox
    page, and fails on demand, by recipient or by its behaviour switch. With
    TOCSIN_SANDBOX_RECEIPTS_URL and …_SECRET it also sends receipts, when asked to.
    """
    try:
        settings = SandboxSettings(host=host, port=port, keep=keep, seed=seed)
    except ValidationError as error:
        raise click.ClickException(describe(error, "TOCSIN_SANDBOX_")) from None
    try:
        run(settings)
    except OSError as error:
        raise click.ClickException(
            f"the sandbox cannot listen on {host}:{port}: {error.strerror or error}"
        ) from error
