"""Sends a file of recipients to a gateway: in batches, several at once, and never twice."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import UUID

from ops import client
from ops.client import Gateway, GatewayError
from ops.recipients import Batch, FileUnusable


class Sent(NamedTuple):
    """One batch that the gateway has accepted, now or in an earlier run."""

    batch: Batch
    id: UUID
    replayed: bool


class Interrupted(Exception):
    """Sending ended before the file did; the message says where and why."""

    def __init__(self, reason: str, cause: GatewayError | FileUnusable) -> None:
        super().__init__(reason)
        self.cause = cause


async def send(
    gateway: Gateway,
    batches: Iterator[Batch],
    *,
    parallel: int,
    patience_seconds: float,
    stopping: asyncio.Event,
    sent: Callable[[Sent], None],
    waiting: Callable[[GatewayError, float], None],
) -> None:
    """Have every batch accepted, or stop early when ``stopping`` is set.

    What was begun is finished either way, so ``sent`` is told of all that was accepted.
    Raises Interrupted on the first batch that the gateway refuses for good.
    """
    failures: list[Interrupted] = []

    async def worker() -> None:
        while not stopping.is_set() and not failures:
            try:
                batch = next(batches, None)
            except FileUnusable as error:
                failures.append(Interrupted(str(error), error))
                return
            if batch is None:
                return
            try:
                await send_one(batch)
            except GatewayError as error:
                if stopping.is_set():
                    return
                lines = f"lines {batch.first_line}-{batch.last_line}"
                failures.append(Interrupted(f"{lines}: {error}", error))

    async def send_one(batch: Batch) -> None:
        answer = await client.patiently(
            lambda: gateway.create_batch(batch.body, batch.key),
            at_most_seconds=patience_seconds,
            waiting=waiting,
            stopping=stopping,
        )
        sent(Sent(batch, answer.value.id, answer.replayed))

    async with asyncio.TaskGroup() as group:
        for number in range(parallel):
            group.create_task(worker(), name=f"send-{number}")
    if failures:
        raise failures[0]
