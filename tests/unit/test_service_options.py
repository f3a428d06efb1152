"""What the commands tell of settings is what the services have."""

import re

import click
import pytest
from click.testing import CliRunner
from pydantic_core import PydanticUndefined

from contracts.settings import MeshSettings
from dispatcher.settings import DispatcherSettings
from gateway.settings import GatewaySettings
from ops.cli import main
from scheduler.settings import SchedulerSettings

SETTINGS: dict[str, type[MeshSettings]] = {
    "gateway": GatewaySettings,
    "dispatcher": DispatcherSettings,
    "scheduler": SchedulerSettings,
}


def options(name: str) -> list[click.Option]:
    command = main.get_command(main.make_context("tocsin", [name]), name)
    assert command is not None
    return [option for option in command.params if isinstance(option, click.Option)]


def field_of(option: click.Option) -> str:
    assert isinstance(option.envvar, str)
    return option.envvar.removeprefix("TOCSIN_").lower()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_option_is_a_setting_of_its_service(name: str) -> None:
    fields = set(SETTINGS[name].model_fields)

    assert {field_of(option) for option in options(name)} <= fields


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_that_is_told_is_the_setting_s(name: str) -> None:
    for option in options(name):
        default = SETTINGS[name].model_fields[field_of(option)].default
        told = re.search(r"\[default: (.+?)\]", option.help or "")
        if default is PydanticUndefined or default is None:
            assert told is None or "made from" in told[1], option.name
        else:
            assert told is not None, option.name
            expected = (
                str(default).lower() if isinstance(default, bool) else str(default)
            )
            assert told[1] in {expected, "the bundled dispatcher/retries.toml"}


@pytest.mark.parametrize("name", SETTINGS)
def test_help_is_enough_to_start_the_service(name: str) -> None:
    page = CliRunner().invoke(main, [name, "--help"], terminal_width=200).output

    for needed in ("TOCSIN_POSTGRES_DSN", "TOCSIN_NATS_URL", "TOCSIN_REDIS_URL"):
        assert needed in page
    assert "/healthz/ready" in page
    assert "Exit codes: 0 told to stop, 1 failed, 2 wrong usage" in page
