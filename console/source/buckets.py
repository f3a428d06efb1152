"""Follows the values of a bucket on the bus."""

import asyncio
from collections.abc import Callable

import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DeliverPolicy

from contracts.topology import Stream

#: The bucket is made by the first service; credentials that may not read it stay so.
_AGAIN_SECONDS = 1.0
_OPERATION = "KV-Operation"

Hear = Callable[[str, bytes | None, int], None]


class BucketFollower:
    """Tells every value of a bucket once, and then every change.

    ``hear`` gets the key, the value, None when it was taken back, and the revision.
    """

    def __init__(self, js: JetStreamContext, bucket: Stream, hear: Hear) -> None:
        self._js = js
        self._bucket = bucket
        self._hear = hear
        self._prefix = bucket.subjects[0].removesuffix(">")

    async def run(self) -> None:
        """Follow until cancelled, also a bucket that is made later."""
        while True:
            try:
                await self._js.subscribe(
                    self._bucket.subjects[0],
                    stream=self._bucket.name,
                    cb=self._told,
                    ordered_consumer=True,
                    deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                )
            except (nats.errors.Error, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                await asyncio.Event().wait()

    async def _told(self, message: Msg) -> None:
        taken_back = _OPERATION in (message.headers or {})
        key = message.subject.removeprefix(self._prefix)
        revision = message.metadata.sequence.stream
        self._hear(key, None if taken_back else message.data, revision)
