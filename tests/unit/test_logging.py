import asyncio
import json
import logging as standard
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
import structlog

from contracts.settings import MeshSettings
from ops.runtime import logging

RECIPIENT = "+15555550123"
BODY = "Your code is 4711"

Capture = pytest.CaptureFixture[str]


def settings(log_format: str) -> MeshSettings:
    return MeshSettings.model_validate(
        {
            "postgres_dsn": "postgresql://tocsin@127.0.0.1/tocsin",
            "nats_url": "nats://127.0.0.1",
            "redis_url": "redis://127.0.0.1",
            "log_format": log_format,
        }
    )


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configure(log_format: str = "json") -> None:
    logging.configure(settings(log_format), "dispatcher", "host-1")


def lines(capsys: Capture) -> list[dict[str, Any]]:
    """Return what was logged since it was last asked."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def refused_row() -> asyncpg.PostgresError:
    """What the ledger says when a row breaks a check: the row itself, in the detail."""
    return asyncpg.CheckViolationError.new(
        {
            "S": "ERROR",
            "C": "23514",
            "M": 'new row violates check constraint "notification_known_channel"',
            "D": f"Failing row contains (fax, {RECIPIENT},\n{BODY}).",
        }
    )


def log_an_error(error: Exception) -> None:
    """Log it as a loop's edge does, with the notification among the frame's variables."""
    recipient, content = RECIPIENT, BODY
    try:
        assert recipient
        assert content
        raise error
    except Exception:
        structlog.stdlib.get_logger().exception("loop.failed", loop="sweep")


def test_a_line_is_one_json_object(capsys: Capture) -> None:
    configure()

    structlog.stdlib.get_logger().info("attempt.finished", outcome="delivered")

    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "attempt.finished",
        "level": "info",
        "outcome": "delivered",
        "service": "dispatcher",
        "instance": "host-1",
    }


def test_foreign_lines_have_the_same_shape(capsys: Capture) -> None:
    configure()

    standard.getLogger("piccolo").warning("pool is %s", "closed")

    (line,) = lines(capsys)
    assert line["event"] == "pool is closed"
    assert line["level"] == "warning"
    assert line["service"] == "dispatcher"


def test_lines_below_the_level_are_not_written(capsys: Capture) -> None:
    configure()

    structlog.stdlib.get_logger().debug("lane.fetched")

    assert lines(capsys) == []


def test_what_is_bound_to_the_context_is_on_every_line(capsys: Capture) -> None:
    configure()

    with structlog.contextvars.bound_contextvars(notification_id="n-1"):
        structlog.stdlib.get_logger().info("attempt.started")
    structlog.stdlib.get_logger().info("lane.paused")

    first, second = lines(capsys)
    assert first["notification_id"] == "n-1"
    assert "notification_id" not in second


@pytest.mark.parametrize("key", sorted(logging.PERSONAL_KEYS))
def test_no_value_of_a_personal_key_gets_out(capsys: Capture, key: str) -> None:
    configure()

    structlog.stdlib.get_logger().info("attempt.finished", **{key: RECIPIENT})
    standard.getLogger("foreign").warning("failed", extra={key: RECIPIENT})

    written = lines(capsys)
    assert RECIPIENT not in json.dumps(written)
    assert written[0][key] == "[not logged]"


def test_a_personal_key_of_the_context_does_not_get_out(capsys: Capture) -> None:
    configure()

    with structlog.contextvars.bound_contextvars(recipient=RECIPIENT):
        structlog.stdlib.get_logger().info("attempt.finished")

    assert RECIPIENT not in json.dumps(lines(capsys))


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_an_error_shows_its_trace_but_no_row_and_no_variable(
    capsys: Capture, log_format: str
) -> None:
    configure(log_format)

    log_an_error(refused_row())
    log_an_error(ExceptionGroup("settling", [refused_row(), ValueError("x")]))
    try:
        raise asyncio.CancelledError from refused_row()
    except asyncio.CancelledError:
        structlog.stdlib.get_logger().exception("loop.failed")

    written = capsys.readouterr().err
    assert "test_logging.py" in written
    assert written.count("notification_known_channel") == 3
    assert RECIPIENT not in written
    assert BODY not in written


def test_pretty_lines_are_not_json(capsys: Capture) -> None:
    configure("pretty")

    structlog.stdlib.get_logger().info("attempt.finished", outcome="delivered")

    assert "attempt.finished" in capsys.readouterr().err
