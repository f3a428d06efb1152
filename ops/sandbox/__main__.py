"""`python -m ops.sandbox`: settings from the environment, then serve."""

import sys

from pydantic import ValidationError

from ops.sandbox.server import run
from ops.sandbox.settings import SandboxSettings


def main() -> int:
    try:
        settings = SandboxSettings()
    except ValidationError as error:
        for wrong in error.errors():
            name = f"TOCSIN_SANDBOX_{'_'.join(map(str, wrong['loc']))}".upper()
            sys.stderr.write(f"{name}: {wrong['msg']}\n")
        return 2
    try:
        run(settings)
    except OSError as error:
        sys.stderr.write(f"The sandbox cannot listen: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
