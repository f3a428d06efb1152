"""``python -m dispatcher``: run a dispatcher, configured by ``TOCSIN_…``."""

from dispatcher.app import run
from dispatcher.settings import DispatcherSettings
from ops.runtime.service import run_service


def load() -> DispatcherSettings:
    """Read the settings from the environment."""
    return DispatcherSettings.model_validate({})


if __name__ == "__main__":
    run_service("dispatcher", load, run)
