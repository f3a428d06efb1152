"""Health and metrics, for machines that ask without a key."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.routing import Answer, Call, Route, RouteName
from gateway.views import Health, encode
from ops.runtime.readiness import Readiness

_OK = encode(Health())
_METRICS_TYPE = CONTENT_TYPE_LATEST.encode()


class Probes:
    """Handlers of probes and scrapes."""

    def __init__(self, readiness: Readiness, registry: CollectorRegistry) -> None:
        self._readiness = readiness
        self._registry = registry

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(RouteName.LIVE, "GET", "/healthz/live", self.live, None),
            Route(RouteName.READY, "GET", "/healthz/ready", self.ready, None),
            Route(RouteName.METRICS, "GET", "/metrics", self.metrics, None),
        ]

    async def live(self, _call: Call) -> Answer:
        """Say that the process answers."""
        return Answer(200, _OK)

    async def ready(self, _call: Call) -> Answer:
        """Say that every required dependency answers, or name those that do not."""
        missing = await self._readiness.missing()
        if missing:
            raise Refusal(
                ProblemType.DEPENDENCY_UNAVAILABLE,
                f"not available: {', '.join(missing)}",
            )
        return Answer(200, _OK)

    async def metrics(self, _call: Call) -> Answer:
        """Write all metrics in the Prometheus text format."""
        return Answer(200, generate_latest(self._registry), _METRICS_TYPE)
