"""Recordings: one event a line, with the second it came. For reviews, demos and tests."""

import asyncio
import time
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path

import msgspec

from console.events import AnyEvent, LinkChanged, LinkCondition
from console.source import Sink, Source


class Moment(msgspec.Struct, frozen=True):
    """One line of a recording."""

    at: float
    event: AnyEvent


_decoder = msgspec.json.Decoder(Moment)
_encoder = msgspec.json.Encoder()


class RecordingBroken(Exception):
    """A file is not a recording, or not one this version can read."""


class RecordingSource:
    """Passes a source's events on and writes them to a file.

    The file is unbuffered: what was heard is written even when the console is killed. A
    file that cannot be written any more ends the recording, never the console: ``failure``
    then says why.
    """

    def __init__(
        self, source: Source, file: RawIOBase, clock: Callable[[], float] = time.time
    ) -> None:
        self.failure = ""
        self._source = source
        self._file = file
        self._clock = clock

    def refresh(self) -> None:
        """Ask the recorded source."""
        self._source.refresh()

    async def run(self, sink: Sink) -> None:
        """Pass on and write until cancelled."""

        def tee(event: AnyEvent) -> None:
            if not self.failure:
                self._write(Moment(self._clock(), event))
            sink(event)

        await self._source.run(tee)

    def _write(self, moment: Moment) -> None:
        try:
            self._file.write(_encoder.encode(moment) + b"\n")
        except OSError as error:
            self.failure = error.strerror or type(error).__name__


class Recording:
    """A file of moments, read anew each time: an hour of a busy mesh is a gigabyte."""

    def __init__(self, path: Path) -> None:
        """Read it through once; raises RecordingBroken with the line that cannot be read."""
        self._path = path
        self._length = 0
        self.first_at = 0.0
        self.last_at = 0.0
        for moment in self:
            self.first_at = moment.at if not self._length else self.first_at
            self.last_at = moment.at
            self._length += 1

    def __len__(self) -> int:
        """Return how many moments it has."""
        return self._length

    def __iter__(self) -> Iterator[Moment]:
        """Yield the moments in the order they came."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _decoder.decode(line)
                except msgspec.MsgspecError as error:
                    if not line.endswith(b"\n"):
                        return  # cut short when its console was killed
                    raise RecordingBroken(
                        f"{self._path}, line {number}: {error}"
                    ) from None


class RecordedSource:
    """Tells a recording again, in its own time.

    ``clock`` gives the time of the recording, exactly that of an event while it is told,
    and stops at the end: ages and rates are what they were.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recording = recording
        self._speed = speed
        self._real = clock
        self._started_at: float | None = None
        self._telling_at: float | None = None

    def clock(self) -> float:
        """Return the time in the recording, in POSIX seconds."""
        first, last = self._recording.first_at, self._recording.last_at
        if self._telling_at is not None:
            return self._telling_at
        if self._started_at is None:
            return first
        return min(first + (self._real() - self._started_at) * self._speed, last)

    def refresh(self) -> None:
        """Do nothing: a recording knows no more than it tells."""

    async def run(self, sink: Sink) -> None:
        """Tell everything, say that it ended, and stay."""
        self._started_at = self._real()
        for moment in self._recording:
            wait = (moment.at - self.clock()) / self._speed
            if wait > 0:
                await asyncio.sleep(wait)
            self._telling_at = moment.at
            sink(moment.event)
            self._telling_at = None
        sink(LinkChanged(condition=LinkCondition.ENDED, reason="the recording ended"))
        await asyncio.Event().wait()
