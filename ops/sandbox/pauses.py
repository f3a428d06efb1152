"""Waits that end early when the sandbox stops."""

import asyncio


class Pauses:
    """Holds requests for a while; `release` lets every one go, now and from then on."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self.released = False

    async def hold(self, seconds: float) -> None:
        if self.released:
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter)
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)

    def release(self) -> None:
        self.released = True
        for waiter in self._waiting:
            _wake(waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
