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
from console.model.views import LaneView, ServiceView, Snapshot
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


def change_json(change: StatusChanged) -> str:
    """Write a status change as one line of JSON."""
    return msgspec.json.encode(change).decode()


def lanes_text(snapshot: Snapshot) -> str:
    """Write the lanes as a table."""
    header = [
        "channel",
        "priority",
        "state",
        "queued",
        "unacked",
        "in-flight",
        "rate/s",
        "fail",
        "oldest",
    ]
    rows = [_lane_row(lane) for lane in snapshot.lanes]
    totals = snapshot.totals
    rows.append(
        [
            "all",
            "",
            "",
            formats.count(totals.queued),
            "",
            formats.count(totals.in_flight),
            formats.rate(totals.rate),
            formats.share(totals.failing),
            formats.age(totals.oldest_seconds),
        ]
    )
    dead = f"dead letters: {formats.count(totals.dead_letters)}"
    return f"{table(header, rows, left=3)}\n{dead}"


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
        "memory",
    ]
    rows = [_service_row(service) for service in snapshot.services]
    return table(header, rows, left=4)


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
        formats.count(lane.queued),
        formats.count(lane.unacked),
        formats.count(lane.in_flight),
        formats.rate(lane.rate),
        formats.share(lane.failing),
        formats.age(lane.oldest_seconds),
    ]


def _service_row(service: ServiceView) -> list[str]:
    return [
        service.service,
        service.instance or formats.UNSAID,
        service.version or formats.UNSAID,
        service.health,
        formats.age(service.heard_seconds),
        formats.age(service.up_seconds),
        formats.count(service.in_flight),
        formats.size(service.rss_bytes),
    ]


def _time(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.at, UTC)


def _json(**values: Any) -> str:
    return msgspec.json.encode(values).decode()
