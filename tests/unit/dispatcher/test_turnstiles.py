"""Sends begin as they like until urgent work comes; then the processor is not filled."""

import asyncio
import time
from random import Random
from typing import Any

from contracts.channels import Channel
from dispatcher.sends import Sends
from dispatcher.turnstiles import Turnstile

CROWD = 200
FEW, MANY = 1, 1000
BUSY_SECONDS = 0.001


class Crowd:
    """Many who go through a turnstile at once and count themselves."""

    def __init__(
        self, turnstile: Turnstile, channel: Channel = Channel.SMS, size: int = CROWD
    ) -> None:
        self._turnstile = turnstile
        self._channel = channel
        self.through = 0
        self.tasks = [asyncio.create_task(self._go()) for _ in range(size)]

    async def _go(self) -> None:
        await self._turnstile.go_through(self._channel)
        self.through += 1


async def test_all_begin_in_one_pass_while_nothing_is_urgent() -> None:
    crowd = Crowd(Turnstile(0.5))
    await asyncio.sleep(0)

    assert crowd.through == CROWD


async def test_few_begin_in_one_pass_after_urgent_work_came_and_all_later() -> None:
    turnstile = Turnstile(1)
    turnstile.narrow(FEW)
    crowd = Crowd(turnstile)
    for _ in range(3):
        await asyncio.sleep(0)
    assert crowd.through < CROWD / 10

    await asyncio.gather(*crowd.tasks)
    assert crowd.through == CROWD


async def test_who_will_take_the_urgent_ones_goes_through_at_once() -> None:
    turnstile = Turnstile(1)
    turnstile.narrow(FEW)
    crowd, others = Crowd(turnstile), Crowd(turnstile, Channel.PUSH)
    await asyncio.sleep(0)
    assert crowd.through == others.through == 0
    turnstile.let_through(Channel.SMS, 50)
    await asyncio.sleep(0)

    assert crowd.through >= 50
    assert others.through < 50


async def test_who_gave_up_waiting_takes_nobodys_place() -> None:
    turnstile = Turnstile(1)
    turnstile.narrow(FEW)
    crowd = Crowd(turnstile)
    await asyncio.sleep(0)
    for task in crowd.tasks[: CROWD // 2]:
        task.cancel()
    await asyncio.sleep(0)
    turnstile.let_through(Channel.SMS, CROWD // 2)
    await asyncio.gather(*crowd.tasks, return_exceptions=True)

    assert crowd.through == CROWD // 2


async def test_nothing_is_kept_free_for_a_backlog_of_urgent_ones() -> None:
    turnstile = Turnstile(0.5)
    turnstile.narrow(FEW)
    waiting = Crowd(turnstile)
    await asyncio.sleep(0)
    turnstile.narrow(MANY)
    crowd = Crowd(turnstile)
    await asyncio.sleep(0)

    assert crowd.through == waiting.through == CROWD


async def test_who_waits_goes_through_at_once_when_it_is_opened() -> None:
    turnstile = Turnstile(1e-6)
    turnstile.narrow(FEW)
    crowd = Crowd(turnstile)
    await asyncio.sleep(0)
    turnstile.open()
    await asyncio.sleep(0)

    assert crowd.through == CROWD


async def test_the_others_use_no_more_than_their_share_of_the_processor() -> None:
    share = 0.2
    turnstile = Turnstile(share)
    turnstile.narrow(FEW)
    used_before, begun = time.process_time(), time.monotonic()

    async def sender() -> None:
        for _ in range(20):
            await turnstile.go_through(Channel.SMS)
            until = time.thread_time() + BUSY_SECONDS
            while time.thread_time() < until:
                pass

    await asyncio.gather(*(sender() for _ in range(10)))
    used = time.process_time() - used_before
    assert used >= 200 * BUSY_SECONDS
    assert used / (time.monotonic() - begun) < 1.3 * share


async def test_every_channel_moves_even_when_the_share_is_used_up() -> None:
    turnstile = Turnstile(1e-6)
    turnstile.narrow(FEW)
    crowds = [Crowd(turnstile, channel, size=20) for channel in Channel]

    async with asyncio.timeout(3):
        await asyncio.gather(*(task for crowd in crowds for task in crowd.tasks))


async def test_a_dispatcher_that_drains_opens_it() -> None:
    turnstile = Turnstile(0.3)
    turnstile.narrow(1)
    nobody: Any = None
    sends = Sends({}, {}, nobody, nobody, nobody, Random(), {}, turnstile)

    await sends.drain(0)

    assert not turnstile.is_narrow
