"""`tocsin console`."""

import click

from ops.cli.services import become


@click.command(
    "console",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Open the operator console.

    Its arguments are the console's own: see `tocsin console --help`.
    """
    become(ctx, "console", ctx.args)
