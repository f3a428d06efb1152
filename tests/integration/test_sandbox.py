"""The sandbox as a real process, through its HTTP door."""

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from click.testing import CliRunner

from contracts.signatures import check_signature
from ops.cli.sandbox import command

ROOT = Path(__file__).parents[2]
START_SECONDS = 20


@contextmanager
def start_sandbox(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the sandbox on a free port and give the process and its address."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    ours = {f"TOCSIN_SANDBOX_{name}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.sandbox"],
        cwd=ROOT,
        env=clean | {"TOCSIN_SANDBOX_PORT": "0"} | ours,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, read_line(process).rpartition(" ")[2]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read_line(process: subprocess.Popen[str]) -> str:
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    assert stdout is not None
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    line = lines.get(timeout=START_SECONDS).strip()
    assert line, "the sandbox ended without printing its address"
    return line


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with start_sandbox(SEED="7") as (_, url):
        yield url


@pytest.fixture
async def http(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(address) as session:
        await clear(session)
        await set_behaviour(session)
        yield session


async def send(
    http: aiohttp.ClientSession,
    to: str = "+15555550001",
    channel: str = "sms",
    key: str | None = None,
    **members: Any,
) -> tuple[int, Any, Any]:
    body = {"to": to, "channel": channel, "content": "Hello", **members}
    headers = {"Idempotency-Key": key} if key else {}
    async with http.post("/send", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def get(http: aiohttp.ClientSession, path: str, **query: Any) -> Any:
    async with http.get(path, params=query) as response:
        assert response.status == 200
        return await response.json()


async def clear(http: aiohttp.ClientSession) -> None:
    async with http.delete("/messages") as response:
        assert response.status == 204


async def set_behaviour(http: aiohttp.ClientSession, **behaviour: Any) -> None:
    async with http.put("/behaviour", json=behaviour) as response:
        assert response.status == 200


async def test_a_send_is_accepted_and_lands_in_the_inbox(http):
    status, receipt, headers = await send(
        http, "ana@example.com", "email", key="n-1", subject="Hi"
    )

    assert status == 202
    assert headers["Content-Type"] == "application/json"
    assert receipt["status"] == "accepted"
    assert receipt["timestamp"].endswith("Z")
    assert await get(http, "/messages") == [
        {
            "id": receipt["messageId"],
            "to": "ana@example.com",
            "channel": "email",
            "subject": "Hi",
            "content": "Hello",
            "idempotency_key": "n-1",
            "attempt": 1,
            "answer": 202,
            "outcome": "accepted",
            "received_at": receipt["timestamp"],
        }
    ]


async def test_messages_are_filtered_and_newest_first(http):
    for number in range(5):
        await send(http, f"+1555555000{number}", key=f"n-{number}")
    await send(http, "token", "push", key="p")

    newest = await get(http, "/messages", limit=2)
    assert [message["to"] for message in newest] == ["token", "+15555550004"]
    sms = await get(http, "/messages", channel="sms")
    assert [message["to"][-1] for message in sms] == ["4", "3", "2", "1", "0"]
    assert len(await get(http, "/messages", to="+15555550003")) == 1
    assert len(await get(http, "/messages", idempotency_key="p")) == 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "?limit"),
        ("limit=many", "?limit"),
        ("channel=fax", "?channel"),
        ("since=now", "?since"),
    ],
)
async def test_a_bad_query_is_refused_by_name(http, query, field):
    async with http.get(f"/messages?{query}") as response:
        assert response.status == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        assert (await response.json())["errors"][0]["pointer"] == field


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"channel":"sms","content":"x"}', "/to"),
        (b'{"to":"","channel":"sms","content":"x"}', "/to"),
        (b'{"to":"a","channel":"fax","content":"x"}', "/channel"),
        (b'{"to":"a","channel":"sms","content":7}', "/content"),
        (b'{"to":"a","channel":"sms","content":""}', "/content"),
        (b'{"to":"a","channel":"sms","content":"x","subject":1}', "/subject"),
        (b'{"to":"\\ud800","channel":"sms","content":"x"}', ""),
        (b'{"to":"\xff","channel":"sms","content":"x"}', ""),
        (b"[" * 100_000, ""),
        (b"not json", ""),
        (b"", ""),
    ],
)
async def test_a_malformed_send_is_refused_by_name_and_still_recorded(
    http, body, pointer
):
    async with http.post("/send", data=body) as response:
        assert response.status == 400
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = await response.json()

    assert problem["type"] == "/probs/malformed-body"
    assert problem["errors"][0]["pointer"] == pointer
    [message] = await get(http, "/messages")
    assert (message["answer"], message["outcome"]) == (400, "malformed")


@pytest.mark.parametrize("key", ["k" * 256, "two words", "clé"])
async def test_an_unfit_idempotency_key_is_refused(http, key):
    status, problem, _ = await send(http, key=key)

    assert status == 400
    assert problem["errors"][0]["pointer"] == "Idempotency-Key"
    assert (await get(http, "/messages"))[0]["idempotency_key"] is None


async def test_an_oversized_send_is_refused_and_recorded(http):
    status, _, _ = await send(http, content="x" * 200_000)

    assert status == 413
    assert (await get(http, "/messages"))[0]["answer"] == 413


@pytest.mark.parametrize(
    ("to", "channel"),
    [("+15005550002", "sms"), ("flaky@example.com", "email"), ("flaky", "push")],
)
async def test_flaky_fails_once_for_each_idempotency_key(http, to, channel):
    statuses = [(await send(http, to, channel, key))[0] for key in "aabba"]

    assert statuses == [503, 202, 503, 202, 202]


