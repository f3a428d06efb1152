"""Where the console's news comes from: a bus, a recording, or a script."""

from collections.abc import Callable
from typing import Protocol

from console.events import AnyEvent

Sink = Callable[[AnyEvent], None]


class Source(Protocol):
    """Tells a sink what happens, in order, until it is cancelled.

    It outlives lost connections and says so with ``LinkChanged``; the first event is one.
    """

    async def run(self, sink: Sink) -> None:
        """Run until cancelled; raises only on a fault of the console itself."""

    def refresh(self) -> None:
        """Ask for what is only asked for now and then, at once."""
