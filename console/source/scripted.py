"""News told by the caller: for tests, and for showing the console without a mesh."""

import asyncio
from collections.abc import Iterable

from console.events import AnyEvent
from console.source import Sink


class ScriptedSource:
    """Passes on what ``tell`` is given, in order; what was told before it runs comes first."""

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self.refreshes = 0
        self._events: asyncio.Queue[AnyEvent] = asyncio.Queue()
        self.tell(*events)

    def tell(self, *events: AnyEvent) -> None:
        """Hand over events."""
        for event in events:
            self._events.put_nowait(event)

    def refresh(self) -> None:
        """Count that somebody asked."""
        self.refreshes += 1

    async def run(self, sink: Sink) -> None:
        """Pass on events until cancelled."""
        while True:
            sink(await self._events.get())