async def test_clearing_forgets_what_flaky_remembers(http):
    await send(http, "+15005550002", key="a")
    await clear(http)

    assert (await send(http, "+15005550002", key="a"))[0] == 503
    assert (await get(http, "/stats"))["received"] == 1


async def test_permanent_says_why(http):
    status, refusal, _ = await send(http, "+15005550001")

    assert status == 422
    assert refusal == {
        "code": "permanent",
        "message": "The recipient is refused for good.",
    }


async def test_throttled_carries_retry_after(http):
    status, refusal, headers = await send(http, "throttled", "push")

    assert status == 429
    assert refusal["code"] == "throttled"
    assert headers["Retry-After"] == "2"


async def test_slow_is_accepted_after_three_seconds(http):
    started = time.monotonic()
    status, _, _ = await send(http, "slow@example.com", "email")

    assert status == 202
    assert 2.9 < time.monotonic() - started < 6


async def test_behaviour_is_shown_as_set_and_reset_by_an_empty_object(http):
    wanted = {"mode": "transient", "rate": 0.5, "latency_ms": 20, "channel": "sms"}
    await set_behaviour(http, **wanted)
    assert await get(http, "/behaviour") == wanted

    await set_behaviour(http)
    assert await get(http, "/behaviour") == {
        "mode": "accept",
        "rate": 1.0,
        "latency_ms": 0,
        "channel": None,
    }


@pytest.mark.parametrize(
    ("behaviour", "pointer"),
    [
        ({"mode": "explode"}, "/mode"),
        ({"rate": 1.5}, "/rate"),
        ({"rate": "half"}, "/rate"),
        ({"latency_ms": -1}, "/latency_ms"),
        ({"latency_ms": 0.5}, "/latency_ms"),
        ({"channel": "fax"}, "/channel"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_an_invalid_behaviour_is_refused_by_name_and_changes_nothing(
    http, behaviour, pointer
):
    await set_behaviour(http, mode="permanent")
    async with http.put("/behaviour", json=behaviour) as response:
        assert response.status == 400
        assert (await response.json())["errors"][0]["pointer"] == pointer

    assert (await get(http, "/behaviour"))["mode"] == "permanent"


async def test_a_seeded_rate_repeats_after_clearing(http):
    await set_behaviour(http, mode="transient", rate=0.5)

    async def run_once() -> list[int]:
        await clear(http)
        return [(await send(http))[0] for _ in range(20)]

    first = await run_once()
    assert set(first) == {202, 503}
    assert await run_once() == first


async def test_latency_is_added_to_the_chosen_channel(http):
    await set_behaviour(http, latency_ms=300, channel="push")
    started = time.monotonic()
    await send(http, "+15555550001", "sms")
    quick = time.monotonic() - started
    await send(http, "token", "push")

    assert time.monotonic() - started - quick >= 0.3


async def test_timeout_never_answers_but_records(http):
    await set_behaviour(http, mode="timeout")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await send(http, key="held")

    [message] = await get(http, "/messages", idempotency_key="held")
    assert (message["answer"], message["outcome"]) == (None, "timeout")


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("reset", aiohttp.ServerDisconnectedError),
        ("garbage", aiohttp.ClientResponseError),
    ],
)
async def test_a_connection_that_is_cut_or_spoilt_is_recorded(http, mode, error):
    await set_behaviour(http, mode=mode)
    # A reset may come as what the operating system calls it.
    with pytest.raises((error, aiohttp.ClientOSError)):
        await send(http, key="cut")

    [message] = await get(http, "/messages", idempotency_key="cut")
    assert (message["answer"], message["outcome"]) == (None, mode)
    await set_behaviour(http)
    assert (await send(http, key="cut"))[0] == 202


async def test_stats_count_keys_accepted_twice(http):
    for key in ("a", "a", "b"):
        await send(http, key=key)
    await send(http, "+15005550002", key="c")

    stats = await get(http, "/stats")
    assert (stats["received"], stats["distinct_keys"]) == (4, 3)
    assert (stats["accepted"], stats["duplicates_accepted"]) == (3, 1)
    assert stats["answers"] == {"202": 3, "503": 1}
    assert stats["channels"]["sms"]["received"] == 4
    assert stats["channels"]["push"]["received"] == 0


async def test_the_page_stands_alone_and_lists_the_simulator_recipients(http):
    async with http.get("/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        page = await response.text()

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in page
    assert "//cdn" not in page
    for number in range(1, 6):
        assert f"+1500555000{number}" in page
    for name in ("permanent", "flaky", "transient", "throttled", "slow"):
        assert f"<code>{name}</code>" in page


async def test_health_and_metrics_are_served(http):
    assert await get(http, "/healthz/live") == {"status": "ok"}
    assert await get(http, "/healthz/ready") == {"status": "ok"}
    async with http.get("/metrics") as response:
        metrics = await response.text()

    for channel in ("sms", "email", "push", "unknown"):
        for answer in ("202", "400", "422", "429", "503", "none"):
            labels = f'{{answer="{answer}",channel="{channel}"}}'
            assert f"tocsin_sandbox_requests_total{labels}" in metrics


async def test_the_oldest_messages_are_dropped():
    with start_sandbox(KEEP="3") as (_, url):
        async with aiohttp.ClientSession(url) as http:
            for number in range(5):
                await send(http, key=str(number))
            messages = await get(http, "/messages")
            stats = await get(http, "/stats")

    assert [message["idempotency_key"] for message in messages] == ["4", "3", "2"]
    assert (stats["kept"], stats["received"]) == (3, 5)


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
