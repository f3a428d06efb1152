"""One notification that a client follows: every change once, in order, from where it began.

A ``Watch`` knows the sequence of the last change its client was told. What comes over the
bus while the ledger is being read is held back; then comes what the ledger says, and of what
was held back only what is newer. A change that is not the next one shows that something was
missed: the ledger is read again before it is told. Pure: no clock, no I/O.

A receipt is told with the status of its moment, and only while that is the one its client
knows, or the next: else the ledger is read, which knows both. Of several receipts the newest
by its provider's clock stays the last that was told.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from contracts.channels import Channel
from contracts.lifecycle import Status
from gateway.live.news import News
from gateway.live.readings import Reading
from gateway.views import StatusView

#: More than this is not held back: the ledger is away, and news is worth more than order.
_HELD_AT_MOST = 100


class Filter(NamedTuple):
    """Every notification of a channel, on its way to a status; None stands for any."""

    channel: Channel | None
    status: Status | None

    def matches(self, news: News) -> bool:
        """Say whether news is of this kind. A receipt is on its way to no status."""
        if self.channel not in (None, news.channel):
            return False
        if news.rank is not None:
            return self.status is None
        return self.status in (None, news.status)


class Watch:
    """One notification that a client follows."""

    __slots__ = ("held", "is_final", "rank", "reasons", "sequence", "wants_standing")

    def __init__(self) -> None:
        self.sequence = 0  #: of the last change that was told; 0 before any
        self.is_final = False  #: whether that was a final one
        self.rank: tuple[datetime, UUID] | None = (
            None  #: of the newest receipt that was told
        )
        self.held: (
            list[News] | None
        ) = []  #: what waits for the ledger; None: nothing does
        self.reasons: tuple[UUID | None, ...] = ()
        """The batches it is followed for, and None if for itself."""
        self.wants_standing = False

    def hear(self, news: News) -> list[News]:
        """Return what may be told now: nothing, and it is held, when some was missed."""
        if not self._is_due(news):
            return []
        if self.held is None:
            if 0 <= news.sequence - self.sequence <= 1:
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
        told += self._add_receipt(reading.standing, told)
        return told + self._release(reading.standing.sequence)

    def _stand(self, standing: News, *, anyway: bool) -> list[News]:
        """Tell where it stands, unless what was told just now, or since, says it."""
        self.wants_standing = False
        if standing.sequence > self.sequence or (
            standing.sequence == self.sequence and anyway
        ):
            return [self._told(standing)]
        return []

    def _add_receipt(self, standing: StatusView, told: list[News]) -> list[News]:
        """Tell the receipt the ledger shows, with the status that was told last."""
        if not self._is_newer_receipt(News(standing)):
            return []
        view = standing
        if told and told[-1].sequence > standing.sequence:
            view = msgspec.structs.replace(told[-1].view, receipt=standing.receipt)
        return [self._told(News(view))] if view.sequence >= self.sequence else []

    def _release(self, known: int) -> list[News]:
        """Tell what was held, as far as nothing is missing after the ``known`` sequence.

        A receipt whose status has passed stays held: the next reading has it, and the
        status as it is then.
        """
        told: list[News] = []
        kept: list[News] = []
        held, self.held = sorted(self.held or (), key=_by_sequence), None
        for news in held:
            if not self._is_due(news):
                continue
            last = max(known, self.sequence)
            if self.sequence <= news.sequence <= last + 1:
                told.append(self._told(news))
            else:
                kept.append(news)
        self.held = kept or None
        return told

    def _newer(self, changes: Iterable[News]) -> list[News]:
        """Tell those that are newer than what was told, in order, each once."""
        return [
            self._told(news)
            for news in sorted(changes, key=_by_sequence)
            if news.sequence >= self.sequence and self._is_due(news)
        ]

    def _is_due(self, news: News) -> bool:
        if news.rank is not None:
            return self._is_newer_receipt(news)
        return news.sequence > self.sequence

    def _is_newer_receipt(self, news: News) -> bool:
        return news.rank is not None and (self.rank is None or news.rank > self.rank)

    def _told(self, news: News) -> News:
        self.sequence = news.sequence
        self.is_final = news.is_final
        if self._is_newer_receipt(news):
            self.rank = news.rank
        return news


def _by_sequence(news: News) -> int:
    return news.sequence
