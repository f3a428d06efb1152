"""Bounds what one channel has in hand."""

import asyncio

#: Outcomes that wait for the ledger may add up to this many times the sends in flight.
_UNSETTLED_FACTOR = 3


class Slots:
    """Counts one channel's messages from arrival to settlement.

    ``changed`` is set when a slot becomes free while the pump is ``starved`` of them.
    """

    def __init__(self, concurrency: int, changed: asyncio.Event) -> None:
        self.starved = False
        self._concurrency = concurrency
        self._changed = changed
        self._sending = 0
        self._unsettled = 0

    def resize(self, concurrency: int) -> None:
        """Let so many sends be in flight from now on."""
        self._concurrency = concurrency

    def take(self, count: int) -> None:
        """Count messages that have arrived."""
        self._sending += count
        self._unsettled += count

    def give_back(self, count: int) -> None:
        """Count messages that led to no claim."""
        self._sending -= count
        self._unsettled -= count

    def sent(self) -> None:
        """Count a send that has ended."""
        self._sending -= 1
        self._stir()

    def settled(self) -> None:
        """Count an outcome that needs no more attention."""
        self._unsettled -= 1
        self._stir()

    def room(self) -> int:
        """Return how many more messages may come."""
        return min(
            self._concurrency - self._sending,
            self._concurrency * _UNSETTLED_FACTOR - self._unsettled,
        )

    def _stir(self) -> None:
        if self.starved:
            self._changed.set()
