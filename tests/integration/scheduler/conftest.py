import pytest
from prometheus_client import CollectorRegistry

from ops.runtime.absence import Absence
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from scheduler.dead_letters import DeadLetters
from scheduler.metrics import Metrics
from scheduler.publisher import Publisher
from scheduler.store import Store
from scheduler.undelivered import Undelivered


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.fixture
def store(ledger: Ledger) -> Store:
    return Store(ledger)


@pytest.fixture
def publisher(bus: Bus, store: Store, metrics: Metrics) -> Publisher:
    return Publisher(bus, store, metrics, late_seconds=5.0)


@pytest.fixture
def absence() -> Absence:
    return Absence(2.0)


@pytest.fixture
def undelivered(
    bus: Bus, store: Store, publisher: Publisher, metrics: Metrics, absence: Absence
) -> Undelivered:
    return Undelivered(bus, store, publisher, metrics, absence)


@pytest.fixture
def dead_letters(
    bus: Bus,
    store: Store,
    publisher: Publisher,
    undelivered: Undelivered,
    metrics: Metrics,
) -> DeadLetters:
    return DeadLetters(bus, store, publisher, undelivered, metrics)
