"""Snapshots of a stream, taken and restored as ``nats stream backup`` and ``restore`` do."""

import json
from typing import Any, NamedTuple

from ops.runtime.bus import Bus

_SECONDS = 10


class Snapshot(NamedTuple):
    """A stream with its consumers at one moment."""

    config: dict[str, Any]
    state: dict[str, Any]
    chunks: list[bytes]


async def snapshot(bus: Bus, stream: str) -> Snapshot:
    """Take one."""
    inbox = bus.nc.new_inbox()
    subscription = await bus.nc.subscribe(inbox)
    answer = await _ask(
        bus, f"$JS.API.STREAM.SNAPSHOT.{stream}", {"deliver_subject": inbox}
    )
    chunks: list[bytes] = []
    while (message := await subscription.next_msg(_SECONDS)).data:
        chunks.append(message.data)
        if message.reply:
            await message.respond(b"")
    await subscription.unsubscribe()
    return Snapshot(answer["config"], answer["state"], chunks)


async def restore(bus: Bus, taken: Snapshot) -> None:
    """Put a stream back to where it was; what it holds now is gone."""
    name = taken.config["name"]
    await bus.js.delete_stream(name)
    answer = await _ask(
        bus,
        f"$JS.API.STREAM.RESTORE.{name}",
        {"config": taken.config, "state": taken.state},
    )
    for chunk in taken.chunks:
        await bus.nc.request(answer["deliver_subject"], chunk, timeout=_SECONDS)
    end = await bus.nc.request(answer["deliver_subject"], b"", timeout=_SECONDS)
    assert "error" not in json.loads(end.data), end.data


async def _ask(bus: Bus, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    message = await bus.nc.request(subject, json.dumps(body).encode(), timeout=_SECONDS)
    answer: dict[str, Any] = json.loads(message.data)
    assert "error" not in answer, answer
    return answer
