"""The mesh itself: its processes, and what the schedulers do when."""

import time

from contracts.mesh import JobReading
from contracts.oversight import ProcessStandings, Schedule
from gateway.audit_store import AuditStore
from gateway.changes import bus_away
from gateway.house import House
from gateway.ops_requests import schedule_page
from gateway.principals import Permission
from gateway.routing import Answer, Call, Route, RouteName
from gateway.states import States
from gateway.views import encode
from ops.runtime.bus import Bus

SERVICES = "/api/v1/ops/services"
SCHEDULE = "/api/v1/ops/schedule"


class Mesh:
    """Handlers of processes and jobs."""

    def __init__(self, states: States, store: AuditStore, bus: Bus) -> None:
        self._states = states
        self._store = store
        self._bus = bus

    def routes(self, house: House) -> list[Route]:
        """Return what is served here."""
        return [
            Route(name, "GET", path, house.only(handler), Permission.OPERATE)
            for name, path, handler in (
                (RouteName.LIST_SERVICES, SERVICES, self.list_services),
                (RouteName.GET_SCHEDULE, SCHEDULE, self.get_schedule),
            )
        ]

    async def list_services(self, _call: Call) -> Answer:
        """Show what every process last said of itself, and how long ago."""
        if not self._bus.nc.is_connected:
            raise bus_away()  # without it, everything looks lost
        items = self._states.standings(time.monotonic())
        return Answer(200, encode(ProcessStandings(items=items)))

    async def get_schedule(self, call: Call) -> Answer:
        """Show the jobs of the schedulers, and runs on record."""
        job, limit = schedule_page(call)
        runs = await self._store.runs(job, limit)
        jobs = [each for each in self._jobs() if job in (None, each.name)]
        return Answer(200, encode(Schedule(jobs=jobs, runs=runs)))

    def _jobs(self) -> list[JobReading]:
        """Return each job once, as the process tells that has spoken last."""
        newest: dict[str, JobReading] = {}
        states = self._states.living("scheduler")
        for state in sorted(states, key=lambda state: state.at):
            newest.update((job.name, job) for job in state.jobs)
        return [job for _, job in sorted(newest.items())]
