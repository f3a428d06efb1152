"""Metrics of those who follow notifications."""

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge


class Door(StrEnum):
    """How a client follows."""

    WEBSOCKET = "websocket"
    EVENT_STREAM = "event_stream"


class LiveMetrics:
    """Counts clients, and what they are told; every label set exists from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        clients = Gauge(
            "tocsin_live_clients",
            "Open WebSockets and event streams.",
            ["door"],
            registry=registry,
        )
        self._clients = {door: clients.labels(door) for door in Door}
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
        frames = Counter(
            "tocsin_live_frames",
            "Status changes told to clients.",
            ["door"],
            registry=registry,
        )
        self._frames = {door: frames.labels(door) for door in Door}
        slow = Counter(
            "tocsin_live_slow_clients",
            "Clients disconnected because they read too slowly.",
            ["door"],
            registry=registry,
        )
        self._slow = {door: slow.labels(door) for door in Door}
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

    def opened(self, door: Door) -> None:
        """Count one client in."""
        self.clients += 1
        self._clients[door].inc()

    def closed(self, door: Door) -> None:
        """Count one client out."""
        self.clients -= 1
        self._clients[door].dec()

    def followed(self, change: int) -> None:
        """Count subscriptions in (positive) or out (negative)."""
        self.subscriptions += change
        self._subscriptions.inc(change)

    def heard(self) -> None:
        """Count one event of the bus."""
        self._heard.inc()

    def told(self, door: Door) -> None:
        """Count one change told to one client."""
        self.total_frames += 1
        self._frames[door].inc()

    def dropped(self, door: Door) -> None:
        """Count one client that was too slow."""
        self.total_slow += 1
        self._slow[door].inc()

    def missed(self) -> None:
        """Count one event that came without the one before it."""
        self._missed.inc()
