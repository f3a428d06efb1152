"""Starting our packages by name, whatever folder the command was called in."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import ops

_ROOT = str(Path(ops.__file__).parents[1])


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module of ours.

    ``-P``: a folder of that name where the command is called must not be taken for it.
    """
    return (sys.executable, "-P", "-m", module, *arguments)


def importable(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which ``python`` finds our packages."""
    found = [_ROOT, environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, found))}
