"""``python -m dispatcher``: run one dispatcher until it is told to stop."""

from dispatcher.app import run
from dispatcher.settings import DispatcherSettings
from ops.runtime.service import run_service


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_service("dispatcher", DispatcherSettings, run)


if __name__ == "__main__":
    main()
