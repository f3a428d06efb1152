import click
import pytest
from click.testing import CliRunner

from console.cli import main

COMMANDS = {"": main, **main.commands}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_variable_that_its_help_names(name: str) -> None:
    page = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=300)

    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert isinstance(parameter.envvar, str), parameter.name
            assert parameter.envvar.startswith("TOCSIN_")
            assert parameter.envvar in page.output
