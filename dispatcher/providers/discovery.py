"""Finds providers by name: entry points of the group ``tocsin.providers``."""

import importlib
from importlib.metadata import entry_points
from typing import Any, cast

from pydantic import ValidationError

from dispatcher.errors import (
    ProviderMisconfigured,
    ProviderUnavailable,
    ProviderUnknown,
)
from dispatcher.providers.port import ProviderSettings, ProviderType
from ops.runtime.service import describe

GROUP = "tocsin.providers"

#: Known without an installed distribution too, so that a bare tree runs.
BUNDLED = {
    "webhook": "dispatcher.providers.webhook:WebhookProvider",
    "smtp": "dispatcher.providers.smtp:SmtpProvider",
    "twilio": "dispatcher.providers.twilio:TwilioProvider",
    "fcm": "dispatcher.providers.fcm:FcmProvider",
    "apprise": "dispatcher.providers.apprise:AppriseProvider",
    "noop": "dispatcher.providers.noop:NoopProvider",
}


def find(name: str) -> ProviderType:
    """Return the class of a provider; an entry point wins over a bundled one of its name.

    Raises ``ProviderUnknown``, or ``ProviderUnavailable`` when it stands on a library that
    is not installed.
    """
    try:
        return cast("ProviderType", _load(name))
    except ModuleNotFoundError as error:
        remedy = f"pip install 'tocsin[{name}]'" if name in BUNDLED else "install it"
        raise ProviderUnavailable(
            f"the provider '{name}' needs the module {error.name}: {remedy}"
        ) from error


def _load(name: str) -> Any:
    for entry_point in entry_points(group=GROUP, name=name):
        return entry_point.load()
    if name not in BUNDLED:
        raise ProviderUnknown(
            f"no provider is called '{name}'; known: {', '.join(known())}"
        )
    module, _, attribute = BUNDLED[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def known() -> list[str]:
    """Return the names of all providers that could be opened."""
    return sorted({*BUNDLED, *(point.name for point in entry_points(group=GROUP))})


def settings_of(provider: ProviderType, prefix: str | None = None) -> ProviderSettings:
    """Read the provider's own settings from the environment, by default under its own prefix.

    Raises ``ProviderMisconfigured``, whose words name every variable that is wrong.
    """
    kind = provider.Settings
    own = kind.model_config.get("env_prefix", "")
    prefix = own if prefix is None else prefix
    try:
        return kind(_env_prefix=prefix)
    except ValidationError as error:
        # A rule over several settings names them itself, by the prefix it knows.
        words = describe(error, prefix).replace(own, prefix)
        raise ProviderMisconfigured(words) from error
