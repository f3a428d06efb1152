import asyncio
import io
from pathlib import Path

import pytest

from console.events import AnyEvent, LinkChanged, LinkCondition
from console.model import Model
from console.source.recorded import (
    Moment,
    RecordedSource,
    RecordingBroken,
    RecordingSource,
    read_recording,
)
from console.source.scripted import ScriptedSource
from tests.unit.console.world import NOON, busy
from tests.waiting import until


async def record(path: Path, told: list[tuple[float, AnyEvent]]) -> list[AnyEvent]:
    """Record what is told and return what was passed on."""
    moments = iter(told)
    heard: list[AnyEvent] = []
    source = ScriptedSource(event for _, event in told)
    with path.open("wb", buffering=0) as file:
        recording = RecordingSource(source, file, clock=lambda: next(moments)[0])
        task = asyncio.create_task(recording.run(heard.append))
        await until(lambda: len(heard) == len(told))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert recording.failure == ""
    return heard


async def test_a_recording_tells_the_same_again(tmp_path):
    told = busy(3)
    heard = await record(tmp_path / "night", told)

    moments = read_recording(tmp_path / "night")

    assert heard == [event for _, event in told]
    assert moments == [Moment(at, event) for at, event in told]


async def test_a_replay_ends_where_the_recording_did(tmp_path):
    told = busy(3)
    await record(tmp_path / "night", told)
    source = RecordedSource(read_recording(tmp_path / "night"), speed=1000)
    live, replayed = Model(), Model()
    for at, event in told:
        live.apply(event, at)
    ended: list[AnyEvent] = []

    def hear(event: AnyEvent) -> None:
        if event == LinkChanged(
            condition=LinkCondition.ENDED, reason="the recording ended"
        ):
            ended.append(event)
        replayed.apply(event, source.clock())

    task = asyncio.create_task(source.run(hear))
    await until(lambda: ended)
    task.cancel()

    again, then = replayed.snapshot(source.clock()), live.snapshot(NOON)
    assert source.clock() == told[-1][0]
    assert again.totals == then.totals
    assert [line.subject for line in again.feed] == [n.subject for n in then.feed]


async def test_a_replay_keeps_the_time_of_the_recording():
    real = [100.0]
    moments = [Moment(NOON + at, busy(1)[0][1]) for at in (0, 60)]
    source = RecordedSource(moments, speed=2, clock=lambda: real[0])
    heard: list[AnyEvent] = []
    task = asyncio.create_task(source.run(heard.append))
    await until(lambda: heard)

    times = []
    for real[0] in (100.0, 101.5, 900.0):
        times.append(source.clock())
    task.cancel()

    assert times == [NOON, NOON + 3, NOON + 60]


def test_a_line_cut_short_by_a_kill_ends_the_recording(tmp_path):
    path = tmp_path / "night"
    path.write_bytes(
        b'{"at":1.0,"event":{"type":"link.answered","seconds":0.1}}\n{"at":2.0,"ev'
    )

    assert len(read_recording(path)) == 1


def test_a_file_that_is_no_recording_is_named_with_its_line(tmp_path):
    path = tmp_path / "night"
    path.write_bytes(b'{"at":1.0,"event":{"type":"link.answered","seconds":0.1}}\n{}\n')

    with pytest.raises(RecordingBroken, match="line 2"):
        read_recording(path)


class FullDisk(io.RawIOBase):
    def write(self, _content: object) -> int:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_ends_the_recording_and_not_the_watch():
    heard: list[AnyEvent] = []
    events = [event for _, event in busy(1)]
    recording = RecordingSource(ScriptedSource(events), FullDisk())
    task = asyncio.create_task(recording.run(heard.append))
    await until(lambda: len(heard) == len(events))
    task.cancel()

    assert recording.failure == "No space left on device"
