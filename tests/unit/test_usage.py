"""Wrong usage ends with exit code 2 before anything is opened."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from ops.cli import COMMANDS, main

ONE = ("send", "--channel", "sms", "--to", "+15555550001", "--content", "hello")
KEY = ("keys", "create", "--name", "x", "--postgres-dsn", "postgresql://nowhere")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command and subcommand that has options of its own."""
    context = main.make_context("tocsin", ["version"])
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for sub, subcommand in command.commands.items():
                yield f"{name} {sub}", subcommand


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("send",),
        ("send", "--to", "+15555550001"),
        ("send", "--file", "no-such-file.csv"),
        ("send", "--file", __file__, "--idempotency-key", "k"),
        (*ONE, "--file", __file__),
        (*ONE, "--metadata", "[1]"),
        (*ONE, "--metadata", "{"),
        (*ONE, "--scheduled-at", "tomorrow"),
        (*ONE, "--scheduled-at", "2031-01-01T09:00:00"),
        (*ONE, "--priority", "urgent"),
        (*ONE, "--dry-run"),
        (*ONE, "--label", "again"),
        (*ONE, "--gateway-url", "127.0.0.1:8080"),
        ("trace",),
        ("trace", "4711"),
        ("keys", "revoke", "4711", "--postgres-dsn", "postgresql://nowhere"),
        ("keys", "create", "--postgres-dsn", "postgresql://nowhere"),
        (*KEY, "--expires", "soon"),
        (*KEY, "--expires", "2001-01-01T00:00:00Z"),
        (*KEY, "--expires", "0d"),
        (*KEY, "--expires", "2041-01-31T00:00:00"),
        (*KEY, "--role", "king"),
        (*KEY, "--tenant", "a.b"),
        (*KEY, "--tenant", "*"),
        (*KEY, "--tenant", ""),
        ("dlq", "replay", "--yes", "--reason", "why"),
        ("dlq", "replay", "--all", "--channel", "sms", "--yes", "--reason", "why"),
        ("dlq", "replay", "--all", "--yes"),
        ("dlq", "replay", "--all", "--reason", "why"),
        ("dlq", "replay", "4711", "--yes", "--reason", "why"),
        ("dlq", "replay", "--all", "--dry-run", "--rate", "0"),
        ("dlq", "discard", "--since", "yesterday", "--dry-run"),
        ("dlq", "export", "--class", "sudden"),
        ("privacy", "erase", "--yes", "--reason", "why"),
        ("privacy", "erase", "--recipient", "x", "--yes"),
        ("migrate",),
        ("up", "--nats-nodes", "2"),
        ("up", "--nats-nodes", "0"),
        ("gateway", "--port", "70000"),
        ("gateway", "--log-level", "chatty"),
        ("dispatcher", "--concurrency", "0"),
        ("scheduler", "--partition-weeks", "1"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


@pytest.mark.parametrize(("name", "command"), commands())
def test_every_option_has_a_variable_that_its_help_names(
    name: str, command: click.Command
) -> None:
    page = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=300)

    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert isinstance(parameter.envvar, str), parameter.name
            assert parameter.envvar.startswith("TOCSIN_")
            assert parameter.envvar in page.output


@pytest.mark.parametrize(
    "name",
    [
        "send",
        "trace",
        "dlq",
        "privacy",
        "keys",
        "migrate",
        "gateway",
        "dispatcher",
        "scheduler",
    ],
)
def test_help_tells_the_exit_codes(name: str) -> None:
    assert "Exit codes: 0" in CliRunner().invoke(main, [name, "--help"]).output
