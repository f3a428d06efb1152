"""A call that takes too long ends, and only that call."""

import asyncio

import pytest

from dispatcher.deadlines import Deadline, Deadlines


async def test_a_call_in_time_returns_what_it_returns() -> None:
    with Deadlines().of_this_task() as deadline:
        assert await deadline.keep(asyncio.sleep(0, "done"), 5) == "done"


async def test_a_late_call_is_cancelled_and_the_task_goes_on() -> None:
    never = asyncio.Event()
    with Deadlines().of_this_task() as deadline:
        with pytest.raises(TimeoutError):
            await deadline.keep(never.wait(), 0.01)
        assert await deadline.keep(asyncio.sleep(0.25, "next"), 5) == "next"


async def test_whoever_else_cancels_the_task_means_the_task() -> None:
    entered, never = asyncio.Event(), asyncio.Event()

    async def send() -> None:
        with Deadlines().of_this_task() as deadline:
            entered.set()
            await deadline.keep(never.wait(), 5)

    task = asyncio.create_task(send(), name="send")
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_cancelled_while_its_call_is_late_is_cancelled() -> None:
    entered, never = asyncio.Event(), asyncio.Event()
    deadlines: list[Deadline] = []

    async def send() -> None:
        with Deadlines().of_this_task() as deadline:
            deadlines.append(deadline)
            entered.set()
            await deadline.keep(never.wait(), 0)

    task = asyncio.create_task(send(), name="send")
    await entered.wait()
    await asyncio.sleep(0)
    deadlines[0].look(float("inf"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_ends_though_it_was_cancelled_leaves_the_next_its_deadline() -> (
    None
):
    """As ``asyncio.wait_for`` does when its answer comes in the same pass."""

    async def answer_all_the_same() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "answer"
        raise AssertionError

    with Deadlines().of_this_task() as deadline:
        assert await deadline.keep(answer_all_the_same(), 0.01) == "answer"
        with pytest.raises(TimeoutError):
            await deadline.keep(asyncio.Event().wait(), 0.01)
