"""The compose file speaks the services' language."""

import importlib
import re
from pathlib import Path

from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]


def declared_settings() -> set[str]:
    """Import every module that declares settings and return their variables."""
    found: set[type[BaseSettings]] = set()
    for path in ROOT.glob("[!.]*/**/*.py"):
        if "env_prefix" in path.read_text() and not {"tests", "build"} & {*path.parts}:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found |= {
                value
                for value in vars(importlib.import_module(name)).values()
                if isinstance(value, type) and issubclass(value, BaseSettings)
            }
    return {
        f"{settings.model_config.get('env_prefix', '')}{field}".upper()
        for settings in found
        for field in settings.model_fields
    }


def test_compose_sets_only_settings_that_exist() -> None:
    used = set(re.findall(r"\bTOCSIN_[A-Z_]+", (ROOT / "compose.yaml").read_text()))

    assert used
    assert used <= declared_settings()
