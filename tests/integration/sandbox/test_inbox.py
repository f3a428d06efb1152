"""What is sent to the sandbox lands in its inbox; what is unfit is refused by name."""

import aiohttp
import pytest

from tests.integration.sandbox.sandboxes import get, send, start_sandbox


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


async def test_the_oldest_messages_are_dropped():
    with start_sandbox(KEEP="3") as (_, url):
        async with aiohttp.ClientSession(url) as http:
            for number in range(5):
                await send(http, key=str(number))
            messages = await get(http, "/messages")
            stats = await get(http, "/stats")

    assert [message["idempotency_key"] for message in messages] == ["4", "3", "2"]
    assert (stats["kept"], stats["received"]) == (3, 5)
