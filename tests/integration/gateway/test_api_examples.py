"""Runs every request of docs/api.md and compares the answers with what is written there."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from contracts.keys import Role
from contracts.mesh import ProviderReading
from contracts.settings import MeshSettings
from gateway.description import openapi
from gateway.description.tables import OPERATIONS
from gateway.live import live
from ops.runtime.bus import Bus
from ops.runtime.ledger import Ledger
from tests.integration.conftest import database_made
from tests.integration.gateway.blocking import blocked_ledger
from tests.integration.gateway.gateways import RunningGateway, running_gateway
from tests.integration.gateway.operators import say, state_of
from tests.integration.gateway.test_ingest import key_made
from tests.servers import Stack

PAGE = (Path(__file__).parents[3] / "docs/api.md").read_text()
BLOCK = re.compile(r"```sh\n(.*?)```\n\n```http\n(.*?)```", re.DOTALL)
ANYTHING = "…"
RECEIPTS = {"name": "webhook", "form": "webhook", "secret": "a-secret-of-theirs"}


class Response(NamedTuple):
    status: str
    headers: dict[str, str]
    body: str

    @classmethod
    def read(cls, text: str) -> "Response":
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        # curl -i also shows that the server was ready to take the body.
        while head.startswith("HTTP/1.1 100"):
            head, _, body = body.partition("\n\n")
        first, *lines = head.strip().split("\n")
        pairs = [line.partition(": ") for line in lines]
        return cls(
            first.split()[1],
            {name.lower(): value.strip() for name, _, value in pairs},
            body.strip(),
        )


EXAMPLES = [(shell, Response.read(answer)) for shell, answer in BLOCK.findall(PAGE)]


class Words(dict[str, str]):
    """What the names on the page stand for: what they were when they first came up."""

    def fits(self, written: str, value: object) -> bool:
        if written == ANYTHING:
            return True
        if not isinstance(value, str):
            return False
        pattern = re.escape(written).replace(re.escape(ANYTHING), ".*")
        for name in re.findall(r"\$([A-Z]+)", written):
            known = re.escape(self[name]) if name in self else r"[\w-]+"
            pattern = pattern.replace(rf"\${name}", f"(?P<{name}>{known})")
        match = re.fullmatch(pattern, value, re.DOTALL)
        if match is not None:
            self.update(match.groupdict())
        return match is not None

    def differences(self, written: Any, value: Any, at: str = "") -> list[str]:
        if isinstance(written, str):
            same = self.fits(written, value)
            return [] if same else [f"{at}: {written!r} is {value!r}"]
        if isinstance(written, dict) and isinstance(value, dict):
            return [
                difference
                for name, item in written.items()
                for difference in self.differences(
                    item, value.get(name), f"{at}/{name}"
                )
            ]
        if isinstance(written, list) and isinstance(value, list):
            if len(written) != len(value):
                return [f"{at}: {len(written)} items are {len(value)}"]
            return [
                difference
                for place, item in enumerate(written)
                for difference in self.differences(item, value[place], f"{at}/{place}")
            ]
        return [] if written == value else [f"{at}: {written!r} is {value!r}"]


@pytest_asyncio.fixture
async def gateways(
    settings: MeshSettings, bus: Bus, servers: Stack, migrated_template: str
) -> AsyncIterator[dict[str, RunningGateway]]:
    """The gateways that the page speaks of."""

    def with_ledger(dsn: str) -> MeshSettings:
        return MeshSettings.model_validate(
            settings.model_dump(mode="json") | {"postgres_dsn": dsn}
        )

    async with AsyncExitStack() as stack:
        another = database_made(servers, migrated_template)
        troubled = with_ledger(await stack.enter_async_context(another))
        broken = with_ledger("postgresql://nobody@127.0.0.1:9/nothing")
        kinds: dict[str, tuple[MeshSettings, dict[str, Any]]] = {
            "TOCSIN": (settings, {"gateway_receipts": [RECEIPTS]}),
            "LIMITED": (settings, {"gateway_rate_limit": 1}),
            "SECURED": (settings, {"gateway_require_keys": True}),
            "BROKEN": (broken, {}),
            "BUSY": (troubled, {}),
            "FULL": (settings, {"gateway_live_clients": 1}),
            "FAULTY": (troubled, {}),
        }
        running = {
            name: await stack.enter_async_context(running_gateway(shared, **own))
            for name, (shared, own) in kinds.items()
        }
        acme = ProviderReading(name="acme")
        await say(
            bus, running["TOCSIN"], state_of("dispatcher", "one", providers=[acme])
        )
        follower = await running["FULL"].http.ws_connect(live.PATH)
        yield running
        await follower.close()


@pytest_asyncio.fixture
async def words(gateways: dict[str, RunningGateway], ledger: Ledger) -> Words:
    """Their addresses, the keys, and the id of what one of them cannot read."""
    words = Words(SECRET=RECEIPTS["secret"])
    for name, gateway in gateways.items():
        words[name] = f"http://127.0.0.1:{gateway.port}"
    words["LOST"] = await make_unreadable(gateways["FAULTY"])
    for name, role in (("KEY", Role.SENDER), ("READER", Role.READER)):
        key = await key_made(ledger, "acme", role)
        words[name] = key["Authorization"].removeprefix("Bearer ")
    return words


async def make_unreadable(gateway: RunningGateway) -> str:
    """Give a row of the gateway's ledger a status that it does not know; returns its id."""
    created = await gateway.create()
    await gateway.ledger.fetch(
        "ALTER TABLE notification DROP CONSTRAINT notification_known_status"
    )
    await gateway.ledger.fetch("UPDATE notification SET status = 'lost'")
    return str(created["id"])


