"""Sends begin as they like until urgent work comes; then few begin in a pass of the loop."""

import asyncio

from dispatcher.turnstiles import Turnstile

CROWD = 200


class Crowd:
    """Many who go through a turnstile at once and count themselves."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self.through = 0
        self.tasks = [asyncio.create_task(self._go()) for _ in range(CROWD)]

    async def _go(self) -> None:
        await self._turnstile.go_through()
        self.through += 1


async def test_all_begin_in_one_pass_while_nothing_is_urgent() -> None:
    crowd = Crowd(Turnstile())
    await asyncio.sleep(0)

    assert crowd.through == CROWD


async def test_urgent_work_gets_a_turn_before_all_others_have_begun() -> None:
    turnstile = Turnstile(pass_seconds=0)
    turnstile.narrow(0)
    crowd = Crowd(turnstile)
    await asyncio.sleep(0)
    assert crowd.through == 0
    turnstile.narrow(1)
    await asyncio.sleep(0)

    assert 1 <= crowd.through < CROWD / 2
    await asyncio.gather(*crowd.tasks)
    assert crowd.through == CROWD


async def test_who_gave_up_waiting_takes_nobodys_place() -> None:
    turnstile = Turnstile(pass_seconds=0)
    turnstile.narrow(0)
    crowd = Crowd(turnstile)
    await asyncio.sleep(0)
    for task in crowd.tasks[: CROWD // 2]:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)

    assert crowd.through == CROWD // 2
