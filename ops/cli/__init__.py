"""The `tocsin` command: a subcommand is `command` in the module of its name, imported when used."""

from importlib import import_module

import click

from ops.runtime.version import version

#: Every subcommand with its line of help, in the order a newcomer needs them.
COMMANDS = {
    "up": "Run the whole mesh on this machine until Ctrl-C.",
    "send": "Send one notification, or a file of them.",
    "trace": "Show what happened to a notification, with its waits.",
    "console": "Open the operator console.",
    "ops": "Look at the mesh, pause and resume lanes, order breakers, set limits.",
    "dlq": "List, replay, discard and export dead letters.",
    "privacy": "Erase a recipient on request.",
    "keys": "Create, list and revoke API keys.",
    "migrate": "Bring the ledger and the bus to what this version needs.",
    "gateway": "Run a gateway: the HTTP door of the mesh.",
    "dispatcher": "Run a dispatcher: sends what waits on the bus.",
    "scheduler": "Run a scheduler: releases what is due and mends what was lost.",
    "sandbox": "Run the sandbox provider.",
    "version": "Show the version.",
}


class LazyGroup(click.Group):
    """Lists subcommands without importing them, so that help and errors are instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ops.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=version(), prog_name="tocsin")
def main() -> None:
    """Tocsin, an event-driven notification mesh: HTTP in, NATS JetStream through, providers out."""
