"""Whatever is sent, the gateway says yes or no and never that it broke."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from yarl import URL

from contracts.ids import new_id
from gateway.requests import NotificationRequest
from gateway.routes.templates import PATH as TEMPLATES
from tests.integration.gateway.gateways import (
    BATCHES,
    NOTIFICATIONS,
    SMS,
    RunningGateway,
    problem_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

many = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
_plausible: dict[str, st.SearchStrategy[Any]] = {
    "channel": st.sampled_from(["sms", "email", "push"]),
    "recipient": st.sampled_from(["+15555550001", "a@b.c"]) | st.text(max_size=30),
    "content": st.text(min_size=1, max_size=150),
    "priority": st.sampled_from(["high", "normal", "low"]),
    "subject": st.text(max_size=50),
    "metadata": st.dictionaries(st.text(), _json, max_size=5),
    "template_variables": st.dictionaries(st.text(), _json, max_size=5),
    "scheduled_at": st.datetimes(timezones=st.timezones()).map(str),
    "expires_at": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    "max_attempts": st.integers(-2, 12),
}
_requests = st.fixed_dictionaries(
    {}, optional={name: values | _json for name, values in _plausible.items()}
)


def _printable(first: int, last: int | None = None) -> st.SearchStrategy[str]:
    """Characters that an HTTP client does not refuse to send in a header."""
    return st.characters(
        min_codepoint=first, max_codepoint=last, exclude_categories=["Cc", "Cs"]
    )


async def post(gateway: RunningGateway, path: str, body: bytes) -> int:
    response = await gateway.http.post(
        path, data=body, headers={"Content-Type": "application/json"}
    )
    assert response.status in {202, 400}, await response.text()
    if response.status == 400:
        await problem_of(response)
    else:
        shown = await gateway.get(response.headers["Location"])
        assert shown.status == 200
    return response.status


async def test_the_plausible_values_cover_every_field() -> None:
    fields = set(NotificationRequest.__struct_fields__)
    assert fields - {"template_id"} == set(_plausible)


@many
@given(st.binary(max_size=300))
async def test_any_bytes(shared_gateway: RunningGateway, body: bytes) -> None:
    await post(shared_gateway, NOTIFICATIONS, body)
    await post(shared_gateway, BATCHES, body)


@many
@given(_requests)
async def test_any_fields(shared_gateway: RunningGateway, fields: Any) -> None:
    await post(shared_gateway, NOTIFICATIONS, json.dumps(fields).encode())


@many
@given(st.lists(_requests, max_size=4))
async def test_any_batch(shared_gateway: RunningGateway, members: Any) -> None:
    body = json.dumps({"notifications": members}).encode()
    await post(shared_gateway, BATCHES, body)


@many
@given(st.text(min_size=1, max_size=60))
async def test_any_text_in_every_field_that_takes_text(
    shared_gateway: RunningGateway, text: str
) -> None:
    body = {
        "channel": "push",
        "recipient": text,
        "content": text,
        "subject": text,
        "metadata": {text: text},
    }
    status = await post(shared_gateway, NOTIFICATIONS, json.dumps(body).encode())
    has_control = any(
        ord(character) < 32 or ord(character) == 127 for character in text
    )
    assert (status == 400) == (
        has_control or any("\ud800" <= c <= "\udfff" for c in text)
    )


@many
@given(st.text(_printable(32, 255), max_size=140))
async def test_any_correlation_id(shared_gateway: RunningGateway, sent: str) -> None:
    headers = {"X-Correlation-ID": sent.strip()}
    response = await shared_gateway.http.post(NOTIFICATIONS, json=SMS, headers=headers)

    sent = sent.strip()
    is_visible = all("!" <= character <= "~" for character in sent)
    assert response.status == (202 if is_visible and len(sent) <= 128 else 400)
    if response.status == 202 and sent:
        assert response.headers["X-Correlation-ID"] == sent


@many
@given(st.text(_printable(33), max_size=300))
async def test_any_idempotency_key(shared_gateway: RunningGateway, sent: str) -> None:
    response = await shared_gateway.http.post(
        NOTIFICATIONS, json=SMS, headers={"Idempotency-Key": sent}
    )

    assert response.status in {200, 202, 400}


@many
@given(st.text(_printable(33), max_size=60))
async def test_any_word_in_a_path(shared_gateway: RunningGateway, word: str) -> None:
    for path in (NOTIFICATIONS, BATCHES):
        response = await shared_gateway.http.get(f"{path}/{word}")
        assert response.status in {400, 404, 405}
        await problem_of(response)


_parts = st.sampled_from(
    ["{{", "}}", "{%", "%}", "if ", "endif", "x", ".x", "|upper", "(", "'", "-"]
)


@many
@given(st.lists(_parts | st.text(max_size=5), max_size=8).map("".join), _json)
async def test_any_template_and_any_variables(
    shared_gateway: RunningGateway, body: str, value: Any
) -> None:
    template = {"name": str(new_id()), "channel": "push", "body": body}
    made = await shared_gateway.post(template, TEMPLATES)
    assert made.status in {201, 400}, await made.text()
    if made.status == 400:
        await problem_of(made)
        return
    asked = {
        "channel": "push",
        "recipient": "token",
        "template_id": (await made.json())["id"],
        "template_variables": {"x": value},
    }
    await post(shared_gateway, NOTIFICATIONS, json.dumps(asked).encode())


_parameters = st.sampled_from(
    ["status", "channel", "batch_id", "recipient", "limit", "cursor", "created_after"]
)


@many
@given(st.dictionaries(_parameters, st.text(max_size=40) | st.just("sms"), max_size=3))
async def test_any_query(
    shared_gateway: RunningGateway, parameters: dict[str, str]
) -> None:
    query = urlencode(parameters, errors="surrogatepass")
    for path in (NOTIFICATIONS, TEMPLATES):
        url = URL(f"{path}?{query}", encoded=True)
        response = await shared_gateway.http.get(url)
        assert response.status in {200, 400}, await response.text()
        if response.status == 400:
            await problem_of(response)
