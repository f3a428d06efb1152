"""Templates: make, look at, replace and delete them."""

from typing import NamedTuple

from contracts import limits
from contracts.channels import Channel
from contracts.ids import new_id
from contracts.problems import ProblemType
from gateway.bodies import read_json
from gateway.errors import Refusal
from gateway.filters import Query, read_cursor, write_cursor
from gateway.once import Once
from gateway.paths import not_found, uuid_in_path
from gateway.principals import Permission
from gateway.requests import SINGLE_AT_MOST_BYTES, TemplateRequest, decode_template
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import NameTaken, Store, TenantStore
from gateway.templates import compile_wording
from gateway.templating import TemplateFault
from gateway.validation import channel_of
from gateway.views import TemplatePage, TemplateView, encode

PATH = "/api/v1/templates"


class TemplateDraft(NamedTuple):
    """A template that may be stored, in the order of the statements' parameters."""

    name: str
    channel: Channel
    body: str
    subject: str | None


class TemplateRoutes:
    """Handlers of templates."""

    def __init__(self, once: Once, store: Store) -> None:
        self._once = once
        self._store = store

    def routes(self) -> list[Route]:
        """Return what is served here."""
        one = f"{PATH}/<template_id>"
        read, send = Permission.READ, Permission.SEND
        return [
            Route(RouteName.CREATE_TEMPLATE, "POST", PATH, self.create, send),
            Route(RouteName.LIST_TEMPLATES, "GET", PATH, self.list, read),
            Route(RouteName.GET_TEMPLATE, "GET", one, self.get, read),
            Route(RouteName.REPLACE_TEMPLATE, "PUT", one, self.replace, send),
            Route(RouteName.DELETE_TEMPLATE, "DELETE", one, self.delete, send),
        ]

    async def create(self, call: Call) -> Answer:
        """Keep a template under a name that is free."""
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        async with self._once.reading(call, body):
            draft = await check_template(decode_template(body))
        id_ = new_id()

        async def act(store: TenantStore) -> Answer:
            view = await store.create_template(id_, *draft)
            if view is None:
                raise _name_taken()
            location = f"{PATH}/{id_}".encode()
            return Answer(201, encode(view), headers=[(b"location", location)])

        return await self._once.run(call, body, act)

    async def list(self, call: Call) -> Answer:
        """Show a page of templates, newest first."""
        query = Query(call.query)
        tenant, limit = call.principal.tenant, query.limit()
        what = f"templates of {tenant}".encode()
        before = read_cursor(query.text("cursor"), what).before
        views = await self._store.of(tenant).list_templates(before, limit + 1)
        items = views[:limit]
        is_last = len(views) == len(items)
        next_cursor = None if is_last else write_cursor(items[-1].id, what)
        return Answer(200, encode(TemplatePage(items=items, next_cursor=next_cursor)))

    async def get(self, call: Call, template_id: str) -> Answer:
        """Show a template."""
        id_ = uuid_in_path(template_id)
        views = await self._store.of(call.principal.tenant).find_templates([id_])
        return _shown(views[0] if views else None)

    async def replace(self, call: Call, template_id: str) -> Answer:
        """Replace a template; what was accepted with its old words keeps them."""
        id_ = uuid_in_path(template_id)
        body = await read_json(call, SINGLE_AT_MOST_BYTES)
        draft = await check_template(decode_template(body))
        store = self._store.of(call.principal.tenant)
        try:
            return _shown(await store.replace_template(id_, *draft))
        except NameTaken:
            raise _name_taken() from None

    async def delete(self, call: Call, template_id: str) -> Answer:
        """Delete a template, unless a notification made from it still waits."""
        id_ = uuid_in_path(template_id)
        deletion = await self._store.of(call.principal.tenant).delete_template(id_)
        if deletion.deleted:
            return Answer(204, b"")
        if deletion.in_use:
            raise Refusal(
                ProblemType.TEMPLATE_IN_USE,
                "notifications made from this template are not final yet",
            )
        raise not_found("template")


async def check_template(request: TemplateRequest) -> TemplateDraft:
    """Return what was asked for, or raise the ``Refusal`` it deserves."""
    name = _name(request.name)
    channel = channel_of(request.channel, "/channel")
    body = request.body or ""
    if not body:
        raise _bad_body("/body", "body is empty")
    await _check_wording(body, "/body")
    subject = request.subject or None
    if subject is not None:
        if channel is not Channel.EMAIL:
            raise Refusal.of_field(
                ProblemType.BAD_REQUEST, "/subject", "only an email has a subject"
            )
        await _check_wording(subject, "/subject")
    return TemplateDraft(name, channel, body, subject)


def _name(given: str | None) -> str:
    name = (given or "").strip()
    if fault := limits.template_name_fault(name):
        raise Refusal.of_field(ProblemType.INVALID_TEMPLATE_NAME, "/name", fault)
    return name


async def _check_wording(source: str, pointer: str) -> None:
    if fault := limits.template_fault(source):
        raise _bad_body(pointer, fault)
    try:
        await compile_wording(source)
    except TemplateFault as error:
        raise _bad_body(pointer, str(error)) from error


def _bad_body(pointer: str, detail: str) -> Refusal:
    return Refusal.of_field(ProblemType.INVALID_TEMPLATE_BODY, pointer, detail)


def _name_taken() -> Refusal:
    return Refusal.of_field(
        ProblemType.TEMPLATE_EXISTS, "/name", "another template has this name"
    )


def _shown(view: TemplateView | None) -> Answer:
    if view is None:
        raise not_found("template")
    return Answer(200, encode(view))
