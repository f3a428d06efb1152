"""`tocsin privacy`: what a person may ask of us."""

from typing import Any

import click

from ops.cli.gateways import Where, gateway_options, run
from ops.cli.operations import check_meant, operate, operation_options
from ops.letters import ERASURES


@click.group("privacy")
def command() -> None:
    """Erase a recipient on request. It needs a key with the role admin.

    Exit codes: 0 done, 1 refused or stopped by somebody, 2 wrong usage, 3 no gateway
    answers, 130 stopped by Ctrl-C.
    """


@command.command("erase")
@click.option(
    "--recipient",
    envvar="TOCSIN_PRIVACY_RECIPIENT",
    show_envvar=True,
    required=True,
    metavar="RECIPIENT",
    help="Exactly as it was given. Prefer the variable: arguments can be seen by others"
    " on this machine.",
)
@operation_options("TOCSIN_PRIVACY")
@gateway_options
def erase(
    *,
    recipient: str,
    why: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    gateway_url: str,
    api_key: str | None,
) -> None:
    """Take one recipient out of the ledger, for good.

    Notifications that are not sent yet are cancelled; of all of them only what names
    nobody stays, with their trace. Answers kept for idempotency keys and dead letters
    are cleaned too. Who asked for it, when and why is kept.
    """
    check_meant(why=why, dry_run=dry_run, yes=yes)
    body: dict[str, Any] = {"recipient": recipient, "reason": why or ""}
    run(
        operate(
            Where(url=gateway_url, api_key=api_key),
            ERASURES,
            ERASURES,
            body,
            "erase",
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
    )
