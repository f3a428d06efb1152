"""``python -m scheduler``: run one scheduler until it is told to stop."""

from ops.runtime.service import run_service
from scheduler.app import run
from scheduler.settings import SchedulerSettings


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_service("scheduler", SchedulerSettings, run)


if __name__ == "__main__":
    main()
