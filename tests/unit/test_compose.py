"""The compose file speaks the services' language."""

import importlib
import re
from pathlib import Path

from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]


def declared_settings() -> set[str]:
    """Import every module that declares settings and return their variables."""
    for path in ROOT.glob("[!.]*/**/settings.py"):
        if "build" not in path.parts:
            importlib.import_module(
                ".".join(path.relative_to(ROOT).with_suffix("").parts)
            )
    return {
        f"{settings.model_config.get('env_prefix', '')}{field}".upper()
        for settings in _below(BaseSettings)
        for field in settings.model_fields
    }


def _below(parent: type[BaseSettings]) -> set[type[BaseSettings]]:
    children = set(parent.__subclasses__())
    return children.union(*(_below(child) for child in children))


def test_compose_sets_only_settings_that_exist() -> None:
    used = set(re.findall(r"\bTOCSIN_[A-Z_]+", (ROOT / "compose.yaml").read_text()))

    assert used
    assert used <= declared_settings()
