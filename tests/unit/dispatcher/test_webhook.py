"""What an HTTP answer means, and what a request carries."""

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts.outcomes import OutcomeClass
from contracts.signatures import signature_headers, signing_key
from dispatcher.providers.addresses import is_public
from dispatcher.providers.http import seconds_of
from dispatcher.providers.port import WORDS_AT_MOST_BYTES, short
from dispatcher.providers.webhook import outcome_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (200, OutcomeClass.DELIVERED, "200"),
        (202, OutcomeClass.DELIVERED, "202"),
        (204, OutcomeClass.DELIVERED, "204"),
        (301, OutcomeClass.TRANSIENT, "301"),
        (400, OutcomeClass.PERMANENT, "400"),
        (401, OutcomeClass.PERMANENT, "401"),
        (404, OutcomeClass.PERMANENT, "404"),
        (408, OutcomeClass.TRANSIENT, "408"),
        (410, OutcomeClass.PERMANENT, "gone"),
        (422, OutcomeClass.PERMANENT, "422"),
        (425, OutcomeClass.TRANSIENT, "425"),
        (429, OutcomeClass.THROTTLED, "429"),
        (500, OutcomeClass.TRANSIENT, "500"),
        (503, OutcomeClass.TRANSIENT, "503"),
        (599, OutcomeClass.TRANSIENT, "599"),
    ],
)
def test_a_status_has_its_class(status: int, kind: OutcomeClass, code: str) -> None:
    outcome = outcome_of(status, {}, b"")

    assert (outcome.kind, outcome.code) == (kind, code)


@pytest.mark.parametrize(
    ("answer", "message_id"),
    [
        (b'{"messageId":"abc","status":"accepted"}', "abc"),
        (b'{"messageId":17}', "17"),
        (b'{"id":"abc"}', None),
        (b"", None),
        (b"OK", None),
        (b"\xff\xfe", None),
        (b'{"messageId":{"nested":1}}', None),
        (b"[1]", None),
    ],
)
def test_an_accepted_notification_keeps_the_providers_id(
    answer: bytes, message_id: str | None
) -> None:
    outcome = outcome_of(202, {}, answer)

    assert outcome.kind is OutcomeClass.DELIVERED
    assert outcome.message_id == message_id


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("2", 2.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Fri, 27 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 27 Nov 2026 12:00:30 -0000", 30.0),
        ("9" * 400, float("inf")),
    ],
)
def test_a_retry_after_is_seconds_or_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert seconds_of(header, NOW) == seconds


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::101:101", True),
        ("2002:7f00:1::", False),
        ("2002:a00:1::", False),
    ],
)
def test_only_public_addresses_may_be_called(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signature_headers(
        [signing_key(secret)],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        timestamp=1614265330,
    )

    assert headers["webhook-signature"] == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_signature_covers_id_time_and_body() -> None:
    key = signing_key("any text")
    one, two = UUID(int=1), UUID(int=2)
    signatures = {
        signature_headers([key], id_, body, moment)["webhook-signature"]
        for id_ in (one, two)
        for body in (b"a", b"b")
        for moment in (1, 2)
    }

    assert len(signatures) == 8


def test_two_keys_sign_one_beside_the_other() -> None:
    old, new = b"old", b"new"
    id_, body = UUID(int=1), b"{}"

    both = signature_headers([new, old], id_, body, 1)["webhook-signature"]
    assert both.split() == [
        signature_headers([key], id_, body, 1)["webhook-signature"]
        for key in (new, old)
    ]


def test_a_secret_is_base64_after_its_prefix_and_text_without() -> None:
    assert signing_key("whsec_" + base64.b64encode(b"key").decode()) == b"key"
    assert signing_key("key") == b"key"
    with pytest.raises(ValueError, match="not base64"):
        signing_key("whsec_!!!")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("202", "202"),
        ("a\x00b\nc\td", "a b c d"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("x" * 300, "x" * WORDS_AT_MOST_BYTES),
        ("é" * 300, "é" * (WORDS_AT_MOST_BYTES // 2)),
        ("a" + "é" * 300, "a" + "é" * 127),
    ],
)
def test_words_are_cut_to_what_the_ledger_keeps(text: str, kept: str) -> None:
    assert short(text) == kept
