"""The version this process runs."""

from importlib import metadata


def version() -> str:
    """Return the installed version of Tocsin, or a marker when run from a bare tree."""
    try:
        return metadata.version("tocsin")
    except metadata.PackageNotFoundError:
        return "0.0.0"
