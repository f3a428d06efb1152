"""The templates requests name: looked up each time, compiled once for each version."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import structlog

from contracts.channels import Channel
from gateway.requests import NotificationRequest
from gateway.store import Store
from gateway.templating import TemplateFault, Wording
from gateway.validation import Template, parse_uuid
from gateway.views import TemplateView

log = structlog.stdlib.get_logger()

_COMPILED_AT_MOST = 1_000


async def compile_wording(source: str) -> Wording:
    """Compile in a thread, so that nobody waits for it; raises ``TemplateFault``."""
    return await asyncio.to_thread(Wording, source)


class Templates:
    """Finds templates for the handlers that accept notifications."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: OrderedDict[tuple[UUID, datetime], Template] = OrderedDict()

    async def named_in(
        self, tenant: str, requests: Iterable[NotificationRequest]
    ) -> Mapping[UUID, Template]:
        """Return those of the templates the requests name that the tenant has.

        Costs nothing where no template is named, and one statement otherwise.
        """
        named = {r.template_id for r in requests if r.template_id is not None}
        ids = [id_ for id_ in map(parse_uuid, named) if id_ is not None]
        if not ids:
            return {}
        views = await self._store.of(tenant).find_templates(ids)
        found: dict[UUID, Template] = {}
        for view in views:
            try:
                found[view.id] = await self._ready(view)
            except TemplateFault as fault:
                # only if the rules became stricter after it was stored
                log.warning(
                    "template.not_usable", template_id=view.id, fault=str(fault)
                )
        return found

    async def _ready(self, view: TemplateView) -> Template:
        version = view.id, view.updated_at
        template = self._compiled.get(version)
        if template is None:
            subject = view.subject
            template = Template(
                view.id,
                Channel(view.channel),
                await compile_wording(view.body),
                None if subject is None else await compile_wording(subject),
            )
            self._compiled[version] = template
            if len(self._compiled) > _COMPILED_AT_MOST:
                self._compiled.popitem(last=False)
        else:
            self._compiled.move_to_end(version)
        return template
