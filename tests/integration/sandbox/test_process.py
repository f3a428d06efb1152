"""The sandbox as a process: how it is set, the receipts it sends, and how it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from click.testing import CliRunner

from contracts.signatures import check_signature
from ops.cli.sandbox import command
from tests.integration.sandbox.sandboxes import (
    ROOT,
    START_SECONDS,
    get,
    send,
    set_behaviour,
    start_sandbox,
)


async def test_health_and_metrics_are_served(http):
    assert await get(http, "/healthz/live") == {"status": "ok"}
    assert await get(http, "/healthz/ready") == {"status": "ok"}
    async with http.get("/metrics") as response:
        metrics = await response.text()

    for channel in ("sms", "email", "push", "unknown"):
        for answer in ("202", "400", "422", "429", "503", "none"):
            labels = f'{{answer="{answer}",channel="{channel}"}}'
            assert f"tocsin_sandbox_requests_total{labels}" in metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_within_a_second_though_requests_are_held(number):
    with start_sandbox() as (process, url):
        async with aiohttp.ClientSession(url) as http:
            slow = asyncio.create_task(send(http, "+15005550005", key="slow"))
            await set_behaviour(http, mode="timeout")
            held = asyncio.create_task(send(http, key="held"))
            async with asyncio.timeout(5):
                while (await get(http, "/stats"))["received"] < 2:
                    pass
            started = time.monotonic()
            process.send_signal(number)
            code = await asyncio.to_thread(process.wait, 5)
            took = time.monotonic() - started

            assert code == 0
            assert took < 1
            assert (await slow)[0] == 202
            with pytest.raises(aiohttp.ClientError):
                await held


def test_a_port_in_use_is_said_in_one_line(address):
    port = address.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "-m", "ops.sandbox"],
        cwd=ROOT,
        env=os.environ | {"TOCSIN_SANDBOX_PORT": port},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("The sandbox cannot listen")
    assert done.stderr.count("\n") == 1


def test_a_wrong_setting_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "ops.sandbox"],
        cwd=ROOT,
        env=os.environ | {"TOCSIN_SANDBOX_KEEP": "few"},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )

    assert done.returncode == 2
    assert "TOCSIN_SANDBOX_KEEP" in done.stderr


def test_the_command_says_which_variables_it_reads():
    result = CliRunner().invoke(command, ["--help"])

    assert result.exit_code == 0
    for name in ("HOST", "PORT", "KEEP", "SEED"):
        assert f"TOCSIN_SANDBOX_{name}" in result.output


async def test_a_receipt_is_sent_signed_and_its_answer_shown() -> None:
    """To a far side that reads it as the gateway does."""
    came: list[tuple[str, dict[str, Any]]] = []

    async def take(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        id_ = check_signature([b"between us"], headers, body, time.time())
        came.append((id_, json.loads(body)))
        return web.json_response({"outcome": "bounced"})

    async with RawTestServer(take) as far_side:
        url = str(far_side.make_url("/receipts"))
        secrets = {"RECEIPTS_URL": url, "RECEIPTS_SECRET": "between us"}
        with start_sandbox(**secrets) as (_, address):
            async with aiohttp.ClientSession(address) as http:
                key = "019acf3e-5c00-7a4b-8c6d-0e1f2a3b4c5d"
                message = {"to": "+15555550001", "channel": "sms", "content": "hi"}
                async with http.post(
                    "/send", json=message, headers={"Idempotency-Key": key}
                ) as accepted:
                    message_id = (await accepted.json())["messageId"]
                order = {"idempotency_key": key, "kind": "bounced", "code": "17"}
                async with http.post("/receipts", json=order) as sent:
                    answer = await sent.json()
                async with http.post(
                    "/receipts", json=order | {"id": answer["id"]}
                ) as again:
                    assert (await again.json())["id"] == answer["id"]
                for refused, status in (
                    (order | {"idempotency_key": "other"}, 404),
                    (order | {"kind": "lost"}, 400),
                    (order | {"code": "a@example.com"}, 400),
                ):
                    async with http.post("/receipts", json=refused) as response:
                        assert response.status == status

    assert (answer["status"], answer["answer"]) == (200, {"outcome": "bounced"})
    assert [id_ for id_, _ in came] == [answer["id"]] * 2
    told = came[0][1]
    assert told["type"] == "receipt.bounced"
    assert told["data"] == {
        "notification_id": key,
        "message_id": message_id,
        "code": "17",
    }


async def test_without_an_address_no_receipt_is_sent(
    http: aiohttp.ClientSession,
) -> None:
    order = {"idempotency_key": "k", "kind": "confirmed"}
    async with http.post("/receipts", json=order) as response:
        assert response.status == 503
        assert "TOCSIN_SANDBOX_RECEIPTS_URL" in (await response.json())["detail"]


def test_an_address_without_a_secret_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_SANDBOX_RECEIPTS_URL", "http://127.0.0.1:9/")

    ended = CliRunner().invoke(command, ["--port", "0"])

    assert ended.exit_code == 1
    assert "TOCSIN_SANDBOX_RECEIPTS_SECRET: " in ended.output
