"""The nodes of the bus, asked through their monitoring ports: who leads, what is stored."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from contracts import topology
from tests.acceptance.chaos.faults import META_LEADER

_TIMEOUT = aiohttp.ClientTimeout(total=0.5)
_SAMPLE_SECONDS = 0.1


class Nodes:
    """Asks all nodes at once; those that are down or frozen are passed over."""

    def __init__(self, monitoring: Mapping[str, str], http: aiohttp.ClientSession):
        self._monitoring = monitoring
        self._http = http

    async def leader(self, target: str) -> str | None:
        """Return the node that leads meta or NOTIFY, or None while there is no leader.

        Only its own word counts: others go on naming one that died for a while.
        """
        themselves = {
            name
            for name, answer in (await self._jsz()).items()
            if name == _leader(answer, target)
        }
        return themselves.pop() if len(themselves) == 1 else None

    async def last_sequence(self) -> int:
        """Return how many messages NOTIFY has ever stored, by the node that is furthest."""
        return max(
            (
                int(_notify(answer).get("state", {}).get("last_seq", 0))
                for answer in (await self._jsz()).values()
            ),
            default=0,
        )

    async def health(self) -> str:
        """Return what the nodes say of their health."""
        return " ".join((await self._ask("/healthz")).values())

    async def _jsz(self) -> dict[str, dict[str, Any]]:
        answers = await self._ask("/jsz?accounts=true&streams=true")
        return {name: json.loads(answer) for name, answer in answers.items() if answer}

    async def _ask(self, path: str) -> dict[str, str]:
        answers = await asyncio.gather(
            *(self._ask_one(url + path) for url in self._monitoring.values())
        )
        return dict(zip(self._monitoring, answers, strict=True))

    async def _ask_one(self, url: str) -> str:
        try:
            async with self._http.get(url, timeout=_TIMEOUT) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return ""


def _leader(answer: Mapping[str, Any], target: str) -> str | None:
    group = "meta_cluster" if target == META_LEADER else "cluster"
    of = answer if target == META_LEADER else _notify(answer)
    leader: str | None = of.get(group, {}).get("leader")
    return leader


def _notify(answer: Mapping[str, Any]) -> dict[str, Any]:
    for account in answer.get("account_details", []):
        for stream in account.get("stream_detail", []):
            if stream["name"] == topology.NOTIFY.name:
                return dict(stream)
    return {}


class PublishWatch:
    """Measures for how long nothing was stored on NOTIFY while clients went on asking."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._last = 0
        self._moved_at = time.monotonic()
        self.longest_seconds = 0.0

    async def run(self) -> None:
        """Look again and again until cancelled."""
        self._moved_at = time.monotonic()
        while True:
            last = await self._nodes.last_sequence()
            now = time.monotonic()
            self.longest_seconds = max(self.longest_seconds, now - self._moved_at)
            if last > self._last:
                self._last, self._moved_at = last, now
            await asyncio.sleep(_SAMPLE_SECONDS)
