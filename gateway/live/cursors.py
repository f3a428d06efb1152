"""Event ids: how far a client of an event stream has come, in words it can send back.

A notification's is the sequence of its last change, and whether a receipt was told. A batch's has one character for each
member, in the order of their ids: what has been told of each. So any gateway can go on where
any other stopped, and nothing has to be remembered for a client that is away.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from gateway.live.news import News

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_VALUE_OF = {digit: value for value, digit in enumerate(_DIGITS)}
_MOST_DIGITS = 9
_RECEIPT = "r"


class NotificationCursor:
    """How far one notification has been told."""

    def __init__(self, notification_id: UUID) -> None:
        self._id = notification_id
        self.told_receipt = False

    def read(self, text: str, standing: Mapping[UUID, int]) -> dict[UUID, int] | None:
        """Return the sequences that an event id stands for; None when it is none of ours.

        One that tells of a change after where the notification is ``standing`` is none.
        """
        digits = text.removesuffix(_RECEIPT)
        if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS:
            told = {self._id: int(digits)}
            if not _has_passed(told, standing):
                self.told_receipt = digits != text
                return told
        return None

    def advance(self, news: News) -> str:
        """Return the event id of news that is told now."""
        self.told_receipt |= news.rank is not None
        return f"{news.sequence}{_RECEIPT if self.told_receipt else ''}"


class BatchCursor:
    """How far the members of a batch have been told."""

    def __init__(self, member_ids: Sequence[UUID]) -> None:
        self._ids = member_ids
        self.told_receipt = False
        self._place = {id_: place for place, id_ in enumerate(member_ids)}
        self._digits = [_DIGITS[0]] * len(member_ids)

    def read(self, text: str, standing: Mapping[UUID, int]) -> dict[UUID, int] | None:
        """Return the sequences that an event id stands for; None when it is none of ours.

        One that tells of a change after where a member is ``standing`` is none. Members that
        nothing was told of are left out.
        """
        if len(text) != len(self._ids) or not _VALUE_OF.keys() >= set(text):
            return None
        told = {
            id_: _VALUE_OF[digit]
            for id_, digit in zip(self._ids, text, strict=True)
            if digit != _DIGITS[0]
        }
        if _has_passed(told, standing):
            return None
        self._digits = list(text)
        return told

    def advance(self, news: News) -> str:
        """Return the event id of news that is told now.

        A sequence past the last digit counts as the last: what follows it may be told twice.
        """
        digit = _DIGITS[min(news.sequence, len(_DIGITS) - 1)]
        self._digits[self._place[news.id]] = digit
        return "".join(self._digits)


def _has_passed(told: Mapping[UUID, int], standing: Mapping[UUID, int]) -> bool:
    """Say whether changes were told that have not been."""
    return any(told[id_] > at for id_, at in standing.items() if id_ in told)
