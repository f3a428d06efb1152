"""`tocsin scheduler`."""

import click

from ops.cli.services import become, setting, shared_settings


@click.command("scheduler")
@setting(
    "--release-page",
    "TOCSIN_SCHEDULER_RELEASE_PAGE",
    "N",
    "Notifications released by one statement and published as one group.",
    500,
    click.IntRange(1, 1000),
)
@setting(
    "--outbox-late-seconds",
    "TOCSIN_SCHEDULER_OUTBOX_LATE_SECONDS",
    "SECONDS",
    "A group that the bus has not confirmed for longer than this is published again.",
    5.0,
    click.FloatRange(0, min_open=True),
)
@setting(
    "--reconcile-seconds",
    "TOCSIN_SCHEDULER_RECONCILE_SECONDS",
    "SECONDS",
    "Pause between two comparisons of the ledger with the bus.",
    15.0,
    click.FloatRange(0, min_open=True),
)
@setting(
    "--partition-weeks",
    "TOCSIN_SCHEDULER_PARTITION_WEEKS",
    "N",
    "Weekly partitions of the ledger kept ready, this week's included.",
    6,
    click.IntRange(2, 104),
)
@setting(
    "--retention-days",
    "TOCSIN_RETENTION_DAYS",
    "N",
    "Weeks of the ledger older than this are dropped.",
    90,
    click.IntRange(1, 36_500),
)
@setting(
    "--redact-after-days",
    "TOCSIN_REDACT_AFTER_DAYS",
    "N",
    "Recipient and content leave notifications older than this; the trace stays."
    " Absent, they stay as long as it does.",
    None,
    click.IntRange(1, 36_500),
)
@setting(
    "--metrics-host",
    "TOCSIN_SCHEDULER_METRICS_HOST",
    "ADDRESS",
    "Where health and metrics listen.",
    "127.0.0.1",
)
@setting(
    "--metrics-port",
    "TOCSIN_SCHEDULER_METRICS_PORT",
    "N",
    "Their port; 0 takes any free one.",
    9103,
    click.IntRange(0, 65535),
)
@shared_settings
@click.pass_context
def command(ctx: click.Context, /, **_settings: object) -> None:
    """Run a scheduler: releases what is due and mends what was lost.

    Puts scheduled notifications and late retries on the bus when their time comes,
    publishes what a gateway could not confirm, puts back what the bus has lost, writes
    dead letters, replays them when asked to, makes the ledger's partitions ahead and
    drops the old ones. Run one, or several for
    safety: each job is done by one of them.

    \b
    Look at it:
      curl http://127.0.0.1:9103/healthz/ready   200 when it can work
      curl http://127.0.0.1:9103/metrics         for Prometheus

    Every option has an environment variable; further settings are environment
    variables only.

    Exit codes: 0 told to stop, 1 failed, 2 wrong usage or a setting is wrong (named on
    stderr).
    """  # noqa: D301 (click reads the backspace)
    become(ctx, "scheduler")
