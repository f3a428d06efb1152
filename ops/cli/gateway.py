"""`tocsin gateway`."""

import click

from ops.cli.services import become, setting, shared_settings


@click.command("gateway")
@setting(
    "--host", "TOCSIN_GATEWAY_HOST", "ADDRESS", "Address to listen on.", "127.0.0.1"
)
@setting(
    "--port",
    "TOCSIN_GATEWAY_PORT",
    "N",
    "Port to listen on; 0 takes any free one and logs it.",
    8080,
    click.IntRange(0, 65535),
)
@setting(
    "--require-keys",
    "TOCSIN_GATEWAY_REQUIRE_KEYS",
    "BOOLEAN",
    "Ask for an API key (tocsin keys create). May be false on loopback only; everyone"
    " is then admin of the tenant 'default'.",
    "false",
    click.BOOL,
)
@setting(
    "--idempotency-hours",
    "TOCSIN_GATEWAY_IDEMPOTENCY_HOURS",
    "HOURS",
    "How long an Idempotency-Key is remembered.",
    24.0,
    click.FloatRange(0, 720, min_open=True),
)
@setting(
    "--intake-capacity",
    "TOCSIN_GATEWAY_INTAKE_CAPACITY",
    "N",
    "Notifications that may wait to be committed; past that, clients get 503.",
    20_000,
    click.IntRange(min=1000),
)
@setting(
    "--rate-limit",
    "TOCSIN_GATEWAY_RATE_LIMIT",
    "N",
    "Requests a minute for each key, or each address where keys are off; a batch counts"
    " its members. 0 means no limit.",
    6000,
    click.IntRange(min=0),
)
@shared_settings
@click.pass_context
def command(ctx: click.Context, /, **_settings: object) -> None:
    """Run a gateway: the HTTP door of the mesh.

    Accepts notifications over HTTP, commits them to the ledger in groups, answers 202,
    and publishes them on the bus. Run as many as you like behind one address. The
    ledger and the bus must have been prepared once with `tocsin migrate`.

    \b
    Try it:
      curl -i http://127.0.0.1:8080/api/v1/notifications \\
        -H 'Content-Type: application/json' \\
        -d '{"channel":"sms","recipient":"+15555550001","content":"hello"}'
      curl http://127.0.0.1:8080/healthz/ready   200 when it can work
      curl http://127.0.0.1:8080/metrics         for Prometheus

    SIGTERM drains: open requests are answered, what was accepted is published. Every
    option has an environment variable; further settings are environment variables only.

    Exit codes: 0 told to stop, 1 failed, 2 wrong usage or a setting is wrong (named on
    stderr).
    """  # noqa: D301 (click reads the backspace)
    become(ctx, "gateway")
