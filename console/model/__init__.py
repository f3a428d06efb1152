"""What the console knows: lanes, services, feed, link. Pure: no terminal, no network."""

from console.model.mesh import Model

__all__ = ["Model"]
