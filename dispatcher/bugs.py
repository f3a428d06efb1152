"""Logs exceptions that nobody expected, without their text, which may quote the recipient."""

import traceback

import structlog

from dispatcher.holdings import Claim

log = structlog.stdlib.get_logger()


def log_bug(event: str, error: BaseException, claim: Claim | None = None) -> None:
    """Log an exception by its type and where it came from."""
    about = {} if claim is None else {"notification_id": str(claim.id)}
    log.error(
        event,
        **about,
        error=type(error).__name__,
        frames=traceback.format_tb(error.__traceback__),
    )
