"""Keeps what is accepted while the ledger is away, on the bus (docs/adr/0016).

The scheduler moves it into the ledger. One idempotency key has at most one submission here:
the bus refuses the second, whichever gateway it comes from.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import nats.errors
import structlog
from nats.js import errors as js_errors

from contracts import spool, subjects
from contracts.spool import SpooledSubmission
from contracts.topology import SPOOL
from gateway.errors import LedgerAway, Refusal, SpoolFull, TooLargeToSpool
from gateway.metrics import Metrics, SpoolRefusal
from gateway.spooled import answered_by, spooled
from gateway.store import StoredAnswer
from gateway.submissions import KeyOwner, Submission
from ops.runtime.bus import Bus
from ops.runtime.publisher import FULL_CODES
from ops.runtime.tasks import wait_for_stop

log = structlog.stdlib.get_logger()

_EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
_KEY_IS_TAKEN = 10071

#: What a message has besides its payload, at most.
_HEADERS_BYTES = 1024

#: Submissions of this many notifications are written in a thread.
_LARGE = 50

_LOOK_SECONDS = 1.0

#: To find an id the bus goes through everything it keeps: 15 ms of its time for 100,000.
_SEARCHES_AT_ONCE = 4

#: How far the clocks of two gateways may be apart, and a request may be under way.
_MARGIN_MILLISECONDS = 300_000

_AWAY = (nats.errors.Error, js_errors.Error, TimeoutError, ConnectionError)


class Spool:
    """Puts submissions on the bus, and finds them there again."""

    def __init__(self, bus: Bus, metrics: Metrics) -> None:
        self._bus = bus
        self._metrics = metrics
        self._searches = asyncio.Semaphore(_SEARCHES_AT_ONCE)
        self._answers = True
        self._turns = 0  #: keeps that began or ended
        self._empty_at: int | None = (
            None  #: when it was last seen empty, in milliseconds
        )
        self.may_know_keys = True
        """Whether a key may have been answered here and not yet in the ledger."""

    async def keep(self, submissions: Sequence[Submission]) -> list[bool | Refusal]:
        """Keep each submission, and say for each whether it is kept.

        False is for one whose idempotency key has a submission here already.
        """
        self.may_know_keys = True
        self._turns += 1
        try:
            return await asyncio.gather(*(self._keep(one) for one in submissions))
        finally:
            self._turns += 1

    async def _keep(self, submission: Submission) -> bool | Refusal:
        entry = spooled(submission, datetime.now(UTC))
        size = len(entry.notifications)
        if size < _LARGE:
            payload = spool.encode(entry)
        else:
            payload = await asyncio.to_thread(spool.encode, entry)
        if len(payload) + _HEADERS_BYTES > self._bus.nc.max_payload:
            return self._refuse(SpoolRefusal.TOO_LARGE)
        reservation = submission.reservation
        digest = None if reservation is None else reservation.owner.digest
        try:
            await self._bus.js.publish(
                subjects.spooled(entry.id, digest),
                payload,
                stream=SPOOL.name,
                headers=None if digest is None else _once(digest),
            )
        except js_errors.APIError as error:
            if error.err_code == _KEY_IS_TAKEN:
                return False
            if error.err_code in FULL_CODES:
                return self._refuse(SpoolRefusal.FULL)
            log.warning("spool.not_written", error=repr(error))
            return self._refuse(SpoolRefusal.AWAY)
        except _AWAY:
            return self._refuse(SpoolRefusal.AWAY)
        self._metrics.spooled(size)
        return True

    def _refuse(self, because: SpoolRefusal) -> Refusal:
        self._metrics.not_spooled(because)
        match because:
            case SpoolRefusal.FULL:
                return SpoolFull()
            case SpoolRefusal.TOO_LARGE:
                return TooLargeToSpool()
            case SpoolRefusal.AWAY:
                return LedgerAway()

    def may_hold(self, id_: UUID) -> bool:
        """Say whether an id may be here: whether it is younger than when this was empty."""
        milliseconds = id_.int >> 80
        return (
            self._empty_at is None
            or milliseconds > self._empty_at - _MARGIN_MILLISECONDS
        )

    async def find(self, tenant: str, id_: UUID) -> SpooledSubmission | None:
        """Return a tenant's submission by the id of its notification or batch.

        Raises ``LedgerAway`` when nobody can say whether it is here.
        """
        if not self.may_hold(id_):
            return None
        async with self._searches:
            entry = await self._get(subjects.spooled_with_id(id_))
        return entry if entry is not None and entry.tenant == tenant else None

    async def answer(self, owner: KeyOwner) -> StoredAnswer | None:
        """Return what an idempotency key was answered when its submission was kept.

        Raises ``LedgerAway`` when nobody can say.
        """
        entry = await self._get(subjects.spooled_with_key(owner.digest))
        return None if entry is None else answered_by(entry, owner)

    async def knows(self, owners: Sequence[KeyOwner]) -> list[bool]:
        """Say of each idempotency key whether a submission with it is kept.

        While the bus does not answer, nobody can say, and the answer is False: the scheduler
        lets one notification of a key be (docs/adr/0016).
        """
        if not self.may_know_keys:
            return [False] * len(owners)
        return await asyncio.gather(*(self._knows(owner) for owner in owners))

    async def _knows(self, owner: KeyOwner) -> bool:
        try:
            return await self.answer(owner) is not None
        except LedgerAway:
            return False

    async def _get(self, subject: str) -> SpooledSubmission | None:
        # The leader is asked: a replica may not have it yet, and what was promised is there.
        if not self._answers:
            raise LedgerAway
        try:
            message = await self._bus.js.get_msg(SPOOL.name, subject=subject)
            return spool.decode(message.data or b"")
        except js_errors.NotFoundError:
            return None
        except _AWAY:
            raise LedgerAway from None
        except ValueError as error:
            log.warning("spool.not_read", error=type(error).__name__)
            raise LedgerAway from None

    async def watch(self, stopping: asyncio.Event) -> None:
        """See now and then whether anything is kept, until told to stop."""
        while True:
            await self._look()
            if await wait_for_stop(stopping, _LOOK_SECONDS):
                return

    async def _look(self) -> None:
        asked_at, turns = time.time_ns() // 1_000_000, self._turns
        try:
            info = await self._bus.js.stream_info(SPOOL.name)
            is_empty = info.state.messages == 0
        except js_errors.NotFoundError:
            is_empty = True
        except _AWAY:
            self._answers = False
            return
        self._answers = True
        is_empty = is_empty and turns == self._turns and turns % 2 == 0
        if is_empty:
            self._empty_at = asked_at
        self.may_know_keys = not is_empty


def _once(digest: str) -> dict[str, str]:
    return {
        _EXPECTED_SEQUENCE: "0",
        _EXPECTED_SUBJECT: subjects.spooled_with_key(digest),
    }
