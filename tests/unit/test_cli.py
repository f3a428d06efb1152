import subprocess
import sys

import pytest
from click.testing import CliRunner

from ops.cli import COMMANDS, main


def test_every_option_names_its_environment_variable() -> None:
    page = CliRunner().invoke(main, ["up", "--help"], terminal_width=200).output

    for option in (
        *("DATA", "EPHEMERAL", "PORT", "READY_FILE"),
        *("DISPATCHERS", "GATEWAYS", "CHANNEL_RATE"),
    ):
        assert f"TOCSIN_UP_{option}" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_loads_and_agrees_with_the_list(name: str) -> None:
    command = main.get_command(main.make_context("tocsin", [name]), name)

    assert command
    assert command.help
    assert command.name == name
    assert COMMANDS[name].removesuffix(".") in command.help


def test_help_imports_no_subcommand() -> None:
    program = (
        "import sys; from ops.cli import main; main(['--help'], standalone_mode=False);"
        "sys.exit(any(m in sys.modules for m in ('asyncpg', 'asyncio', 'ops.cli.up')))"
    )

    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
