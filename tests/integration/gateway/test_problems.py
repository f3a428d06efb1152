import json
from io import BytesIO
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
MIB = 1 << 20
#: An id that no notification has; fixed, so that tests keep their names.
NOBODYS = UUID("01a21e2d-b83b-749f-a533-b5c5a19b0651")


async def refused(
    response: aiohttp.ClientResponse, status: int, slug: str
) -> dict[str, Any]:
    assert response.status == status, await response.text()
    problem = await problem_of(response)
    assert problem["type"] == f"/probs/{slug}"
    for name, value in {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
    }.items():
        assert response.headers[name] == value
    assert "Server" not in response.headers
    return problem


@pytest.mark.parametrize(
    ("change", "slug", "pointer"),
    [
        ({"channel": "fax"}, "invalid-channel", "/channel"),
        ({"channel": None}, "invalid-channel", "/channel"),
        ({"priority": ""}, "invalid-priority", "/priority"),
        ({"recipient": "5550001"}, "invalid-recipient", "/recipient"),
        ({"content": ""}, "invalid-content", "/content"),
        ({"content": "x" * 161}, "invalid-content", "/content"),
        ({"scheduled_at": "tomorrow"}, "invalid-schedule", "/scheduled_at"),
        ({"scheduled_at": "2199-01-01T00:00:00"}, "invalid-schedule", "/scheduled_at"),
        (
            {"expires_at": "0001-01-01T00:00:00+10:00"},
            "invalid-schedule",
            "/expires_at",
        ),
        ({"max_attempts": 11}, "bad-request", "/max_attempts"),
        ({"metadata": {"x": "y" * 4096}}, "bad-request", "/metadata"),
        ({"subject": "a\nBcc: b"}, "bad-request", "/subject"),
        ({"content": 7}, "malformed-body", "/content"),
        ({"metadata": []}, "malformed-body", "/metadata"),
        ({"content": "a\0b"}, "malformed-body", "/content"),
        ({"metadata": {"a/b": ["\0"]}}, "malformed-body", "/metadata/a~1b/0"),
        ({"ignored": {"\0": 1}}, "malformed-body", "/ignored/\0"),
    ],
)
async def test_a_bad_notification_is_answered_with_the_problem_of_its_field(
    shared_gateway: RunningGateway,
    change: dict[str, Any],
    slug: str,
    pointer: str,
) -> None:
    def refusals() -> float:
        return shared_gateway.metric("tocsin_refusals_total", problem=slug)

    before = refusals()
    response = await shared_gateway.post(SMS | change)
    problem = await refused(response, 400, slug)
    assert problem["instance"] == NOTIFICATIONS
    assert [error["pointer"] for error in problem["errors"]] == [pointer]

    members = [SMS, SMS | change]
    response = await shared_gateway.post({"notifications": members}, BATCHES)
    problem = await refused(response, 400, slug)
    assert problem["instance"] == BATCHES
    assert [error["pointer"] for error in problem["errors"]] == [
        f"/notifications/1{pointer}"
    ]
    assert refusals() == before + 2


async def test_a_batch_names_every_item_that_is_wrong(
    shared_gateway: RunningGateway,
) -> None:
    members = [SMS | {"content": ""}, SMS, SMS | {"channel": "fax"}]
    response = await shared_gateway.post({"notifications": members}, BATCHES)

    problem = await refused(response, 400, "invalid-content")
    assert problem["detail"].startswith("2 of 3 ")
    pointers = [error["pointer"] for error in problem["errors"]]
    assert pointers == ["/notifications/0/content", "/notifications/2/channel"]


@pytest.mark.parametrize(
    "body",
    [
        {"notifications": []},
        {"notifications": [SMS] * 1001},
        {"notifications": None},
        {},
    ],
)
async def test_a_batch_of_the_wrong_size_is_refused(
    shared_gateway: RunningGateway, body: Any
) -> None:
    problem = await refused(
        await shared_gateway.post(body, BATCHES), 400, "invalid-batch-size"
    )
    assert problem["errors"][0]["pointer"] == "/notifications"


@pytest.mark.parametrize("path", [NOTIFICATIONS, BATCHES])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{} {}",
        b'{"content": "\xff"}',
        rb'{"content": "\ud800"}',
        rb'{"content": "\ud800\u0041"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"metadata":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"x": 1e999}',
    ],
)
async def test_a_malformed_body_is_told_so(
    shared_gateway: RunningGateway, path: str, body: bytes
) -> None:
    response = await shared_gateway.http.post(path, data=body, headers=JSON)

    assert response.status == 400
    problem = await problem_of(response)
    slugs = {"malformed-body", "invalid-channel", "invalid-batch-size"}
    assert problem["type"].removeprefix("/probs/") in slugs


@pytest.mark.parametrize(
    "template_id", [str(NOBODYS), "00000000-0000-0000-0000-000000000000"]
)
async def test_a_template_that_does_not_exist_is_not_found_before_the_rest_is_read(
    shared_gateway: RunningGateway, template_id: str
) -> None:
    body = {"channel": "sms", "template_id": template_id}

    problem = await refused(await shared_gateway.post(body), 404, "not-found")
    assert problem["errors"][0]["pointer"] == "/template_id"


async def test_channel_and_priority_are_looked_at_before_the_template(
    shared_gateway: RunningGateway,
) -> None:
    body = {"channel": "fax", "priority": "x", "template_id": str(NOBODYS)}
    await refused(await shared_gateway.post(body), 400, "invalid-channel")
    body["channel"] = "sms"
    await refused(await shared_gateway.post(body), 400, "invalid-priority")


