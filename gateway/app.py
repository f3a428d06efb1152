"""The composition root: what the gateway is made of, and how it stops."""

import asyncio
import socket
from functools import partial

import structlog

from gateway.acceptance import Acceptance
from gateway.allowances import Allowances
from gateway.answers import Answers
from gateway.audit import Audit
from gateway.auth import Authenticate, Keyring, let_everyone_in
from gateway.changes import Changes
from gateway.cors import Cors
from gateway.door import Door
from gateway.front import Front
from gateway.house import House
from gateway.ingest import Ingest
from gateway.intake import Intake
from gateway.letter_store import LetterStore
from gateway.live import live
from gateway.live.live import Live
from gateway.lookups import Lookups
from gateway.metrics import Metrics
from gateway.once import Once
from gateway.proxies import Proxies
from gateway.publishing import Publishing
from gateway.receipts.store import ReceiptStore
from gateway.rest import build_app
from gateway.routes.audit import Records
from gateway.routes.batches import Batches
from gateway.routes.cancel import Cancelling
from gateway.routes.dead_letters import DeadLetters
from gateway.routes.docs import Docs
from gateway.routes.erasures import Erasures
from gateway.routes.health import Probes
from gateway.routes.lanes import Lanes
from gateway.routes.listing import Listing
from gateway.routes.mesh import Mesh
from gateway.routes.notifications import Notifications
from gateway.routes.providers import Providers
from gateway.routes.receipts import Receipts
from gateway.routes.summary import Summaries
from gateway.routes.templates import TemplateRoutes
from gateway.routing import RouteName
from gateway.server import Waits, listen, raise_file_limit, serve
from gateway.settings import GatewaySettings
from gateway.spool import Spool
from gateway.states import States
from gateway.store import Store
from gateway.templates import Templates
from gateway.throughput import Throughput
from gateway.upload import Patience
from ops.runtime.heartbeat import Readings
from ops.runtime.ledger_watch import LedgerWatch
from ops.runtime.service import Service

log = structlog.stdlib.get_logger()

#: Of the time to drain: what clients have to finish their uploads, and what the intake
#: keeps for itself after the last answer.
_CLIENT_SHARE = 0.3
_INTAKE_SHARE = 0.4

#: Served without Quart (docs/adr/0005).
DIRECT = frozenset({RouteName.CREATE_NOTIFICATION, RouteName.CREATE_BATCH})


