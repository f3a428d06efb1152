"""One notification: create it, look at it, see what happened to it."""

from uuid import UUID

from contracts.ids import new_id
from gateway.acceptance import Acceptance, key_of
from gateway.bodies import read_json
from gateway.errors import Refusal
from gateway.lookups import Lookups
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.requests import SINGLE_AT_MOST_BYTES, decode_single
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import Store
from gateway.submissions import NewNotification, draft_notification
from gateway.templates import Templates
from gateway.tracing import traceparent_of
from gateway.validation import check
from gateway.views import accepted, encode

PATH = "/api/v1/notifications"


class Notifications:
    """Handlers of single notifications."""

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
                RouteName.CREATE_NOTIFICATION,
                "POST",
                PATH,
                self.create,
                Permission.SEND,
            ),
            Route(
                RouteName.GET_NOTIFICATION,
                "GET",
                f"{PATH}/<notification_id>",
                self.get,
                Permission.READ,
            ),
            Route(
                RouteName.GET_TRACE,
                "GET",
                f"{PATH}/<notification_id>/trace",
                self.trace,
                Permission.READ,
            ),
        ]

    async def create(self, call: Call) -> Answer:
        """Accept a notification."""
        key = key_of(call)
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        try:
            asked = decode_single(body)
            templates = await self._templates.named_in(call.principal.tenant, (asked,))
            draft = check(asked, templates=templates)
        except Refusal:
            # The key may have had another body, or the template was another then.
            answer = await self._acceptance.answered(call, key, body)
            if answer is None:
                raise
            return answer
        id_ = new_id()
        traceparent = traceparent_of(call)

        def notification_of(id_: UUID) -> NewNotification:
            return draft_notification(
                draft,
                id_,
                call,
                traceparent=traceparent,
                key=key,
                reservation_id=None if key is None else id_,
            )

        notification = notification_of(id_)
        return await self._acceptance.accept(
            call,
            resource_id=id_,
            location=f"{PATH}/{id_}",
            response=encode(accepted(notification)),
            again=lambda id_: encode(accepted(notification_of(id_))),
            body=body,
            key=key,
            notifications=(notification,),
        )

    async def get(self, call: Call, notification_id: str) -> Answer:
        """Show a notification."""
        id_ = uuid_in_path(notification_id)
        view = await self._lookups.notification(call.principal.tenant, id_)
        if view is None:
            raise not_found("notification")
        return Answer(200, encode(view), correlation_id=view.correlation_id)

    async def trace(self, call: Call, notification_id: str) -> Answer:
        """Show everything that happened to a notification."""
        id_ = uuid_in_path(notification_id)
        tenant = call.principal.tenant
        store = self._store.of(tenant)
        trace = await self._lookups.in_ledger(tenant, id_, lambda: store.trace(id_))
        if trace is None:
            raise not_found("notification")
        return Answer(200, encode(trace))