@asynccontextmanager
async def storing(gateway: RunningGateway, key: str) -> AsyncIterator[None]:
    """Let the gateway store a request with this key for as long as the block lasts."""
    async with blocked_ledger(gateway.dsn) as blocked:
        first = asyncio.create_task(gateway.post(Idempotency_Key=key))
        await blocked.somebody_waits()
        yield
    await first


@pytest.mark.skipif(
    None in (shutil.which("curl"), shutil.which("openssl")),
    reason="curl or openssl is not installed",
)
async def test_every_example_is_answered_as_it_is_written(
    gateways: dict[str, RunningGateway], words: Words, tmp_path: Path
) -> None:
    (tmp_path / ".curlrc").write_text("silent\nmax-time = 10\n")
    assert len(EXAMPLES) > 30
    for shell, written in EXAMPLES:
        async with (
            storing(gateways["BUSY"], "order-4713-shipped")
            if "$BUSY" in shell
            else nullcontext()
        ):
            given = Response.read(await run(shell, words, tmp_path))

        differences = [
            *words.differences(written.status, given.status, "status"),
            *words.differences(written.headers, given.headers, "headers"),
            *(
                words.differences(json.loads(written.body), json.loads(given.body))
                if written.body.startswith("{")
                else words.differences(written.body, given.body)
            ),
        ]
        assert not differences, f"{shell}\n{differences}"


async def run(shell: str, words: Words, home: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", shell),
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(home), **words},
        stdout=asyncio.subprocess.PIPE,
        cwd=home,
    )
    out, _ = await process.communicate()
    return out.decode()


def test_every_route_has_an_example() -> None:
    for operation in OPERATIONS.values():
        path = re.sub(r"<\w*_id>", "{id}", operation.path)
        path = re.sub(r"<(\w+)>", r"{\1}", path)
        assert f"`{operation.method} {path}`" in PAGE


def test_every_problem_is_shown() -> None:
    shown = {
        json.loads(written.body)["type"].rpartition("/")[2]
        for _, written in EXAMPLES
        if written.headers.get("content-type") == "application/problem+json"
        or '"/probs/' in written.body
    }
    problems = {
        problem.slug
        for operation in OPERATIONS.values()
        for problem in openapi.problems_of(operation)
    }

    assert problems <= shown
