"""What operators and templates ask for with an ``Idempotency-Key``."""

import json
from typing import Any

import pytest

from tests.integration.gateway.gateways import RunningGateway
from tests.integration.gateway.operators import OPS

WHY = {"reason": "a rehearsal"}
LETTERS = "/api/v1/dead-letters"
ERASURES = "/api/v1/privacy/erasures"

#: Of each method and path a body that is accepted.
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/templates"): {"name": "once", "channel": "sms", "body": "Hello."},
    ("POST", f"{LETTERS}/replay"): WHY | {"all": True},
    ("POST", f"{LETTERS}/discard"): WHY | {"all": True},
    ("POST", ERASURES): WHY | {"recipient": "+15555550123"},
    ("POST", f"{OPS}/lanes/push/resume"): WHY,
    ("POST", f"{OPS}/lanes/push/low/pause"): WHY,
    ("PUT", f"{OPS}/limits/channels/push"): WHY | {"per_second": 50},
    ("DELETE", f"{OPS}/limits/channels/push"): WHY,
}
#: None of them is accepted by any.
WRONG = (b"{", b"{}", b'{"reason":7,"name":7}')


@pytest.mark.parametrize(("method", "path"), GOOD)
async def test_a_wrong_body_is_a_mismatch_first_wherever_keys_are_honoured(
    gateway: RunningGateway, method: str, path: str
) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}

    async def ask(body: bytes) -> tuple[int, str]:
        async with gateway.http.request(
            method, path, data=body, headers=headers
        ) as response:
            return response.status, (await response.json()).get("type", "")

    good = json.dumps(GOOD[method, path]).encode()
    assert [(await ask(wrong))[0] for wrong in WRONG] == [400] * len(WRONG)
    (first, _), (again, _) = await ask(good), await ask(good)
    mismatch = (409, "/probs/idempotency-key-mismatch")

    assert first in {201, 202}
    assert again == 200
    assert [await ask(wrong) for wrong in WRONG] == [mismatch] * len(WRONG)


@pytest.mark.parametrize("path", [f"{LETTERS}/replay", f"{LETTERS}/discard", ERASURES])
async def test_a_dry_run_with_a_key_that_was_used_is_a_mismatch(
    gateway: RunningGateway, path: str
) -> None:
    good = GOOD["POST", path]
    statuses = [
        (await gateway.post(body, path, Idempotency_Key="k")).status
        for body in (good | {"dry_run": True}, good, good | {"dry_run": True})
    ]

    assert statuses == [200, 202, 409]
