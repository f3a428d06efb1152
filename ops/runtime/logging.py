"""Structured logs: JSON for machines, colours on a terminal, never personal data."""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
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


def write_exception(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Write an exception as its plain trace: no variables, and not the row that Postgres shows."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        text = "".join(traceback.format_exception(error))
        for detail in _details(error, set()):
            text = detail.sub("[not logged]", text)
        event["exception"] = text.rstrip()
    return event


def _details(error: BaseException, seen: set[int]) -> Iterator[re.Pattern[str]]:
    """Find the details of a Postgres error, as written in a trace, in all that led to it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    if isinstance(detail := getattr(error, "detail", None), str):
        # A group's members are indented, every line of them.
        yield re.compile(r"\n[ |]*".join(re.escape(p) for p in detail.split("\n")))
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for cause in (error.__cause__, error.__context__, *members):
        if cause is not None:
            yield from _details(cause, seen)


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
    renderer: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                write_exception,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("nats", "aiohttp.access", "hypercorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


def configure_command() -> None:
    """Send warnings to stderr and nothing else: what a command has to say is its output."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
