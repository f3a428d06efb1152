"""The sandbox itself: receives sends, decides their answers, remembers both."""

import random
import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from contracts.channels import Channel
from contracts.ids import new_id
from ops.sandbox import answers, problems
from ops.sandbox.answers import Answer
from ops.sandbox.behaviour import Behaviour
from ops.sandbox.inbox import Inbox, Message
from ops.sandbox.metrics import Metrics

MAX_BODY_BYTES = 128 * 1024
MAX_KEY_CHARACTERS = 255
UNREADABLE_CHARACTERS = 2_000
"""How much of a body that is not a send is kept in the inbox."""


class Send(msgspec.Struct, frozen=True):
    """The body of a send; unknown members are ignored."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    channel: Channel
    content: Annotated[str, msgspec.Meta(min_length=1)]
    subject: str | None = None


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    message_id: UUID
    status: str
    timestamp: datetime


class Refusal(msgspec.Struct, frozen=True):
    code: str
    message: str


class Reply(msgspec.Struct, frozen=True):
    """What to put on the wire, after `delay_seconds`; no answer at all when silent."""

    answer: Answer
    body: Receipt | Refusal | problems.Problem | None
    delay_seconds: float = 0.0


_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_KEY_CHARACTERS}}}")
_decode_send = msgspec.json.Decoder(Send).decode


class Sandbox:
    """The state behind the routes; every method is immediate."""

    def __init__(self, *, keep: int, metrics: Metrics, seed: int | None = None) -> None:
        self.inbox = Inbox(keep)
        self.behaviour = Behaviour()
        self._metrics = metrics
        self._seed = seed
        self._random = random.Random(seed)

    def receive(self, body: bytes, key: str | None) -> Reply:
        """Record a send and return its reply.

        It is recorded before the reply is written: a sender that dies in between has
        still been heard, as by a real provider.
        """
        if key is not None and not _KEY.fullmatch(key):
            detail = f"Expected 1 to {MAX_KEY_CHARACTERS} visible ASCII characters"
            problem = problems.in_header("Idempotency-Key", detail)
            return self._refuse(body, None, problem)
        try:
            send = _decode_send(body)
        except problems.UNDECODABLE as error:
            return self._refuse(body, key, problems.in_body(error))
        attempt = self.inbox.next_attempt(key)
        behaviour = self.behaviour
        answer = answers.decide(
            channel=send.channel,
            to=send.to,
            attempt=attempt,
            behaviour=behaviour,
            roll=self._random.random(),
        )
        message = Message(
            id=new_id(),
            to=send.to,
            channel=send.channel,
            subject=send.subject,
            content=send.content,
            idempotency_key=key,
            attempt=attempt,
            answer=answer.status,
            outcome=answer.name,
            received_at=datetime.now(UTC),
        )
        self._record(message, answer)
        delay_seconds = answer.delay_seconds + behaviour.latency_seconds(send.channel)
        return Reply(answer, _compose(message, answer), delay_seconds)

    def refuse_oversized(self) -> Reply:
        return self._refuse(b"", None, problems.oversized(MAX_BODY_BYTES))

    def clear(self) -> None:
        """Forget messages, counts and attempts, and start a seeded sequence again."""
        self.inbox.clear()
        self._random.seed(self._seed)

    def _refuse(self, body: bytes, key: str | None, problem: problems.Problem) -> Reply:
        answer = answers.TOO_LARGE if problem.status == 413 else answers.MALFORMED
        to, channel, content = _read_what_is_there(body)
        message = Message(
            id=new_id(),
            to=to,
            channel=channel,
            content=content,
            idempotency_key=key,
            attempt=self.inbox.next_attempt(key),
            answer=answer.status,
            outcome=answer.name,
            received_at=datetime.now(UTC),
        )
        self._record(message, answer)
        return Reply(answer, problem)

    def _record(self, message: Message, answer: Answer) -> None:
        self.inbox.add(message, answer)
        self._metrics.send_received(message.channel, answer)


def _compose(message: Message, answer: Answer) -> Receipt | Refusal | None:
    if answer.accepts:
        return Receipt(message.id, "accepted", message.received_at)
    if answer.status is None:
        return None
    return Refusal(answer.name, answer.message)


def _read_what_is_there(body: bytes) -> tuple[str | None, Channel | None, str]:
    text = body.decode(errors="replace")[:UNREADABLE_CHARACTERS]
    try:
        members: Any = msgspec.json.decode(body)
    except problems.UNDECODABLE:
        return None, None, text
    if not isinstance(members, dict):
        return None, None, text
    to, channel = members.get("to"), members.get("channel")
    known = channel if isinstance(channel, str) and channel in set(Channel) else None
    return (
        to[:UNREADABLE_CHARACTERS] if isinstance(to, str) else None,
        Channel(known) if known else None,
        text,
    )
