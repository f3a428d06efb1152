"""The screens as plain text and JSON: for scripts, for notes, and to be read aloud."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from console import formats
from console.events import AnyEvent
from console.model import Model
from console.model.feed import line_of
from console.model.views import (
    JobView,
    LaneView,
    ProviderView,
    RunView,
    ServiceView,
    Snapshot,
)
from console.operator import Group, Letter
from console.readings import breaker_of, shares_of, used_of_limit, window_of
from console.source import Source
from contracts.messages import StatusChanged

#: Every service has reported in this time, and a rate is known.
SETTLE_SECONDS = 4.5
PATIENCE_SECONDS = 5.0


class Unreachable(Exception):
    """The bus did not answer in time; the message says why."""


class Watch:
    """A model fed by a source, without a terminal."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._model = Model()
        self._listening: asyncio.Task[None] | None = None
        self.on_event: Callable[[AnyEvent], None] = lambda _event: None

    async def __aenter__(self) -> "Watch":
        self._listening = asyncio.create_task(
            self._source.run(self._receive), name="console.listen"
        )
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def snapshot(self) -> Snapshot:
        """Draw the moment."""
        now = self._clock()
        self._model.tick(now)
        return self._model.snapshot(now)

    async def connected(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once news has come; raises Unreachable."""
        deadline = time.monotonic() + patience_seconds
        while self.snapshot().link.age_seconds is None:
            if time.monotonic() > deadline:
                raise Unreachable(self.snapshot().link.reason or "no answer")
            await asyncio.sleep(0.02)

    async def snapshots(self, every_seconds: float = 1.0) -> AsyncIterator[Snapshot]:
        """Draw again and again."""
        while True:
            yield self.snapshot()
            await asyncio.sleep(every_seconds)

    def _receive(self, event: AnyEvent) -> None:
        self._model.apply(event, self._clock())
        self.on_event(event)


def lanes_json(snapshot: Snapshot) -> str:
    """Write the lanes as one line of JSON."""
    return _json(
        at=_time(snapshot),
        link=snapshot.link,
        totals=snapshot.totals,
        channels=snapshot.channels,
        lanes=snapshot.lanes,
    )


def services_json(snapshot: Snapshot) -> str:
    """Write the services as one line of JSON."""
    return _json(at=_time(snapshot), link=snapshot.link, services=snapshot.services)


def providers_json(snapshot: Snapshot) -> str:
    """Write the providers as one line of JSON."""
    return _json(at=_time(snapshot), link=snapshot.link, providers=snapshot.providers)


def schedule_json(snapshot: Snapshot) -> str:
    """Write the jobs and their runs as one line of JSON."""
    return _json(
        at=_time(snapshot), link=snapshot.link, jobs=snapshot.jobs, runs=snapshot.runs
    )


def change_json(change: StatusChanged) -> str:
    """Write a status change as one line of JSON."""
    return msgspec.json.encode(change).decode()


def lanes_text(snapshot: Snapshot) -> str:
    """Write the lanes as a table."""
    header = [
        "channel",
        "priority",
        "state",
        "breaker",
        "queued",
        "unacked",
        "in-flight",
        "rate/s",
        "fail",
        "p95",
        "oldest",
        "limit",
    ]
    rows = [_lane_row(lane) for lane in snapshot.lanes]
    totals = snapshot.totals
    rows.append(
        [
            "all",
            "",
            "",
            "",
            formats.count(totals.queued),
            "",
            formats.count(totals.in_flight),
            formats.rate(totals.rate),
            formats.share(totals.failing),
            formats.UNSAID,
            formats.age(totals.oldest_seconds),
            formats.UNSAID,
        ]
    )
    dead = f"dead letters: {formats.count(totals.dead_letters)}"
    return f"{table(header, rows, left=4)}\n{dead}"


def services_text(snapshot: Snapshot) -> str:
    """Write the services as a table."""
    header = [
        "service",
        "instance",
        "version",
        "state",
        "heard",
        "up",
        "in-flight",
        "lag",
        "memory",
        "settings",
    ]
    rows = [_service_row(service) for service in snapshot.services]
    return table(header, rows, left=4)


def providers_text(snapshot: Snapshot) -> str:
    """Write the providers as a table."""
    header = [
        "provider",
        "breaker",
        "share",
        "since",
        "probe",
        "rate/s",
        "limit",
        "fail",
        "window",
        "p95",
        "throttled",
    ]
    return table(header, [_provider_row(row) for row in snapshot.providers], left=3)


def schedule_text(snapshot: Snapshot) -> str:
    """Write the jobs as a table, and below it the runs that are worth a line."""
    jobs = [
        "job",
        "state",
        "every",
        "holder",
        "last-20",
        "next",
        "last",
        "took",
        "repaired",
    ]
    runs = ["began", "job", "ended", "why", "took", "scanned", "repaired"]
    return "\n\n".join(
        (
            table(jobs, [_job_row(row) for row in snapshot.jobs], left=5),
            table(runs, [_run_row(row) for row in snapshot.runs], left=4),
        )
    )


def groups_json(groups: Sequence[Group], now: datetime) -> str:
    """Write groups of dead letters as one line of JSON."""
    return _json(at=now, groups=groups)


def groups_text(groups: Sequence[Group], now: datetime) -> str:
    """Write groups of dead letters as a table."""
    header = ["channel", "class", "reason", "count", "first", "last"]
    rows = [
        [
            group.channel,
            group.class_,
            group.reason,
            formats.count(group.count),
            formats.age((now - group.first).total_seconds()),
            formats.age((now - group.last).total_seconds()),
        ]
        for group in groups
    ]
    return table(header, rows, left=3)


def letters_json(letters: Sequence[Letter]) -> str:
    """Write dead letters as lines of JSON."""
    return msgspec.json.Encoder().encode_lines(letters).decode().rstrip()


def letters_text(letters: Sequence[Letter]) -> str:
    """Write dead letters as a table."""
    header = ["notification", "channel", "priority", "class", "failed", "reason"]
    rows = [
        [
            str(letter.notification_id),
            letter.channel,
            letter.priority,
            letter.class_,
            f"{letter.failed_at:%Y-%m-%d %H:%M:%SZ}",
            letter.reason,
        ]
        for letter in letters
    ]
    return table(header, rows, left=6)


def change_text(change: StatusChanged) -> str:
    """Write a status change as one line."""
    line = line_of(0, change)
    time_ = formats.clock(line.at, milliseconds=True)
    return (
        f"{time_} {line.what:<10} {line.lane:<12} {line.subject} {line.words}".rstrip()
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Align columns; the first ``left`` of them to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    )


def _lane_row(lane: LaneView) -> list[str]:
    return [
        lane.channel,
        lane.priority,
        lane.health,
        breaker_of(lane),
        formats.count(lane.queued),
        formats.count(lane.unacked),
        formats.count(lane.in_flight),
        formats.rate(lane.rate),
        formats.share(lane.failing),
        formats.duration(lane.latency_p95_seconds),
        formats.age(lane.oldest_seconds),
        formats.share(lane.limit_share),
    ]


def _provider_row(provider: ProviderView) -> list[str]:
    return [
        provider.name,
        provider.health,
        shares_of(provider) or formats.UNSAID,
        formats.age(provider.since_seconds),
        formats.age(provider.next_probe_seconds),
        formats.rate(provider.rate),
        formats.share(used_of_limit(provider)),
        formats.share(provider.failing),
        window_of(provider),
        formats.duration(provider.latency_p95_seconds),
        formats.count(provider.throttled),
    ]


def _job_row(job: JobView) -> list[str]:
    return [
        job.name,
        job.health,
        formats.period(job.period_seconds),
        job.holder,
        job.strip or formats.UNSAID,
        formats.until(job.next_seconds),
        formats.age(job.last_seconds),
        formats.duration(job.duration_seconds),
        formats.count(job.repaired),
    ]


def _run_row(run: RunView) -> list[str]:
    return [
        formats.clock(run.started_at),
        run.name,
        run.health,
        run.words or formats.UNSAID,
        formats.duration(run.duration_seconds),
        formats.count(run.scanned),
        formats.count(run.repaired),
    ]


def _service_row(service: ServiceView) -> list[str]:
    return [
        service.service,
        service.instance or formats.UNSAID,
        f"{service.version} older"
        if service.odd_version
        else service.version or formats.UNSAID,
        service.health,
        formats.age(service.heard_seconds),
        formats.age(service.up_seconds),
        formats.count(service.in_flight),
        formats.duration(service.lag_seconds),
        formats.size(service.rss_bytes),
        _settings(service),
    ]


def _settings(service: ServiceView) -> str:
    if service.odd_settings:
        return f"{service.settings_hash} odd"
    return service.settings_hash or formats.UNSAID


def _time(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.at, UTC)


def _json(**values: Any) -> str:
    return msgspec.json.encode(values).decode()
