"""Accepts what a request asks for, once for each ``Idempotency-Key``."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from contracts.problems import ProblemType
from gateway.answers import Answers, Remembered, digest_of
from gateway.errors import KeyInFlight, Refusal
from gateway.intake import Intake
from gateway.metrics import Metrics
from gateway.routing import Answer, Call
from gateway.spool import Spool
from gateway.store import UNAVAILABLE, Store, StoredAnswer
from gateway.submissions import (
    KeyOwner,
    NewBatch,
    NewNotification,
    Reservation,
    Submission,
)

_KEY_AT_MOST_CHARACTERS = 255
_REPLAY_HEADER = (b"idempotent-replay", b"true")


def key_of(call: Call) -> str | None:
    """Return the ``Idempotency-Key`` of a request; an empty one is none."""
    sent = call.headers.get(b"idempotency-key")
    if not sent:
        return None
    try:
        key = sent.decode()
    except UnicodeDecodeError:
        raise Refusal(
            ProblemType.BAD_REQUEST, "Idempotency-Key is not valid UTF-8"
        ) from None
    if len(key) > _KEY_AT_MOST_CHARACTERS or "\0" in key:
        raise Refusal(
            ProblemType.BAD_REQUEST,
            f"Idempotency-Key has at most {_KEY_AT_MOST_CHARACTERS} characters",
        )
    return key


def owner_of(call: Call, key: str) -> KeyOwner:
    """Return what the key of a call is unique within."""
    return KeyOwner(call.principal.tenant, f"{call.method} {call.path}", key)


def _check_body(answered: bytes, given: bytes) -> None:
    """Raise the mismatch when a key was answered to a body with another hash."""
    if answered != given:
        raise Refusal(
            ProblemType.IDEMPOTENCY_KEY_MISMATCH,
            "this Idempotency-Key was used with another body",
        )


class Acceptance:
    """Hands requests to the intake, and answers those whose key was answered before."""

    def __init__(
        self,
        intake: Intake,
        store: Store,
        spool: Spool,
        answers: Answers,
        metrics: Metrics,
        *,
        idempotency_hours: float,
    ) -> None:
        self._intake = intake
        self._store = store
        self._spool = spool
        self._answers = answers
        self._metrics = metrics
        self._remembered = timedelta(hours=idempotency_hours)

    async def accept(
        self,
        call: Call,
        *,
        resource_id: UUID,
        location: str,
        response: bytes,
        again: Callable[[UUID], bytes],
        body: bytes,
        key: str | None,
        notifications: Sequence[NewNotification],
        batch: NewBatch | None = None,
    ) -> Answer:
        """Commit or spool, and answer 202 with ``response``; or, for a key that has an answer, that.

        With a key, the rows carry ``resource_id`` as their ``reservation_id``. ``again``
        makes the response that the same call would have had with another id.
        """
        reservation = None
        if key is not None:
            reservation = Reservation(
                tenant=call.principal.tenant,
                endpoint=f"{call.method} {call.path}",
                key=key,
                body_hash=hashlib.sha256(body).digest(),
                resource_id=resource_id,
                response=response,
                correlation_id=call.correlation_id,
                expires_at=datetime.now(UTC) + self._remembered,
            )
            if (replay := await self._recall(call, reservation, again)) is not None:
                return replay
        is_new = await self._intake.accept(
            Submission(
                notifications=notifications, batch=batch, reservation=reservation
            )
        )
        if is_new or reservation is None:
            if reservation is not None:
                self._remember(reservation, response)
            return Answer(202, response, headers=[(b"location", location.encode())])
        return await self.replay(reservation.owner, reservation.body_hash)

    async def answered(self, call: Call, key: str | None, body: bytes) -> Answer | None:
        """Return the answer that a key has had for the same body, if it has had one.

        For what would be refused now. A key that had another body is a mismatch all the same.
        """
        stored = await self._answered_before(call, key, body)
        return None if stored is None else self._again(stored)

    async def compare(self, call: Call, body: bytes) -> None:
        """Raise the mismatch when the key of a call was answered to another body."""
        await self._answered_before(call, key_of(call), body)

    async def _answered_before(
        self, call: Call, key: str | None, body: bytes
    ) -> StoredAnswer | None:
        """Return what the key of a call was answered, to the same body or there is a mismatch."""
        stored = None if key is None else await self._stored(owner_of(call, key))
        if stored is not None:
            _check_body(stored.body_hash, hashlib.sha256(body).digest())
        return stored

    async def _recall(
        self, call: Call, reservation: Reservation, again: Callable[[UUID], bytes]
    ) -> Answer | None:
        """Answer from the fast layer, if it knows the key."""
        known = await self._answers.recall(reservation.owner)
        if known is None:
            return None
        _check_body(known.body_hash, reservation.body_hash)
        own, call.correlation_id = call.correlation_id, known.correlation_id
        response = again(known.resource_id)
        if known.is_answered_by(response):
            self._metrics.replayed()
            return Answer(200, response, headers=[_REPLAY_HEADER])
        # Another version of the gateway, or a template that has changed since.
        call.correlation_id = own
        return None

    def _remember(self, reservation: Reservation, response: bytes) -> None:
        self._answers.remember(
            reservation.owner,
            Remembered(
                reservation.body_hash,
                reservation.resource_id,
                digest_of(response),
                reservation.correlation_id,
            ),
        )

    async def replay(self, owner: KeyOwner, body_hash: bytes) -> Answer:
        """Answer as the key was answered before, to the same body."""
        stored = await self._stored(owner)
        if stored is None:
            # It expired and was pruned since the reservation was lost, or it is just being
            # moved into the ledger: the next try will tell.
            raise KeyInFlight
        _check_body(stored.body_hash, body_hash)
        return self._again(stored)

    def _again(self, stored: StoredAnswer) -> Answer:
        self._metrics.replayed()
        return Answer(
            200,
            stored.response,
            headers=[_REPLAY_HEADER],
            correlation_id=stored.correlation_id,
        )

    async def _stored(self, owner: KeyOwner) -> StoredAnswer | None:
        try:
            stored = await self._store.of(owner.tenant).answer(
                owner.endpoint, owner.key
            )
        except UNAVAILABLE:
            return await self._spool.answer(owner)
        if stored is None and self._spool.may_know_keys:
            stored = await self._spool.answer(owner)
        return stored
