"""Many notifications at once, all accepted or none."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.ids import new_id, time_of
from contracts.limits import BATCH_AT_MOST_BYTES
from contracts.problems import FieldError
from gateway.acceptance import Acceptance, key_of
from gateway.bodies import read_json
from gateway.errors import RateLimited, Refusal
from gateway.lookups import Lookups
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.requests import NotificationRequest, decode_batch
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import Store
from gateway.submissions import NewBatch, draft_notification
from gateway.templates import Templates
from gateway.tracing import traceparent_of
from gateway.validation import Draft, Template, check
from gateway.views import BatchAccepted, encode

PATH = "/api/v1/notifications/batch"

_ERRORS_AT_MOST = 100

_TURN_SECONDS = 0.005


class Batches:
    """Handlers of batches."""

    def __init__(
        self,
        acceptance: Acceptance,
        store: Store,
        lookups: Lookups,
        templates: Templates,
    ) -> None:
        self._acceptance = acceptance
        self._store = store
        self._lookups = lookups
        self._templates = templates

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                RouteName.CREATE_BATCH,
                "POST",
                PATH,
                self.create,
                Permission.SEND,
            ),
            Route(
                RouteName.GET_BATCH,
                "GET",
                f"{PATH}/<batch_id>",
                self.get,
                Permission.READ,
            ),
        ]

    async def create(self, call: Call) -> Answer:
        """Accept a batch."""
        key = key_of(call)
        body = await read_json(call, BATCH_AT_MOST_BYTES)
        try:
            members = decode_batch(body)
            await call.spend(len(members) - 1)
            templates = await self._templates.named_in(call.principal.tenant, members)
            drafts = await check_all(members, templates)
        except RateLimited:
            raise
        except Refusal:
            # The key may have had another body, or a template was another then.
            answer = await self._acceptance.answered(call, key, body)
            if answer is None:
                raise
            return answer
        id_ = new_id()  # before its members': their ids are a range that begins here
        reservation_id = None if key is None else id_
        traceparent = traceparent_of(call)
        notifications = [
            draft_notification(
                draft,
                new_id(),
                call,
                traceparent=traceparent,
                key=None,
                batch_id=id_,
                reservation_id=reservation_id,
            )
            for draft in drafts
        ]

        def response_of(id_: UUID) -> bytes:
            return encode(
                BatchAccepted(
                    id=id_,
                    size=len(notifications),
                    correlation_id=call.correlation_id,
                    created_at=time_of(id_),
                )
            )

        return await self._acceptance.accept(
            call,
            resource_id=id_,
            location=f"{PATH}/{id_}",
            response=response_of(id_),
            again=response_of,
            body=body,
            key=key,
            notifications=notifications,
            batch=NewBatch(
                id=id_,
                tenant=call.principal.tenant,
                size=len(notifications),
                last_id=notifications[-1].id,
                correlation_id=call.correlation_id,
                reservation_id=reservation_id,
            ),
        )

    async def get(self, call: Call, batch_id: str) -> Answer:
        """Show a batch with its members."""
        id_ = uuid_in_path(batch_id)
        tenant = call.principal.tenant
        store = self._store.of(tenant)
        # From the spool it is not shown: it would name members that cannot be looked up yet.
        view = await self._lookups.in_ledger(tenant, id_, lambda: store.batch(id_))
        if view is None:
            raise not_found("batch")
        return Answer(200, encode(view), correlation_id=view.correlation_id)


async def check_all(
    members: Sequence[NotificationRequest], templates: Mapping[UUID, Template]
) -> list[Draft]:
    """Return the drafts of all members, or refuse with what is wrong with each of them.

    The problem is the first bad member's. Others get their turn while templates are
    filled in.
    """
    drafts: list[Draft] = []
    refusals: list[Refusal] = []
    turn_ends_at = time.monotonic() + _TURN_SECONDS
    for index, member in enumerate(members):
        try:
            drafts.append(check(member, f"/notifications/{index}", templates))
        except Refusal as refusal:
            refusals.append(refusal)
        if templates and time.monotonic() > turn_ends_at:
            await asyncio.sleep(0)
            turn_ends_at = time.monotonic() + _TURN_SECONDS
    if not refusals:
        return drafts
    errors: list[FieldError] = [e for refusal in refusals for e in refusal.errors]
    raise Refusal(
        refusals[0].problem,
        f"{len(refusals)} of {len(members)} notifications cannot be accepted; "
        f"the first: {refusals[0].detail}",
        errors=errors[:_ERRORS_AT_MOST],
    )
