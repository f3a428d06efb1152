"""One notification that a client follows: every change once, in order, from where it began.

A ``Watch`` knows the sequence of the last change its client was told. What comes over the
bus while the ledger is being read is held back; then comes what the ledger says, and of what
was held back only what is newer. A change that is not the next one shows that something was
missed: the ledger is read again before it is told. Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from contracts.channels import Channel
from contracts.lifecycle import Status
from gateway.live.news import News
from gateway.live.readings import Reading

#: More than this is not held back: the ledger is away, and news is worth more than order.
_HELD_AT_MOST = 100


class Filter(NamedTuple):
    """Every notification of a channel, on its way to a status; None stands for any."""

    channel: Channel | None
    status: Status | None

    def matches(self, news: News) -> bool:
        """Say whether news is of this kind."""
        return self.channel in (None, news.channel) and self.status in (
            None,
            news.status,
        )


class Watch:
    """One notification that a client follows."""

    __slots__ = ("held", "is_final", "reasons", "sequence", "wants_standing")

    def __init__(self) -> None:
        self.sequence = 0  #: of the last change that was told; 0 before any
        self.is_final = False  #: whether that was a final one
        self.held: (
            list[News] | None
        ) = []  #: what waits for the ledger; None: nothing does
        self.reasons: tuple[UUID | None, ...] = ()
        """The batches it is followed for, and None if for itself."""
        self.wants_standing = False

    def hear(self, news: News) -> list[News]:
        """Return what may be told now: nothing, and it is held, when some was missed."""
        if news.sequence <= self.sequence:
            return []
        if self.held is None:
            if news.sequence == self.sequence + 1:
                return [self._told(news)]
            self.held = []
        self.held.append(news)
        if len(self.held) <= _HELD_AT_MOST:
            return []
        held, self.held = self.held, None
        return self._newer(held)

    def settle(self, reading: Reading) -> list[News]:
        """Return what may be told now that the ledger has been read.

        Something is held still when it shows that the reading is too old.
        """
        told: list[News] = []
        if self.sequence > 0 or not self.wants_standing:
            told += self._newer(map(News, reading.changes))
        if self.wants_standing:
            told += self._stand(News(reading.standing), anyway=not told)
        return told + self._release(reading.standing.sequence)

    def _stand(self, standing: News, *, anyway: bool) -> list[News]:
        """Tell where it stands, unless what was told just now, or since, says it."""
        self.wants_standing = False
        if standing.sequence > self.sequence or (
            standing.sequence == self.sequence and anyway
        ):
            return [self._told(standing)]
        return []

    def _release(self, known: int) -> list[News]:
        """Tell what was held, as far as nothing is missing after the ``known`` sequence."""
        told: list[News] = []
        held, self.held = sorted(self.held or (), key=_by_sequence), None
        for place, news in enumerate(held):
            if news.sequence > max(known, self.sequence) + 1:
                self.held = held[place:]
                break
            told += self._newer([news])
        return told

    def _newer(self, changes: Iterable[News]) -> list[News]:
        """Tell those that are newer than what was told, in order, each once."""
        return [
            self._told(news)
            for news in sorted(changes, key=_by_sequence)
            if news.sequence > self.sequence
        ]

    def _told(self, news: News) -> News:
        self.sequence = news.sequence
        self.is_final = news.is_final
        return news


def _by_sequence(news: News) -> int:
    return news.sequence
