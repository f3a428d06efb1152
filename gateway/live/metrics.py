"""Metrics of those who follow notifications."""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge


class Transport(StrEnum):
    """How a client follows."""

    WEBSOCKET = "websocket"
    EVENT_STREAM = "event_stream"


class LiveMetrics:
    """Counts clients, and what they are told; every label set exists from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        clients = Gauge(
            "tocsin_live_clients",
            "Open WebSockets and event streams.",
            ["transport"],
            registry=registry,
        )
        self._clients = {
            transport: clients.labels(transport) for transport in Transport
        }
        self._subscriptions = Gauge(
            "tocsin_live_subscriptions",
            "What open clients follow: notifications and filters.",
            registry=registry,
        )
        self._subjects = Gauge(
            "tocsin_live_subjects",
            "Subjects of the bus that are subscribed to for them.",
            registry=registry,
        )
        self._heard = Counter(
            "tocsin_live_status_events",
            "Status events received for those who follow.",
            registry=registry,
        )
        self._untold = Counter(
            "tocsin_live_untold_events",
            "Status events received that could not be read or told.",
            registry=registry,
        )
        frames = Counter(
            "tocsin_live_frames",
            "Status changes told to clients.",
            ["transport"],
            registry=registry,
        )
        self._frames = {transport: frames.labels(transport) for transport in Transport}
        slow = Counter(
            "tocsin_live_slow_clients",
            "Clients disconnected because they read too slowly.",
            ["transport"],
            registry=registry,
        )
        self._slow = {transport: slow.labels(transport) for transport in Transport}
        self._missed = Counter(
            "tocsin_live_missed_events",
            "Status events that showed that an earlier one had not come.",
            registry=registry,
        )
        self.clients = 0
        self.subscriptions = 0
        self.total_frames = 0
        self.total_slow = 0

    def watch_subjects(self, subjects: Callable[[], int]) -> None:
        """Read the number of subjects when metrics are asked for."""
        self._subjects.set_function(subjects)

    def opened(self, transport: Transport) -> None:
        """Count one client in."""
        self.clients += 1
        self._clients[transport].inc()

    def closed(self, transport: Transport) -> None:
        """Count one client out."""
        self.clients -= 1
        self._clients[transport].dec()

    def followed(self, change: int) -> None:
        """Count subscriptions in (positive) or out (negative)."""
        self.subscriptions += change
        self._subscriptions.inc(change)

    def untold(self) -> None:
        """Count one event that nobody was told."""
        self._untold.inc()

    def heard(self) -> None:
        """Count one event of the bus."""
        self._heard.inc()

    def told(self, transport: Transport) -> None:
        """Count one change told to one client."""
        self.total_frames += 1
        self._frames[transport].inc()

    def dropped(self, transport: Transport) -> None:
        """Count one client that was too slow."""
        self.total_slow += 1
        self._slow[transport].inc()

    def missed(self) -> None:
        """Count one event that came without the one before it."""
        self._missed.inc()
