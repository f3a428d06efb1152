"""What the commands tell of settings is what the services have."""

import re

import click
import pytest
from click.testing import CliRunner
from pydantic_core import PydanticUndefined

from contracts.settings import MeshSettings
from dispatcher.providers.webhook import WebhookSettings
from dispatcher.settings import DispatcherSettings
from gateway.settings import GatewaySettings
from ops.cli import main
from scheduler.settings import SchedulerSettings

SETTINGS: dict[str, type[MeshSettings]] = {
    "gateway": GatewaySettings,
    "dispatcher": DispatcherSettings,
    "scheduler": SchedulerSettings,
}
#: Of providers, only the one that is there by default has options.
FIELDS = {
    name: {f"TOCSIN_{field}".upper(): info for field, info in kind.model_fields.items()}
    for name, kind in SETTINGS.items()
}
FIELDS["dispatcher"] |= {
    f"TOCSIN_WEBHOOK_{field}".upper(): info
    for field, info in WebhookSettings.model_fields.items()
}


def options(name: str) -> list[click.Option]:
    command = main.get_command(main.make_context("tocsin", [name]), name)
    assert command is not None
    return [option for option in command.params if isinstance(option, click.Option)]


def variable_of(option: click.Option) -> str:
    assert isinstance(option.envvar, str)
    return option.envvar


@pytest.mark.parametrize("name", SETTINGS)
def test_every_option_is_a_setting_of_its_service(name: str) -> None:
    assert {variable_of(option) for option in options(name)} <= FIELDS[name].keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_that_is_told_is_the_setting_s(name: str) -> None:
    for option in options(name):
        default = FIELDS[name][variable_of(option)].default
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
