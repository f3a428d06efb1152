"""The mesh in a few numbers, for dashboards that ask often."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog
from nats.js import JetStreamContext

from contracts.ids import lowest_id_at
from gateway.depths import waiting
from gateway.errors import LedgerAway, Refusal
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from gateway.store import UNAVAILABLE, Store
from gateway.throughput import Throughput
from gateway.views import Latency, Summary, encode

log = structlog.stdlib.get_logger()

#: However often it is asked for, a summary costs the ledger and the bus once in this time.
_REMEMBERED_SECONDS = 2.0

#: Deliveries are looked for among notifications no older than this, and not more than so many.
_LATENCY_WINDOW = timedelta(days=1)
_LATENCY_ROWS = 5_000


class Summaries:
    """The handler of summaries."""

    def __init__(
        self, store: Store, js: JetStreamContext, throughput: Throughput
    ) -> None:
        self._store = store
        self._js = js
        self._throughput = throughput
        self._one_at_a_time = asyncio.Lock()
        self._remembered: bytes | Refusal = b""
        self._until = float("-inf")

    def routes(self) -> list[Route]:
        """Return what is served here."""
        path = "/api/v1/metrics"
        return [
            Route(RouteName.GET_SUMMARY, "GET", path, self.get, Permission.READ),
        ]

    async def get(self, _call: Call) -> Answer:
        """Say what the mesh did in the last minute, and what waits."""
        async with self._one_at_a_time:
            if time.monotonic() >= self._until:
                try:
                    self._remembered = encode(await self._summarize())
                except Refusal as refusal:
                    self._remembered = refusal
                except UNAVAILABLE as error:
                    log.warning("ledger.not_read", error=type(error).__name__)
                    self._remembered = LedgerAway()
                self._until = time.monotonic() + _REMEMBERED_SECONDS
        if isinstance(self._remembered, Refusal):
            raise self._remembered
        return Answer(200, self._remembered)

    async def _summarize(self) -> Summary:
        depths = {str(lane): n for lane, n in (await waiting(self._js)).items()}
        failed = await self._store.count_failed()
        since = lowest_id_at(datetime.now(UTC) - _LATENCY_WINDOW)
        seconds = await self._store.measure_latency(since, _LATENCY_ROWS)
        p50, p95, p99 = seconds or (None, None, None)
        counts = self._throughput.last_minute(time.monotonic())
        finished = counts.delivered + failed
        return Summary(
            created_per_minute=int(counts.created),
            delivered_per_minute=int(counts.delivered),
            failed_per_minute=failed,
            success_rate=counts.delivered / finished if finished else None,
            queue_depth=depths,
            latency_seconds=Latency(p50=p50, p95=p95, p99=p99),
        )
