"""The processes of the mesh: who is there, how they are, who went silent."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace

from console.model.lanes import Served
from console.model.providers import Spoken
from console.model.views import ServiceHealth, ServiceView, Tone
from contracts.channels import Channel, Lane
from contracts.mesh import ServiceCondition, ServiceState

#: A service whose report is overdue by half its period is late.
LATE_SECONDS = 1.5
#: A service that says nothing for this long is lost: it misses three of its reports.
SILENT_SECONDS = 3.0
#: A service that said it is draining may take this long before it counts as stopped.
DRAIN_SECONDS = 10.0
#: A lost process is trouble for this long; then it is history.
LOST_SECONDS = 15 * 60.0
STOPPED_ROW_SECONDS = 10 * 60.0
GONE_ROW_SECONDS = 24 * 3600.0

#: Without these three nothing is accepted, sent or released.
EXPECTED = ("gateway", "dispatcher", "scheduler")

_LIVE = frozenset(
    {
        ServiceHealth.READY,
        ServiceHealth.UNREADY,
        ServiceHealth.STARTING,
        ServiceHealth.DRAINING,
    }
)


@dataclass
class _Process:
    state: ServiceState
    heard_at: float
    health: ServiceHealth


@dataclass(frozen=True)
class Turn:
    """A process became something else than it was."""

    view: ServiceView
    before: ServiceHealth | None
    tone: Tone
    restarted: bool = False


class ServiceBook:
    """Every process heard of, by service and instance."""

    def __init__(self) -> None:
        self._processes: dict[tuple[str, str], _Process] = {}
        self._listening_since: float | None = None
        self._hears_until = 0.0

    def listen(self, now: float | None) -> None:
        """Say since when the console hears the mesh; None while it is cut off.

        Silence counts against a service only while the console could have heard it.
        """
        self._listening_since = now

    def report(self, now: float, state: ServiceState) -> Turn | None:
        """Take a report; returns a turn when the process is new or has changed."""
        name = (state.service, state.instance)
        known = self._processes.get(name)
        if known is not None and state.at < known.state.at:
            return None
        health = ServiceHealth(state.condition.value)
        before = known.health if known else None
        restarted = known is not None and known.state.started_at < state.started_at
        self._processes[name] = _Process(state, now, health)
        if before is health and not restarted:
            return None
        turn = self._turn(now, name, before)
        return replace(turn, restarted=True, tone=Tone.WARN) if restarted else turn

    def tick(self, now: float, hears_until: float) -> list[Turn]:
        """Notice who went silent, and drop the rows nobody needs any more.

        After ``hears_until`` the bus itself was silent, which is no service's fault.
        """
        self._hears_until = hears_until
        turns = []
        for name, process in list(self._processes.items()):
            health = self._judge(now, process)
            if health is not process.health:
                before, process.health = process.health, health
                if health is not ServiceHealth.GONE:
                    turns.append(self._turn(now, name, before))
            if self._over(now, process):
                del self._processes[name]
        return turns

    def live(self) -> Iterator[ServiceState]:
        """Yield the last state of each process that was not found silent or stopped."""
        for process in self._processes.values():
            if process.health in _LIVE:
                yield process.state

    def names(self) -> Set[tuple[str, str]]:
        """Return the service and instance of every process that still has a row."""
        return self._processes.keys()

    def spoken(self) -> list[Spoken]:
        """Return the last state of each process that was not told to stop."""
        return [
            Spoken(process.state, process.heard_at, process.health in _LIVE)
            for process in self._processes.values()
            if process.health not in {ServiceHealth.STOPPED, ServiceHealth.GONE}
        ]

    def served(self) -> dict[Lane, Served]:
        """Return what the dispatchers say of each lane that any of them serves."""
        sums: dict[Lane, Served] = {}
        for state in self.live():
            for reading in state.lanes:
                lane = Lane(reading.channel, reading.priority)
                sums[lane] = sums.get(lane, Served()).plus(reading)
        return sums

    def limits(self) -> dict[Channel, float]:
        """Return what each channel may send per second, as far as dispatchers say."""
        limits: dict[Channel, float] = {}
        for state in self.live():
            for channel, limit in state.limits.items():
                limits[channel] = max(limit, limits.get(channel, 0.0))
        return limits

    def dependencies(self) -> dict[str, str]:
        """Return for each server "ok", or what is wrong with it and for how many."""
        answers: dict[str, list[str]] = {}
        for state in self.live():
            for name, answer in state.dependencies.items():
                answers.setdefault(name, []).append(answer)
        return {name: _sum_up(said) for name, said in answers.items()}

    def views(self, now: float) -> tuple[ServiceView, ...]:
        """Draw every process, by name, and a place for each service that is missing."""
        rows = [self._view(now, process) for process in self._processes.values()]
        rows += self._absences(rows)
        return tuple(sorted(rows, key=lambda row: (_rank(row.service), row.key)))

    def _judge(self, now: float, process: _Process) -> ServiceHealth:
        """Say what a process is after its silence so far."""
        if self.cut_off:
            return process.health
        silent = self._silence(now, process)
        if process.state.condition is ServiceCondition.DRAINING:
            stopped = silent > DRAIN_SECONDS
            return ServiceHealth.STOPPED if stopped else process.health
        if silent <= SILENT_SECONDS:
            return process.health
        gone = now - process.heard_at > LOST_SECONDS
        return ServiceHealth.GONE if gone else ServiceHealth.LOST

    def _silence(self, now: float, process: _Process) -> float:
        """Return for how long a process could have been heard and was not."""
        since = self._listening_since
        if since is None:
            return 0.0
        return min(now, self._hears_until) - max(process.heard_at, since)

    def _over(self, now: float, process: _Process) -> bool:
        heard = now - process.heard_at
        if process.health is ServiceHealth.STOPPED:
            return heard > STOPPED_ROW_SECONDS
        return process.health is ServiceHealth.GONE and heard > GONE_ROW_SECONDS

    def _turn(
        self, now: float, name: tuple[str, str], before: ServiceHealth | None
    ) -> Turn:
        process = self._processes[name]
        view = self._view(now, process)
        return Turn(view, before, _TONES.get(process.health, Tone.NOTE))

    def _view(self, now: float, process: _Process) -> ServiceView:
        state = process.state
        heard = max(0.0, now - process.heard_at)
        cut_off = self._listening_since is None and heard > SILENT_SECONDS
        health = ServiceHealth.UNKNOWN if cut_off else process.health
        live = health in _LIVE
        return ServiceView(
            service=state.service,
            instance=state.instance,
            health=health,
            version=state.version,
            odd_version=live and state.version != self._newest_version(),
            odd_settings=live and self._is_odd(state),
            pid=state.pid,
            heard_seconds=heard,
            late=live and self._silence(now, process) > LATE_SECONDS,
            up_seconds=max(0.0, (state.at - state.started_at).total_seconds()),
            in_flight=sum(lane.in_flight for lane in state.lanes)
            if state.lanes
            else None,
            rss_bytes=state.rss_bytes,
            dependencies=state.dependencies,
            gauges=state.gauges,
            lanes=tuple(state.lanes),
            lag_seconds=state.lag_seconds,
            settings_hash=state.settings_hash,
        )

    def _newest_version(self) -> str:
        live = list(self.live())
        return max(live, key=lambda state: state.started_at).version if live else ""

    def _is_odd(self, state: ServiceState) -> bool:
        """Say whether the newest of its like is configured otherwise."""
        alike = [other for other in self.live() if other.service == state.service]
        newest = max(alike, key=lambda other: other.started_at)
        return state.settings_hash != newest.settings_hash

    @property
    def cut_off(self) -> bool:
        """Whether the console hears nobody."""
        return self._listening_since is None

    def _absences(self, rows: Iterable[ServiceView]) -> list[ServiceView]:
        since = self._listening_since
        if since is None or self._hears_until - since <= SILENT_SECONDS:
            return []
        there = {
            row.service
            for row in rows
            if row.health not in {ServiceHealth.STOPPED, ServiceHealth.GONE}
        }
        return [
            ServiceView(service=name, instance="", health=ServiceHealth.ABSENT)
            for name in EXPECTED
            if name not in there
        ]


_TONES = {
    ServiceHealth.LOST: Tone.BAD,
    ServiceHealth.UNREADY: Tone.BAD,
    ServiceHealth.DRAINING: Tone.WARN,
    ServiceHealth.READY: Tone.GOOD,
}


def _rank(service: str) -> int:
    return EXPECTED.index(service) if service in EXPECTED else len(EXPECTED)


def _sum_up(answers: list[str]) -> str:
    wrong = [answer for answer in answers if answer != "ok"]
    if not wrong:
        return "ok"
    if len(wrong) == len(answers):
        return wrong[0]
    return f"{wrong[0]} ({len(wrong)} of {len(answers)})"
