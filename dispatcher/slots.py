"""Bounds what one channel has in hand."""

import asyncio

#: Messages in hand may add up to this many times the sends in flight: the next are fetched and
#: claimed while these are being sent.
_IN_HAND_FACTOR = 3
#: With those whose outcome waits for the ledger, to this many times.
_UNSETTLED_FACTOR = 5
#: Smaller pulls would cost more in statements than the free slots bring.
_PULL_AT_LEAST = 100


class Slots:
    """Counts one channel's messages from arrival to settlement.

    ``changed`` is set when so many slots are free as the pump has ``awaited``, if any.
    ``concurrency`` is how many sends may be in flight.
    """

    def __init__(self, concurrency: int, changed: asyncio.Event) -> None:
        self.awaited = 0
        self.concurrency = concurrency
        self._changed = changed
        self.waiting = 0  #: came, and no send has begun
        self._in_hand = 0
        self._unsettled = 0

    def resize(self, concurrency: int) -> None:
        """Let so many sends be in flight from now on."""
        self.concurrency = concurrency

    @property
    def worth_a_pull(self) -> int:
        """Return how many should be free before more is asked for; the line covers the wait."""
        return max(1, min(_PULL_AT_LEAST, self.concurrency // 2))

    def take(self, count: int) -> None:
        """Count messages that have arrived."""
        self.waiting += count
        self._in_hand += count
        self._unsettled += count

    def give_back(self, count: int) -> None:
        """Count messages that led to no claim."""
        self.waiting -= count
        self._in_hand -= count
        self._unsettled -= count

    def begin(self) -> None:
        """Count a claim whose turn it is."""
        self.waiting -= 1

    def sent(self) -> None:
        """Count one that has ended."""
        self._in_hand -= 1
        self._stir()

    def settled(self, count: int) -> None:
        """Count outcomes that need no more attention."""
        self._unsettled -= count
        self._stir()

    def room(self, *, urgent: bool = False) -> int:
        """Return how many more messages may come; urgent ones have more room."""
        room = min(
            self.concurrency * _IN_HAND_FACTOR - self._in_hand,
            self.concurrency * _UNSETTLED_FACTOR - self._unsettled,
        )
        return room + self.concurrency if urgent else room

    def _stir(self) -> None:
        if self.awaited and self.room() >= self.awaited:
            self._changed.set()
