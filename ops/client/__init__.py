"""A client of Tocsin, for senders and subscribers: over HTTP, WebSocket and the bus.

Send one and stay with it::

    async with client.open_gateway("http://127.0.0.1:8080", key) as gateway:
        body = msgspec.json.encode(
            {"channel": "sms", "recipient": "+15555550001", "content": "It is here."}
        )
        accepted = await gateway.create(body, "order-4711")
        async for change in gateway.follow(accepted.value.id):
            print(change.status)

Hear of every notification of a tenant, as a service on the bus::

    async with client.open_bus("nats://127.0.0.1:4222") as bus:
        async for event in bus.changes(tenant="acme"):
            print(event.notification_id, event.status)

Look after the mesh, on record::

    async with client.open_gateway("http://127.0.0.1:8080", key) as gateway:
        operator = client.Operator(gateway, "Ada")
        await operator.pause(Channel.SMS, reason="the provider asked us to")

What can go wrong is a ``GatewayError``, its message one sentence for people.
"""

from ops.client.addresses import is_address, moment
from ops.client.answers import (
    Answer,
    Batch,
    Change,
    Notification,
    Trace,
    TraceEntry,
)
from ops.client.bus import Bus, open_bus
from ops.client.errors import GatewayError, Refused, Unreachable, Unreadable
from ops.client.gateway import Gateway, open_gateway
from ops.client.operating import Operator
from ops.client.patience import patiently

__all__ = [
    "Answer",
    "Batch",
    "Bus",
    "Change",
    "Gateway",
    "GatewayError",
    "Notification",
    "Operator",
    "Refused",
    "Trace",
    "TraceEntry",
    "Unreachable",
    "Unreadable",
    "is_address",
    "moment",
    "open_bus",
    "open_gateway",
    "patiently",
]
