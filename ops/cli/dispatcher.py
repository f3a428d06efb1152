"""`tocsin dispatcher`."""

from pathlib import Path

import click

from ops.cli.services import become, setting, shared_settings


@click.command("dispatcher")
@setting(
    "--provider",
    "TOCSIN_DISPATCHER_PROVIDER",
    "NAME",
    "The provider that all channels go through: webhook, smtp, twilio, fcm, apprise, …",
    "webhook",
)
@setting(
    "--webhook-url",
    "TOCSIN_WEBHOOK_URL",
    "URL",
    "Where the webhook provider posts every notification. Needed for it.",
)
@setting(
    "--webhook-allow-private",
    "TOCSIN_WEBHOOK_ALLOW_PRIVATE",
    "BOOLEAN",
    "Let the webhook call addresses that are not public: loopback, private networks.",
    "false",
    click.BOOL,
)
@setting(
    "--webhook-timeout-seconds",
    "TOCSIN_WEBHOOK_TIMEOUT_SECONDS",
    "SECONDS",
    "After this an attempt counts as failed.",
    5.0,
    click.FloatRange(0, 60, min_open=True),
)
@setting(
    "--channel-rate",
    "TOCSIN_DISPATCHER_CHANNEL_RATE",
    "N",
    "Messages a second per channel, all dispatchers together; 0 is unlimited.",
    100.0,
    click.FloatRange(0, 1_000_000),
)
@setting(
    "--concurrency",
    "TOCSIN_DISPATCHER_CONCURRENCY",
    "N",
    "Sends in flight per channel in this process.",
    200,
    click.IntRange(4, 10_000),
)
@setting(
    "--cpu-beside-high",
    "TOCSIN_DISPATCHER_CPU_BESIDE_HIGH",
    "SHARE",
    "Share of a processor at which others wait while high notifications come.",
    0.3,
    click.FloatRange(0, 1, min_open=True),
)
@setting(
    "--lease-seconds",
    "TOCSIN_DISPATCHER_LEASE_SECONDS",
    "SECONDS",
    "How long a dispatcher that died keeps what it held; renewed while it lives.",
    15.0,
    click.FloatRange(1, 15),
)
@setting(
    "--retries-file",
    "TOCSIN_DISPATCHER_RETRIES_FILE",
    "PATH",
    "When to try again, per channel.  [default: the bundled dispatcher/retries.toml]",
    type_=click.Path(dir_okay=False, path_type=Path),
)
@setting(
    "--metrics-host",
    "TOCSIN_DISPATCHER_METRICS_HOST",
    "ADDRESS",
    "Where health and metrics listen.",
    "127.0.0.1",
)
@setting(
    "--metrics-port",
    "TOCSIN_DISPATCHER_METRICS_PORT",
    "N",
    "Their port; 0 takes any free one.",
    9102,
    click.IntRange(0, 65535),
)
@shared_settings
@click.pass_context
def command(ctx: click.Context, /, **_settings: object) -> None:
    """Run a dispatcher: sends what waits on the bus.

    Pulls notifications from the lanes, high priority first, no faster than the rate
    allows; claims them in the ledger; sends them through the provider; records what
    came of it. Run as many as you like: a notification is sent by the one that holds
    its lease.

    \b
    Try it against a sandbox provider:
      tocsin sandbox --port 9000 &
      tocsin dispatcher --webhook-url http://127.0.0.1:9000/send --webhook-allow-private true
      curl http://127.0.0.1:9102/healthz/ready   200 when it can work

    The secret that signs requests is read from TOCSIN_WEBHOOK_SECRET; other providers
    read TOCSIN_SMTP_…, TOCSIN_TWILIO_…, TOCSIN_FCM_… and TOCSIN_APPRISE_…, as told in
    docs/providers.md. SIGTERM drains: sends in flight finish and are recorded, the rest
    goes back. Every option has an environment variable; further settings are environment
    variables only.

    Exit codes: 0 told to stop, 1 failed, 2 wrong usage or a setting is wrong (named on
    stderr).
    """  # noqa: D301 (click reads the backspace)
    become(ctx, "dispatcher")
