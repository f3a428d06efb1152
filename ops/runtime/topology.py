"""Brings a bus to the shape that ``contracts.topology`` declares.

Streams and consumers are compared with what the server has. Missing ones are made, drift is
put right by sending the whole configuration, and a difference that only deleting could mend
is refused.
"""

from dataclasses import dataclass

import structlog
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError

from contracts import topology
from contracts.topology import Consumer, Retention, Stream
from ops.runtime.errors import TopologyConflict

log = structlog.stdlib.get_logger()

_RETENTION = {
    Retention.LIMITS: RetentionPolicy.LIMITS,
    Retention.WORK_QUEUE: RetentionPolicy.WORK_QUEUE,
}


@dataclass(frozen=True)
class Change:
    """One thing ``ensure`` did, for people to read."""

    name: str
    action: str  #: "created" or "updated"


async def ensure(js: JetStreamContext, *, replicas: int = 1) -> list[Change]:
    """Make the bus match the declared topology and return what had to be changed.

    Calling it again changes nothing. Raises ``TopologyConflict`` before it would have to
    delete a stream or a consumer.
    """
    changes = []
    for stream in topology.STREAMS:
        changes += await _ensure_stream(js, stream, replicas)
    for consumer in topology.CONSUMERS:
        changes += await _ensure_consumer(js, consumer)
    for change in changes:
        log.info("topology.changed", name=change.name, action=change.action)
    return changes


async def _ensure_stream(
    js: JetStreamContext, stream: Stream, replicas: int
) -> list[Change]:
    wanted = _stream_config(stream, replicas)
    try:
        info = await js.stream_info(stream.name)
    except NotFoundError:
        await js.add_stream(wanted)
        return [Change(stream.name, "created")]
    _refuse_destructive(stream, info)
    if not _stream_drifted(wanted, info.config):
        return []
    await js.update_stream(wanted)
    return [Change(stream.name, "updated")]


def _stream_config(stream: Stream, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=_RETENTION[stream.retention],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW if stream.discard_new else DiscardPolicy.OLD,
        max_age=stream.max_age_seconds,
        max_bytes=stream.max_bytes,
        max_msgs=-1,
        max_consumers=-1,
        max_msg_size=-1,
        max_msgs_per_subject=stream.history or -1,
        num_replicas=replicas,
        duplicate_window=stream.duplicate_window_seconds,
        allow_direct=True,
        allow_atomic=stream.allow_atomic,
        allow_rollup_hdrs=stream.history > 0,
        deny_delete=stream.history > 0,
    )


_STREAM_FIELDS = (
    "subjects",
    "discard",
    "max_age",
    "max_bytes",
    "max_msgs",
    "max_msgs_per_subject",
    "num_replicas",
    "duplicate_window",
    "allow_direct",
    "allow_atomic",
    "allow_rollup_hdrs",
    "deny_delete",
)


def _stream_drifted(wanted: StreamConfig, actual: StreamConfig) -> bool:
    return any(
        (getattr(wanted, field) or None) != (getattr(actual, field) or None)
        for field in _STREAM_FIELDS
    )


def _refuse_destructive(stream: Stream, info: StreamInfo) -> None:
    actual = info.config
    if actual.retention != _RETENTION[stream.retention]:
        raise TopologyConflict(
            f"stream {stream.name} keeps messages by '{actual.retention}', "
            f"not '{stream.retention}'; changing that would delete it"
        )
    if actual.storage != StorageType.FILE:
        raise TopologyConflict(
            f"stream {stream.name} is stored in '{actual.storage}', not 'file'; "
            "changing that would delete it"
        )
    if stream.max_bytes >= 0 and info.state.bytes > stream.max_bytes:
        raise TopologyConflict(
            f"stream {stream.name} holds {info.state.bytes:,} bytes, more than the "
            f"{stream.max_bytes:,} it should be limited to; the rest would be dropped"
        )


async def _ensure_consumer(js: JetStreamContext, consumer: Consumer) -> list[Change]:
    wanted = _consumer_config(consumer)
    try:
        actual = (await js.consumer_info(consumer.stream, consumer.name)).config
    except NotFoundError:
        await js.add_consumer(consumer.stream, wanted)
        return [Change(f"{consumer.stream}/{consumer.name}", "created")]
    if actual.ack_policy != AckPolicy.EXPLICIT:
        raise TopologyConflict(
            f"consumer {consumer.stream}/{consumer.name} does not acknowledge explicitly; "
            "changing that would delete it"
        )
    if not _consumer_drifted(wanted, actual):
        return []
    await js.add_consumer(consumer.stream, wanted)
    return [Change(f"{consumer.stream}/{consumer.name}", "updated")]


def _consumer_config(consumer: Consumer) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=consumer.name,
        name=consumer.name,
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        filter_subject=consumer.filter_subject,
        ack_wait=consumer.ack_wait_seconds,
        max_deliver=consumer.max_deliver,
        max_ack_pending=consumer.max_ack_pending,
        max_waiting=512,
    )


_CONSUMER_FIELDS = (
    "filter_subject",
    "ack_wait",
    "max_deliver",
    "max_ack_pending",
    "max_waiting",
    "backoff",
)


def _consumer_drifted(wanted: ConsumerConfig, actual: ConsumerConfig) -> bool:
    return any(
        (getattr(wanted, field) or None) != (getattr(actual, field) or None)
        for field in _CONSUMER_FIELDS
    )
