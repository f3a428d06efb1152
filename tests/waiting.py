"""Waiting for what a test expects, with a deadline instead of a guess."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

_Value = TypeVar("_Value")

_POLL_SECONDS = 0.02


@overload
async def until(
    check: Callable[[], Awaitable[_Value]], timeout_seconds: float = 5.0
) -> _Value: ...
@overload
async def until(
    check: Callable[[], _Value], timeout_seconds: float = 5.0
) -> _Value: ...
async def until(check: Callable[[], Any], timeout_seconds: float = 5.0) -> Any:
    """Ask ``check`` again and again and return its first true answer.

    Raises AssertionError with the last answer when the time is over. What ``check`` raises
    is raised at once, AssertionError excepted: that is an answer like False.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            answer = check()
            if inspect.isawaitable(answer):
                answer = await answer
            if answer:
                return answer
        except AssertionError as error:
            answer = error
        if time.monotonic() >= deadline:
            raise AssertionError(
                f"not within {timeout_seconds:g} s; the last answer was {answer!r}"
            )
        await asyncio.sleep(_POLL_SECONDS)
