"""Receipts: providers tell what became of what they accepted; their signature is their key."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from contracts.problems import ProblemType
from contracts.receipts import RECEIPT_AT_MOST_BYTES
from gateway.bodies import read_form, read_json
from gateway.errors import Refusal
from gateway.metrics import Metrics
from gateway.publishing import Publishing
from gateway.receipts import twilio, webhook
from gateway.receipts.readings import ReceiptOutcome, Told, unsigned
from gateway.receipts.sources import ReceiptForm, ReceiptSource
from gateway.receipts.store import ReceiptStore, Recording
from gateway.routing import Answer, Call, Route, RouteName
from gateway.views import ReceiptTaken, encode

PATH = "/api/v1/receipts"


class Receipts:
    """The handler of receipts.

    ``public_url`` is the gateway's address as providers know it, whatever proxies make of it.
    """

    def __init__(
        self,
        sources: Iterable[ReceiptSource],
        public_url: str,
        store: ReceiptStore,
        publishing: Publishing,
        metrics: Metrics,
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._public_url = public_url.rstrip("/")
        self._store = store
        self._publishing = publishing
        self._metrics = metrics

    def routes(self) -> list[Route]:
        """Return what is served here."""
        path = f"{PATH}/<provider>"
        return [Route(RouteName.TAKE_RECEIPT, "POST", path, self.take, None)]

    async def take(self, call: Call, provider: str) -> Answer:
        """Take a receipt. What is known already, or not at all, is taken too.

        A provider repeats what was refused, and nothing gets better by that.
        """
        source = self._sources.get(provider)
        if source is None:
            await call.spend(1)
            raise Refusal(
                ProblemType.NOT_FOUND,
                "no receipts of a provider of this name are taken",
            )
        try:
            told = await self._read(source, call)
        except Refusal as refusal:
            self._metrics.receipt_refused(source.form)
            if refusal.problem is ProblemType.UNAUTHORIZED:
                await call.spend(1)  # by its address; those who sign pay nothing
            raise
        recording = await self._record(told)
        self._metrics.receipt_taken(source.form, recording.outcome)
        if recording.news is not None:
            await self._publishing.tell(recording.news)
        return Answer(200, encode(ReceiptTaken(outcome=recording.outcome)))

    async def _record(self, told: Told) -> Recording:
        if told.receipt is None:
            return Recording(ReceiptOutcome.IGNORED)
        if told.notification_id is None:
            return Recording(ReceiptOutcome.UNKNOWN)
        return await self._store.record(told.notification_id, told.receipt)

    async def _read(self, source: ReceiptSource, call: Call) -> Told:
        """Read a receipt, whose signature comes before everything it says."""
        if source.form is ReceiptForm.WEBHOOK:
            body = await read_json(call, RECEIPT_AT_MOST_BYTES)
            id_ = webhook.check(source, call.headers, body, time.time())
            return webhook.read(source.name, id_, body)
        fields = twilio.read_form(await read_form(call, RECEIPT_AT_MOST_BYTES))
        query = call.query.decode("latin-1")
        url = f"{self._public_url}{call.path}{'?' if query else ''}{query}"
        given = call.headers.get(b"x-twilio-signature", b"")
        if not twilio.is_signed(source.secrets, url, fields, given):
            raise unsigned("the request is not signed, or not for this address")
        return twilio.read(source.name, call.query, fields, datetime.now(UTC))
