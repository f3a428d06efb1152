"""A service that does nothing: what is left is what every service stands on."""

from typing import Annotated

from pydantic import Field

from contracts.channels import Channel, Priority
from contracts.mesh import LaneReading
from contracts.settings import MeshSettings
from ops.runtime.health import serve_health
from ops.runtime.heartbeat import Readings
from ops.runtime.service import Service, run_service


class IdleSettings(MeshSettings):
    """``TOCSIN_…`` and the port of the health server."""

    idle_port: Annotated[int, Field(ge=1, le=65535)]


def readings() -> Readings:
    lane = LaneReading(channel=Channel.SMS, priority=Priority.HIGH, in_flight=3)
    return Readings(lanes=[lane], gauges={"idle_seconds": 1.5})


async def run(settings: IdleSettings, service: Service) -> None:
    service.heartbeat.reports(readings)
    async with serve_health(
        service.readiness, service.registry, "127.0.0.1", settings.idle_port
    ):
        await service.stopping.wait()


if __name__ == "__main__":
    run_service("idle", IdleSettings, run)