@pytest.mark.parametrize(
    ("path", "at_most"), [(NOTIFICATIONS, MIB), (BATCHES, 8 * MIB)]
)
async def test_a_body_that_is_too_long_is_refused_and_the_client_hears_of_it(
    shared_gateway: RunningGateway, path: str, at_most: int
) -> None:
    fits = b'{"channel":"fax","notifications":[],"x":"'
    fits += b"x" * (at_most - len(fits) - 2) + b'"}'
    response = await shared_gateway.http.post(path, data=BytesIO(fits), headers=JSON)
    assert response.status == 400
    await problem_of(response)

    long = BytesIO(fits + b" ")
    declared = await shared_gateway.http.post(path, data=long, headers=JSON)
    await refused(declared, 413, "payload-too-large")

    async def chunks() -> Any:
        for start in range(0, 2 * at_most, 100_000):
            yield b"[" * 100_000 if start else b"[" * 99_999 + b"1"

    undeclared = await shared_gateway.http.post(path, data=chunks(), headers=JSON)
    await refused(undeclared, 413, "payload-too-large")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ('Application/JSON;charset="UTF-8"', 202),
        ("application/json; charset=latin-1", 415),
        ("application/jsonp", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_only_json_is_taken(
    shared_gateway: RunningGateway, content_type: str, status: int
) -> None:
    response = await shared_gateway.http.post(
        NOTIFICATIONS, data=json.dumps(SMS), headers={"Content-Type": content_type}
    )

    if status == 415:
        await refused(response, 415, "unsupported-media-type")
    assert response.status == status


async def test_a_body_without_a_type_is_not_taken_for_json(
    shared_gateway: RunningGateway,
) -> None:
    response = await shared_gateway.http.post(
        NOTIFICATIONS,
        data=json.dumps(SMS).encode(),
        skip_auto_headers=["Content-Type"],
    )

    await refused(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("sent", ["x" * 129, "two words", "tab\there", "ümlaut"])
async def test_a_bad_correlation_id_is_refused(
    shared_gateway: RunningGateway, sent: str
) -> None:
    response = await shared_gateway.post(SMS, X_Correlation_ID=sent)

    problem = await refused(response, 400, "bad-request")
    assert problem["correlation_id"] != sent


@pytest.mark.parametrize("sent", ["x" * 128, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "7"])
async def test_a_good_correlation_id_is_taken_as_sent(
    shared_gateway: RunningGateway, sent: str
) -> None:
    accepted = await shared_gateway.post(SMS, X_Correlation_ID=sent)
    refused = await shared_gateway.post({}, X_Correlation_ID=sent)

    assert (accepted.status, refused.status) == (202, 400)
    assert accepted.headers["X-Correlation-ID"] == sent
    assert refused.headers["X-Correlation-ID"] == sent
    assert (await accepted.json())["correlation_id"] == sent


WORDS = [
    "7",
    "not-a-uuid",
    "{" + str(NOBODYS) + "}",
    NOBODYS.hex,
    f"urn:uuid:{NOBODYS}",
]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "pattern",
    [f"{NOTIFICATIONS}/%s", f"{NOTIFICATIONS}/%s/trace", f"{BATCHES}/%s"],
)
async def test_a_malformed_id_is_a_bad_request(
    shared_gateway: RunningGateway, pattern: str, word: str
) -> None:
    await refused(await shared_gateway.get(pattern % word), 400, "bad-request")


@pytest.mark.parametrize(
    "pattern",
    [f"{NOTIFICATIONS}/%s", f"{NOTIFICATIONS}/%s/trace", f"{BATCHES}/%s"],
)
async def test_an_id_nobody_has_is_not_found(
    shared_gateway: RunningGateway, pattern: str
) -> None:
    path = pattern % NOBODYS

    problem = await refused(await shared_gateway.get(path), 404, "not-found")
    assert problem["instance"] == path


async def test_an_id_of_the_other_kind_is_not_found(
    shared_gateway: RunningGateway,
) -> None:
    created = await shared_gateway.create()

    await refused(
        await shared_gateway.get(f"{BATCHES}/{created['id']}"), 404, "not-found"
    )


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/nothing", f"{NOTIFICATIONS}/", "/healthz//live"]
)
async def test_a_path_nobody_serves_is_not_found(
    shared_gateway: RunningGateway, path: str
) -> None:
    await refused(await shared_gateway.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", NOTIFICATIONS, "GET, HEAD, POST"),
        ("OPTIONS", NOTIFICATIONS, "GET, HEAD, POST"),
        ("PUT", f"{NOTIFICATIONS}/{NOBODYS}", "GET, HEAD"),
        ("POST", "/healthz/live", "GET, HEAD"),
    ],
)
async def test_a_method_a_path_does_not_have_is_named(
    shared_gateway: RunningGateway, method: str, path: str, allowed: str
) -> None:
    response = await shared_gateway.http.request(method, path)

    await refused(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == allowed


async def test_head_answers_like_get_without_a_body(
    shared_gateway: RunningGateway,
) -> None:
    created = await shared_gateway.create()
    path = f"{NOTIFICATIONS}/{created['id']}"
    shown = await shared_gateway.get(path)
    response = await shared_gateway.http.head(path)

    assert response.status == 200
    assert response.headers["Content-Length"] == shown.headers["Content-Length"]
    assert await response.read() == b""
