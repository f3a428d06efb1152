"""What can go wrong.

GatewayError
├── Unreachable   nobody answered, or the answer was lost; whether it took effect is unknown
├── Refused       the gateway said no, with a problem
└── Unreadable    whoever answered is no gateway
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from contracts.problems import Problem

_FIELDS_SHOWN = 5


class GatewayError(Exception):
    """Base of what can go wrong; the message is one sentence for people."""


class Unreachable(GatewayError):
    """Nobody answered, or the answer was lost; whether it took effect is unknown."""


class Unreadable(GatewayError):
    """Whoever answered is no gateway."""


class Refused(GatewayError):
    """The gateway said no."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None) -> None:
        super().__init__(_sentence(problem))
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def passes(self) -> bool:
        """Say whether the same request, sent again after a while, may be accepted."""
        return self.problem.status in {429, 502, 503, 504} or (
            self.retry_after_seconds is not None and self.problem.status == 409
        )


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what a request can raise into Unreachable."""
    try:
        yield
    except TimeoutError as error:
        raise Unreachable(f"{url} did not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        reason = os.strerror(number) if number and number > 0 else error.strerror
        raise Unreachable(f"{url} cannot be reached: {reason}") from error
    except aiohttp.ClientError as error:
        reason = str(error) or type(error).__name__
        raise Unreachable(f"{url} did not answer: {reason}") from error


def _sentence(problem: Problem) -> str:
    slug = problem.type.rpartition("/")[2]
    parts = [
        error.pointer
        if error.detail == problem.detail
        else f"{error.pointer}: {error.detail}"
        for error in problem.errors[:_FIELDS_SHOWN]
    ]
    if (more := len(problem.errors) - _FIELDS_SHOWN) > 0:
        parts.append(f"{more} more")
    where = f" at {'; '.join(parts)}" if parts else ""
    said = problem.detail or problem.title
    return f"{said}{where} ({problem.status} {slug})"
