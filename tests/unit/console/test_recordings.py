import asyncio
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.events import AnyEvent, LinkChanged, LinkCondition
from console.model import Model
from console.source.recorded import (
    Moment,
    RecordedSource,
    Recording,
    RecordingBroken,
    RecordingSource,
)
from console.source.scripted import ScriptedSource
from tests.unit.console.conformance import Mesh, SourceConformance, scripted_mesh
from tests.unit.console.world import NOON, BusyMesh, busy
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


class TestRecordingSource(SourceConformance):
    """A recording passes on what it writes, and what was written is heard again."""

    @pytest.fixture
    def mesh(self, tmp_path: Path) -> Iterator[Mesh]:
        mesh = scripted_mesh()
        path = tmp_path / "night"
        with path.open("wb", buffering=0) as file:
            mesh.source = RecordingSource(mesh.source, file)
            yield mesh
        assert [moment.event for moment in Recording(path)] == mesh.heard


async def test_a_recording_tells_the_same_again(tmp_path):
    told = busy(3)
    heard = await record(tmp_path / "night", told)

    moments = Recording(tmp_path / "night")

    assert heard == [event for _, event in told]
    assert list(moments) == [Moment(at, event) for at, event in told]


async def test_a_replay_ends_where_the_recording_did(tmp_path):
    told = busy(3)
    await record(tmp_path / "night", told)
    source = RecordedSource(Recording(tmp_path / "night"), speed=1000)
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


async def test_a_replay_keeps_the_time_of_the_recording(tmp_path):
    real = [100.0]
    event = busy(1)[0][1]
    await record(tmp_path / "night", [(NOON, event), (NOON + 60, event)])
    source = RecordedSource(
        Recording(tmp_path / "night"), speed=2, clock=lambda: real[0]
    )
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

    assert len(Recording(path)) == 1


def test_a_file_that_is_no_recording_is_named_with_its_line(tmp_path):
    path = tmp_path / "night"
    path.write_bytes(b'{"at":1.0,"event":{"type":"link.answered","seconds":0.1}}\n{}\n')

    with pytest.raises(RecordingBroken, match="line 2"):
        Recording(path)


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


def test_an_hour_of_traffic_takes_no_more_memory_than_half_of_it():
    """The traffic of an hour, a twentieth as dense: after 24 minutes the feed is full."""
    model, mesh = Model(), BusyMesh()
    tracemalloc.start()
    kept: list[int] = []
    for minute in range(60):
        for second in range(0, 60, 20):
            for at, event in mesh.second(NOON + 60 * minute + second):
                model.apply(event, at)
            model.tick(NOON + 60 * minute + second)
        model.snapshot(NOON + 60 * minute + 59)
        kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    assert kept[-1] < 1.1 * kept[29]
