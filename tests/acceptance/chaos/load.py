"""Clients of the mesh, and the book of what the mesh promised them."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, NamedTuple

import aiohttp

from contracts.channels import Channel, Priority

_CLIENTS = 24
BATCH_SIZE = 40
_BATCHES_SHARE = 0.35
_KEYED_SHARE = 0.3
_SCHEDULED_SHARE = 0.12
_SCHEDULED_SECONDS = (1.0, 8.0)
_TIMEOUT = aiohttp.ClientTimeout(total=30)
_AGAIN_SECONDS = 0.2
#: A client with a key asks again until it has an answer, but not for ever.
_INSISTS_FOR_SECONDS = 60.0

_PLAIN = {
    Channel.SMS: "+15555550001",
    Channel.EMAIL: "someone@example.com",
    Channel.PUSH: "device-1",
}


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A recipient whose outcome is known beforehand."""

    channel: Channel
    recipient: str
    outcome: str
    max_attempts: int | None = None


_SIMULATED = (
    Simulated(channel=Channel.SMS, recipient="+15005550001", outcome="failed"),
    Simulated(
        channel=Channel.EMAIL, recipient="flaky@example.com", outcome="delivered"
    ),
    Simulated(
        channel=Channel.PUSH, recipient="transient", outcome="failed", max_attempts=3
    ),
    Simulated(channel=Channel.SMS, recipient="+15005550005", outcome="delivered"),
    Simulated(
        channel=Channel.EMAIL,
        recipient="throttled@example.com",
        outcome="failed",
        max_attempts=2,
    ),
)
_SIMULATED_SHARE = 0.06


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One notification that a client wants; its content is unique."""

    content: str
    #: The only final status that is right.
    outcome: str
    body: dict[str, Any]


class Answer(NamedTuple):
    """One answer of a gateway; status 0 when none came."""

    at: datetime
    status: int
    seconds: float


@dataclass(kw_only=True)
class Book:
    """What clients saw, and nothing else."""

    wishes: dict[str, Wish] = field(default_factory=dict)  #: by content
    promised: dict[str, str] = field(default_factory=dict)  #: id to content, from 202s
    batches: dict[str, list[str]] = field(default_factory=dict)  #: id to contents
    refused: set[str] = field(default_factory=set)  #: told that it was not accepted
    unanswered: set[str] = field(default_factory=set)  #: nobody told the client
    #: Answers that no client should see.
    wrong: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return len(self.promised) + sum(map(len, self.batches.values()))


class Load:
    """Sends singles and batches to all gateways in turn, at about ``rate`` a second."""

    def __init__(self, gateways: Sequence[str], *, seed: int, rate: float) -> None:
        self.book = Book()
        self._gateways = gateways
        self._seed = seed
        self._rng = Random(seed)
        self._rate = rate
        self._numbers = count()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until stopped, and return when every request is over."""
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            asyncio.TaskGroup() as group,
        ):
            singles = self._rate * (1 - _BATCHES_SHARE)
            for number in range(_CLIENTS):
                group.create_task(
                    self._every(_CLIENTS / singles, self._send_single, http, number)
                )
            batches = self._rate * _BATCHES_SHARE / BATCH_SIZE
            group.create_task(self._every(1 / batches, self._send_batch, http, 0))

    def stop(self) -> None:
        self._stopping.set()

    async def _every(
        self, seconds: float, send: Any, http: aiohttp.ClientSession, number: int
    ) -> None:
        due = time.monotonic() + self._rng.uniform(0, seconds)
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._stopping.wait()
                return
            except TimeoutError:
                pass
            await send(http, self._gateways[number % len(self._gateways)])
            number += 1
            due = max(due + seconds, time.monotonic())

    async def _send_single(self, http: aiohttp.ClientSession, gateway: str) -> None:
        wish = self._wish()
        url = f"{gateway}/api/v1/notifications"
        if self._rng.random() < _KEYED_SHARE:
            await self._insist(http, url, wish)
            return
        status, body = await self._post(http, url, wish.body)
        self._note(status, body, [wish.content], self._promise_single)

    async def _insist(self, http: aiohttp.ClientSession, url: str, wish: Wish) -> None:
        """Ask with one key until the mesh says yes: what a careful client does."""
        until = time.monotonic() + _INSISTS_FOR_SECONDS
        headers = {"Idempotency-Key": wish.content}
        doubtful = False
        while time.monotonic() < until:
            status, body = await self._post(http, url, wish.body, headers)
            if status == 202 or (status == 200 and doubtful):
                self._promise_single(body, [wish.content])
                return
            if status not in (0, 409, 503):
                self.book.wrong.append(f"{status} for a request with a key")
                return
            doubtful = True
            await asyncio.sleep(_AGAIN_SECONDS)
        self.book.unanswered.add(wish.content)

    async def _send_batch(self, http: aiohttp.ClientSession, gateway: str) -> None:
        wishes = [self._wish() for _ in range(BATCH_SIZE)]
        status, body = await self._post(
            http,
            f"{gateway}/api/v1/notifications/batch",
            {"notifications": [wish.body for wish in wishes]},
        )
        self._note(status, body, [w.content for w in wishes], self._promise_batch)

    async def _post(
        self,
        http: aiohttp.ClientSession,
        url: str,
        body: dict[str, Any],
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body; status 0 when no answer came."""
        started = time.monotonic()
        try:
            async with http.post(url, json=body, headers=headers) as response:
                answer = response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            answer = 0, {}
        took = time.monotonic() - started
        self.book.answers.append(Answer(datetime.now(UTC), answer[0], took))
        return answer

    def _note(
        self, status: int, body: dict[str, Any], contents: Iterable[str], promise: Any
    ) -> None:
        if status == 202:
            promise(body, list(contents))
        elif status == 503:
            self.book.refused.update(contents)
        elif status == 0:
            self.book.unanswered.update(contents)
        else:
            self.book.wrong.append(f"{status} {body.get('type')}")

    def _promise_single(self, body: dict[str, Any], contents: list[str]) -> None:
        if body["id"] in self.book.promised:
            self.book.wrong.append(f"{body['id']} was promised twice")
        self.book.promised[body["id"]] = contents[0]

    def _promise_batch(self, body: dict[str, Any], contents: list[str]) -> None:
        self.book.batches[body["id"]] = contents

    def _wish(self) -> Wish:
        rng = self._rng
        content = f"chaos {self._seed} number {next(self._numbers)}"
        channel = rng.choice(list(Channel))
        outcome, recipient, attempts = "delivered", _PLAIN[channel], None
        if rng.random() < _SIMULATED_SHARE:
            chosen = rng.choice(_SIMULATED)
            channel, recipient = chosen.channel, chosen.recipient
            outcome, attempts = chosen.outcome, chosen.max_attempts
        body: dict[str, Any] = {
            "channel": channel,
            "recipient": recipient,
            "content": content,
            "priority": rng.choice(list(Priority)),
        }
        if attempts is not None:
            body["max_attempts"] = attempts
        if rng.random() < _SCHEDULED_SHARE:
            delay = timedelta(seconds=rng.uniform(*_SCHEDULED_SECONDS))
            body["scheduled_at"] = (datetime.now(UTC) + delay).isoformat()
        wish = Wish(content=content, outcome=outcome, body=body)
        self.book.wishes[content] = wish
        return wish
