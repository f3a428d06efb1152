"""Finds providers by name: entry points of the group ``tocsin.providers``."""

import importlib
from importlib.metadata import entry_points
from typing import cast

from dispatcher.errors import ProviderUnknown
from dispatcher.providers.port import ProviderType

GROUP = "tocsin.providers"

#: Known without an installed distribution too, so that a bare tree runs.
BUNDLED = {
    "webhook": "dispatcher.providers.webhook:WebhookProvider",
    "noop": "dispatcher.providers.noop:NoopProvider",
}


def find(name: str) -> ProviderType:
    """Return the class of a provider; an entry point wins over a bundled one of its name."""
    for entry_point in entry_points(group=GROUP, name=name):
        return cast("ProviderType", entry_point.load())
    if name not in BUNDLED:
        raise ProviderUnknown(
            f"no provider is called '{name}'; known: {', '.join(known())}"
        )
    module, _, attribute = BUNDLED[name].partition(":")
    return cast("ProviderType", getattr(importlib.import_module(module), attribute))


def known() -> list[str]:
    """Return the names of all providers that could be opened."""
    return sorted({*BUNDLED, *(point.name for point in entry_points(group=GROUP))})
