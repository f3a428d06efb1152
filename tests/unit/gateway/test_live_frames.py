"""What goes over a WebSocket, both ways."""

import json

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from contracts.channels import Channel
from contracts.ids import new_id
from contracts.lifecycle import Status
from gateway.live.commands import (
    BadCommand,
    Batch,
    Command,
    Notification,
    read_command,
)
from gateway.live.metrics import LiveMetrics, Transport
from gateway.live.news import text_frame
from gateway.live.watch import Filter

ID = new_id()


@given(st.text(max_size=300))
def test_a_frame_is_read_by_others_as_the_text_it_holds(text: str) -> None:
    reader = Connection(ConnectionType.CLIENT)
    reader.receive_data(text_frame(text.encode()))

    [message] = list(reader.events())
    assert isinstance(message, TextMessage)
    assert message.data == text
    assert message.message_finished


@pytest.mark.parametrize("size", [0, 125, 126, 65_535])
def test_a_frame_may_have_any_size_up_to_its_bound(size: int) -> None:
    reader = Connection(ConnectionType.CLIENT)
    reader.receive_data(text_frame(b"x" * size) * 2)

    messages = [m for m in reader.events() if isinstance(m, TextMessage)]
    assert [len(message.data) for message in messages] == [size, size]


@pytest.mark.parametrize(
    ("target", "read"),
    [
        ({"notification_id": str(ID)}, Notification(ID)),
        ({"batch_id": str(ID)}, Batch(ID)),
        (
            {"channel": "sms", "status": "failed"},
            Filter(Channel.SMS, Status.FAILED),
        ),
        ({"channel": "push"}, Filter(Channel.PUSH, None)),
        ({"status": "queued", "unknown": 1}, Filter(None, Status.QUEUED)),
    ],
)
def test_commands_name_one_thing_to_follow(
    target: dict[str, str], read: object
) -> None:
    for action in ("subscribe", "unsubscribe"):
        command = read_command(json.dumps({"action": action, **target}))
        assert command == Command(action == "subscribe", read)  # type: ignore[arg-type]


@given(st.text() | st.none())
def test_no_text_breaks_the_reader(text: str | None) -> None:
    with pytest.raises(BadCommand):
        read_command(text)


def test_every_series_is_there_from_the_start_and_has_our_prefix() -> None:
    registry = CollectorRegistry()
    LiveMetrics(registry)
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }

    assert set(values.values()) == {0.0}
    assert all(name.startswith("tocsin_live_") for name, *_ in values)
    assert {("tocsin_live_slow_clients_total", t) for t in Transport} <= set(values)


@pytest.mark.parametrize("channel", ["sms", " SMS ", "Sms"])
def test_a_channel_is_read_as_everywhere(channel: str) -> None:
    frame = json.dumps({"action": "subscribe", "channel": channel})

    assert read_command(frame) == Command(True, Filter(Channel.SMS, None))
