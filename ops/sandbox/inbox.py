"""Every send received, newest first, within a fixed bound of memory."""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import msgspec

from contracts.channels import Channel
from ops.sandbox.answers import Answer


# No message can be part of a reference cycle; untracked, a full inbox costs the
# garbage collector nothing.
class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A received send and the answer decided for it.

    `answer` is the HTTP status, None when the request was held without one.
    `attempt` counts the sends that carried the same idempotency key, from 1; without
    a key it is always 1. A malformed send has what could be read of it.
    """

    id: UUID
    to: str | None
    channel: Channel | None
    subject: str | None = None
    content: str
    idempotency_key: str | None
    attempt: int
    answer: int | None
    outcome: str
    received_at: datetime


class ChannelStats(msgspec.Struct, kw_only=True):
    received: int = 0
    accepted: int = 0
    duplicates_accepted: int = 0


class Stats(msgspec.Struct, kw_only=True):
    """Counts since `since`, the start or the last clearing.

    They cover dropped messages too. `duplicates_accepted` counts the keys accepted
    more than once, in the channel of the repeated send. A key is forgotten with its
    last kept message; coming back after that, it counts as a new one.
    """

    since: datetime
    kept: int = 0
    received: int = 0
    distinct_keys: int = 0
    accepted: int = 0
    duplicates_accepted: int = 0
    answers: dict[str, int]
    channels: dict[Channel, ChannelStats]


# A list, since almost every key has one message and an empty deque takes 600 bytes.
class _Key(msgspec.Struct):
    messages: list[Message]
    attempts: int = 0
    accepted: int = 0


class Inbox:
    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.clear()

    def clear(self) -> None:
        self._messages: deque[Message] = deque()
        self._keys: dict[str, _Key] = {}
        self._answers: Counter[str] = Counter()
        self._stats = Stats(
            since=datetime.now(UTC),
            answers=self._answers,
            channels={channel: ChannelStats() for channel in Channel},
        )

    def next_attempt(self, key: str | None) -> int:
        known = self._keys.get(key) if key is not None else None
        return known.attempts + 1 if known else 1

    def add(self, message: Message, answer: Answer) -> None:
        if len(self._messages) == self._keep:
            self._drop_oldest()
        self._messages.append(message)
        accepts = answer.accepts
        repeated = self._remember_key(message, accepts)
        self._count(message, answer.label, accepts, repeated)

    def find(
        self,
        *,
        limit: int,
        to: str | None = None,
        to_contains: str | None = None,
        channel: Channel | None = None,
        idempotency_key: str | None = None,
    ) -> list[Message]:
        """Return the newest messages that match every filter given."""
        source: Iterable[Message] = reversed(self._messages)
        if idempotency_key is not None:
            known = self._keys.get(idempotency_key)
            source = reversed(known.messages) if known else ()
        matching = (
            message
            for message in source
            if (to is None or message.to == to)
            and (channel is None or message.channel is channel)
            and (not to_contains or to_contains in (message.to or ""))
        )
        return list(islice(matching, limit))

    def stats(self) -> Stats:
        return msgspec.structs.replace(self._stats, kept=len(self._messages))

    def _drop_oldest(self) -> None:
        key = self._messages.popleft().idempotency_key
        if key is None:
            return
        known = self._keys[key]
        known.messages.pop(0)
        if not known.messages:
            del self._keys[key]

    def _remember_key(self, message: Message, accepts: bool) -> bool:
        """Return whether this is the second acceptance of the key."""
        key = message.idempotency_key
        if key is None:
            return False
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _Key([])
            self._stats.distinct_keys += 1
        known.messages.append(message)
        known.attempts += 1
        known.accepted += accepts
        return accepts and known.accepted == 2

    def _count(
        self, message: Message, label: str, accepts: bool, repeated: bool
    ) -> None:
        self._answers[label] += 1
        counts: list[Stats | ChannelStats] = [self._stats]
        if message.channel is not None:
            counts.append(self._stats.channels[message.channel])
        for count in counts:
            count.received += 1
            count.accepted += accepts
            count.duplicates_accepted += repeated
