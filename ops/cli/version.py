"""`tocsin version`."""

import click

from ops.runtime.version import version


@click.command("version")
def command() -> None:
    """Show the version."""
    click.echo(version())
