"""Structured logs: JSON for machines, colours on a terminal, never personal data."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from contracts.settings import MeshSettings

#: Keys that would carry a recipient, a body or a secret. A log line with one of them is a
#: bug; it is written without the value rather than leaked.
PERSONAL_KEYS = frozenset(
    {
        "recipient",
        "to",
        "content",
        "body",
        "subject_line",
        "metadata",
        "secret",
        "token",
    }
)


def drop_personal_data(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Blank the values of ``PERSONAL_KEYS``."""
    for key in PERSONAL_KEYS & event.keys():
        event[key] = "[not logged]"
    return event


def configure(settings: MeshSettings, service: str, instance: str) -> None:
    """Send structlog's and the standard library's records to stderr in one format."""
    pretty = settings.log_format == "pretty" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_personal_data,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [structlog.dev.ConsoleRenderer()]
        if pretty
        else [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *renderers,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("nats", "aiohttp.access", "hypercorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, instance=instance)