class Gateway:
    """Everything of one gateway, wired."""

    def __init__(
        self,
        settings: GatewaySettings,
        service: Service,
        *,
        direct: frozenset[RouteName] = DIRECT,
    ) -> None:
        self._settings = settings
        self._service = service
        self._metrics = Metrics(service.registry)
        self._store = Store(service.ledger)
        self._watch = LedgerWatch(service.ledger, str(settings.postgres_dsn))
        self._spool = Spool(service.bus, self._metrics)
        lookups = Lookups(self._store, self._spool)
        self._publishing = Publishing(
            service.bus,
            self._store.forget_groups,
            self._metrics,
            backlog=settings.gateway_publish_backlog,
        )
        self._intake = Intake(
            self._store,
            self._publishing,
            self._spool,
            self._watch,
            self._metrics,
            capacity=settings.gateway_intake_capacity,
            group_at_most=settings.gateway_group_at_most,
            commit_seconds=settings.gateway_commit_seconds,
        )
        self._metrics.watch_depths(
            intake=lambda: self._intake.depth, publishing=lambda: self._publishing.depth
        )
        self._metrics.watch_ledger(lambda: self._watch.is_away)
        # A 202 needs the ledger or, for a while, the bus: with either a gateway does its work.
        service.readiness.depends_on("nats", service.bus.check, required=False)
        service.readiness.depends_on("postgres", self._watch.check, required=False)
        service.readiness.depends_on("postgres or nats", self._check_either)
        service.heartbeat.reports(self._readings)
        self._answers = Answers(
            service.redis,
            self._metrics,
            remember_seconds=settings.gateway_idempotency_hours * 3600,
        )
        acceptance = Acceptance(
            self._intake,
            self._store,
            self._spool,
            self._answers,
            self._metrics,
            idempotency_hours=settings.gateway_idempotency_hours,
        )
        once = Once(
            self._store,
            acceptance,
            idempotency_hours=settings.gateway_idempotency_hours,
        )
        templates = Templates(self._store)
        self._throughput = Throughput()
        self._allowances = self._limit()
        self._patience = Patience(settings.gateway_body_seconds)
        authenticate = self._authenticate()
        door = Door(
            authenticate,
            self._metrics,
            allowances=self._allowances,
            answer_seconds=settings.gateway_answer_seconds,
        )
        self._live = Live(
            settings, service.bus, self._store, lookups, authenticate, service.registry
        )
        self._audit = Audit(
            service.ledger,
            service.bus,
            self._metrics,
            patience_seconds=settings.gateway_audit_seconds,
        )
        self._states = States([self._throughput.heard])
        house = House(settings.gateway_house_tenant)
        changes = Changes(once, self._audit, service.bus)
        letters = LetterStore(service.ledger)
        routes = [
            *Notifications(acceptance, self._store, lookups, templates).routes(),
            *Batches(acceptance, self._store, lookups, templates).routes(),
            *Listing(self._store).routes(),
            *Cancelling(once, lookups, self._publishing, self._audit).routes(),
            *TemplateRoutes(once, self._store).routes(),
            *Summaries(self._store, service.bus.js, self._throughput).routes(),
            *self._live.routes(),
            *DeadLetters(once, letters, self._audit).routes(),
            *Erasures(once, letters, self._audit).routes(),
            *Lanes(changes, self._states, service.bus).routes(house),
            *Providers(changes, self._states, service.bus).routes(house),
            *Mesh(self._states, self._audit.store, service.bus).routes(house),
            *Records(self._store, lookups, self._audit.store, house).routes(),
            *self._receipts().routes(),
            *Probes(service.readiness, service.registry).routes(),
            *Docs().routes(),
        ]
        self.routes = routes
        self.quart = build_app(door, routes, self._patience)
        self._ingest = Ingest(
            door, routes, trust_subjects=settings.gateway_trust_subjects
        )
        self.front = Front(
            door,
            self.quart,
            direct=[route for route in routes if route.name in direct],
            sockets={live.PATH: partial(self._live.serve_socket, door)},
            patience=self._patience,
            proxies=Proxies(settings.gateway_trusted_proxies),
            cors=Cors(settings.gateway_cors_origins),
        )

    def _authenticate(self) -> Authenticate:
        if self._settings.gateway_require_keys:
            keyring = Keyring(
                self._store,
                self._settings.gateway_key_cache_seconds,
                self._settings.gateway_key_grace_seconds,
            )
            return keyring.authenticate
        log.warning("authentication.disabled", host=self._settings.gateway_host)
        return let_everyone_in

    def _receipts(self) -> Receipts:
        return Receipts(
            self._settings.gateway_receipts,
            str(self._settings.gateway_public_url or ""),
            ReceiptStore(self._service.ledger),
            self._publishing,
            self._metrics,
        )

    def _limit(self) -> Allowances | None:
        per_minute = self._settings.gateway_rate_limit
        if not per_minute:
            return None
        return Allowances(self._service.redis, self._metrics, per_minute=per_minute)

    async def _check_either(self) -> None:
        """Raise when nothing can be accepted."""
        if self._watch.is_away:
            await self._service.bus.check()

    def _readings(self) -> Readings:
        return Readings(
            gauges={
                "requests_total": self._metrics.total_requests,
                "accepted_notifications_total": self._metrics.total_accepted,
                "spooled_notifications_total": self._metrics.total_spooled,
                "ledger_away": float(self._watch.is_away),
                "intake_depth_notifications": self._intake.depth,
                "publish_depth_notifications": self._publishing.depth,
                "live_clients": self._live.metrics.clients,
                "live_subscriptions": self._live.metrics.subscriptions,
                "live_frames_total": self._live.metrics.total_frames,
                "live_slow_clients_total": self._live.metrics.total_slow,
            }
        )

    async def run(self, listener: socket.socket) -> None:
        """Serve until told to stop; return when every promise is committed and published.

        Requests finish first, then the intake commits what they brought, then the bus
        gets what was committed. What the bus does not take is the scheduler's.
        """
        committing = asyncio.create_task(self._intake.run(), name="intake")
        publishing = asyncio.create_task(self._publishing.run(), name="publishing")
        sweeping = asyncio.create_task(
            self._publishing.sweep(self._service.stopping), name="outbox.sweep"
        )
        answering = asyncio.create_task(
            self._service.heartbeat.serve(self._ingest.endpoints()), name="ingest.serve"
        )
        living = asyncio.create_task(
            self._live.run(self._service.stopping), name="live"
        )
        listening = asyncio.create_task(
            self._states.listen(self._service.bus, self._service.stopping),
            name="mesh_states",
        )
        auditing = asyncio.create_task(
            self._audit.run(self._service.stopping), name="audit"
        )
        watching = [
            asyncio.create_task(
                self._watch.run(self._service.stopping), name="ledger.watch"
            ),
            asyncio.create_task(
                self._spool.watch(self._service.stopping), name="spool.watch"
            ),
        ]
        tasks = [
            *(committing, publishing, sweeping, living, listening, answering),
            *(auditing, *watching),
        ]
        if self._allowances is not None:
            probing = self._allowances.run(self._service.stopping)
            tasks.append(asyncio.create_task(probing, name="rate_limits"))
        for task in tasks:
            task.add_done_callback(self._ended)
        drain_seconds = self._settings.drain_seconds
        try:
            await serve(
                self.front,
                listener,
                self._stopped,
                drain_seconds * (1 - _INTAKE_SHARE),
                Waits(
                    header_seconds=self._settings.gateway_header_seconds,
                    send_seconds=self._settings.gateway_send_seconds,
                ),
            )
            async with asyncio.timeout(drain_seconds * _INTAKE_SHARE):
                await self._ingest.drain()
                self._intake.drain()
                await committing
                await self._answers.drain()
                self._publishing.drain()
                await publishing
                await sweeping
                await self._publishing.remove_confirmed()
        except TimeoutError:
            log.warning("drain.cut_short", publish_depth=self._publishing.depth)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stopped(self) -> None:
        """Return when the service is told to stop; clients then have to hurry."""
        await self._service.stopping.wait()
        self._patience.end_within(self._settings.drain_seconds * _CLIENT_SHARE)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Stop the service when a loop that should outlive every error has not."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._service.stop.fail(f"{task.get_name()} ended: {error!r}")


async def run(settings: GatewaySettings, service: Service) -> None:
    """Run the gateway until it is told to stop."""
    try:
        listener = listen(settings.gateway_host, settings.gateway_port)
    except OSError as error:
        where = f"{settings.gateway_host}:{settings.gateway_port}"
        service.stop.fail(f"cannot listen on {where}: {error.strerror or error}")
        return
    host, port = listener.getsockname()[:2]
    files = raise_file_limit()
    log.info("gateway.listening", host=host, port=port, files_at_most=files)
    await Gateway(settings, service).run(listener)
