"""Which mesh the console watches, in words."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """What to call the mesh."""

    name: str
    replayed: bool = False

    @property
    def is_production(self) -> bool:
        """Say whether a mistake here reaches real people."""
        return "prod" in self.name.lower()
