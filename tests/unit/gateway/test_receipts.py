"""Receipts as they are read: Twilio's signature and words, and the generic form."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, urlencode
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, strategies as st

from contracts.receipts import Receipt, ReceiptKind
from contracts.signatures import signature_headers, signing_key
from gateway.errors import Refusal
from gateway.receipts import twilio, webhook
from gateway.receipts.readings import Told, receipt_id
from gateway.receipts.sources import ReceiptForm, ReceiptSource, read_sources

#: The example of Twilio's documentation and of its libraries' tests.
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FIELDS = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
]
SIGNATURE = b"RSOYDt4T1cUTdK1PDd93/VVr8B8="
TOKEN = "12345"

ID = UUID("019acf3e-5c00-7a4b-8c6d-0e1f2a3b4c5d")
SID = "SM" + "0a" * 16
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
forms = st.lists(st.tuples(words, words), max_size=8)


def test_a_signature_is_that_of_twilio_s_documentation() -> None:
    assert twilio.sign(TOKEN, URL, FIELDS) == SIGNATURE


def test_the_order_of_the_fields_and_a_field_sent_twice_do_not_matter() -> None:
    assert twilio.is_signed([TOKEN], URL, [*reversed(FIELDS), FIELDS[0]], SIGNATURE)


@pytest.mark.parametrize("host", ["mycompany.com", "mycompany.com:443"])
def test_the_port_that_https_has_anyway_may_be_written_or_not(host: str) -> None:
    url = URL.replace("mycompany.com", host)
    for signed in (URL, URL.replace(".com/", ".com:443/")):
        given_ = twilio.sign(TOKEN, signed, FIELDS)
        assert twilio.is_signed([TOKEN], url, FIELDS, given_)


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("https", "http"),
        URL.replace(".com", ".com:8443"),
        URL.replace("bar=2", "bar=3"),
        URL.replace("mycompany", "yourcompany"),
    ],
)
def test_the_signature_of_another_address_is_refused(url: str) -> None:
    assert not twilio.is_signed([TOKEN], url, FIELDS, SIGNATURE)


@given(forms, st.text(min_size=1), st.text(min_size=1))
def test_either_token_of_a_rotation_is_taken(
    fields: list[tuple[str, str]], old: str, new: str
) -> None:
    old, new = quote_plus(old, errors="replace"), quote_plus(new, errors="replace")
    for token in (old, new):
        assert twilio.is_signed(
            [new, old], URL, fields, twilio.sign(token, URL, fields)
        )


@given(forms, st.tuples(words.filter(bool), words))
def test_a_form_with_a_field_more_is_not_what_was_signed(
    fields: list[tuple[str, str]], more: tuple[str, str]
) -> None:
    given_ = twilio.sign(TOKEN, URL, fields)

    assert more in fields or not twilio.is_signed([TOKEN], URL, [*fields, more], given_)


@given(forms)
def test_a_form_is_read_as_it_was_written(fields: list[tuple[str, str]]) -> None:
    assert list(twilio.read_form(urlencode(fields).encode())) == fields


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff", b"a&" * 300])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="no form"):
        twilio.read_form(body)


def told(
    status: str, query: bytes = b"notification=%b" % str(ID).encode(), **more: str
) -> Told:
    fields = [("MessageSid", SID), ("MessageStatus", status), *more.items()]
    return twilio.read("twilio", query, fields, NOW)


def receipt(status: str, code: str = "") -> Receipt:
    read = told(status, ErrorCode=code)
    assert read.notification_id == ID
    assert read.receipt is not None
    return read.receipt


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("delivered", ReceiptKind.CONFIRMED),
        ("read", ReceiptKind.CONFIRMED),
        ("undelivered", ReceiptKind.BOUNCED),
        ("failed", ReceiptKind.BOUNCED),
    ],
)
def test_a_status_is_a_receipt(status: str, kind: ReceiptKind) -> None:
    read = receipt(status, "30003")

    assert (read.kind, read.code) == (kind, "30003")
    assert (read.message_id, read.at) == (SID, NOW)
    assert read.id == receipt(status).id


@pytest.mark.parametrize("status", ["queued", "sent", "sending", "accepted", "", "new"])
def test_a_status_on_the_way_is_no_receipt(status: str) -> None:
    assert told(status).receipt is None


@pytest.mark.parametrize(
    "query", [b"", b"notification=", b"notification=17", b"n=\xff"]
)
def test_a_callback_without_our_id_is_of_nobody(query: bytes) -> None:
    assert told("delivered", query).notification_id is None


def test_receipts_of_one_message_are_told_apart_by_their_status() -> None:
    ids = {receipt(status).id for status in ("delivered", "read", "failed")}

    assert len(ids) == 3


def test_a_code_that_may_be_a_recipient_is_not_kept() -> None:
    assert receipt("failed", "+15555550001").code is None


SOURCE = ReceiptSource.model_validate(
    {"name": "acme", "form": "webhook", "secret": "new", "previous_secret": "old"}
)


def body_of(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "type": "receipt.bounced",
        "timestamp": "2026-11-27T12:00:04Z",
        "data": {"notification_id": str(ID), "message_id": "m-1", "code": "550 5.1.1"},
    }
    return msgspec.json.encode(body | changes)


def test_a_webhook_is_read() -> None:
    read = webhook.read("acme", "msg_1", body_of())

    assert read.notification_id == ID
    assert read.receipt is not None
    assert read.receipt.kind is ReceiptKind.BOUNCED
    assert read.receipt.at == datetime(2026, 11, 27, 12, 0, 4, tzinfo=UTC)
    assert (read.receipt.message_id, read.receipt.code) == ("m-1", "550 5.1.1")


def test_a_time_of_another_zone_is_the_same_moment_in_utc() -> None:
    read = webhook.read("acme", "1", body_of(timestamp="2026-11-27T14:00:04+02:00"))

    assert b'"at":"2026-11-27T12:00:04Z"' in msgspec.json.encode(read.receipt)


def test_a_webhook_sent_again_is_the_same_receipt_and_only_of_its_provider() -> None:
    def id_of(provider: str, webhook_id: str) -> UUID:
        read = webhook.read(provider, webhook_id, body_of())
        assert read.receipt is not None
        return read.receipt.id

    assert id_of("acme", "1") == id_of("acme", "1")
    assert len({id_of(p, i) for p in ("acme", "other") for i in ("1", "2")}) == 4


def test_a_type_of_another_kind_may_say_anything() -> None:
    assert webhook.read("acme", "1", body_of(type="user.created", data=[])) == (
        None,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        body_of(data={}),
        body_of(data={"notification_id": "17"}),
        body_of(timestamp="2026-11-27T12:00:04"),
        body_of(timestamp="yesterday"),
        body_of(timestamp="0001-01-01T00:00:00+14:00"),
        body_of(timestamp="9999-12-31T23:59:59-14:00"),
        body_of(data={"notification_id": str(ID), "code": "a@example.com"}),
        body_of(data={"notification_id": str(ID), "code": "+15555550001"}),
        body_of(data={"notification_id": str(ID), "message_id": "m" * 129}),
        body_of(data={"notification_id": str(ID), "message_id": "\0"}),
    ],
)
def test_a_webhook_that_says_nothing_is_malformed(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        webhook.read("acme", "1", body)

    assert caught.value.problem.slug == "malformed-body"


@pytest.mark.parametrize("secret", ["new", "old"])
def test_a_webhook_is_taken_from_who_signs_with_either_secret(secret: str) -> None:
    headers = signature_headers([signing_key(secret)], "msg_1", b"{}")
    raw = {name.encode(): value.encode() for name, value in headers.items()}

    moment = float(headers["webhook-timestamp"])
    assert webhook.check(SOURCE, raw, b"{}", moment) == "msg_1"
    with pytest.raises(Refusal) as caught:
        webhook.check(SOURCE, raw, b"{} ", moment)
    assert caught.value.problem.status == 401


@given(
    st.dictionaries(
        st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature"]),
        st.binary(max_size=60),
    )
)
def test_whatever_the_headers_are_an_unsigned_webhook_is_refused(
    headers: dict[bytes, bytes],
) -> None:
    with pytest.raises(Refusal):
        webhook.check(SOURCE, headers, b"{}", 0.0)


def test_sources_are_names_with_their_forms_and_secrets_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_RECEIPTS_TWILIO_SECRET", "t")
    monkeypatch.setenv("TOCSIN_RECEIPTS_ACME_EU_SECRET", "new")
    monkeypatch.setenv("TOCSIN_RECEIPTS_ACME_EU_PREVIOUS_SECRET", "old")

    twilio_s, acme = read_sources("twilio, acme-eu=webhook,")

    assert (twilio_s.form, twilio_s.secrets) == (ReceiptForm.TWILIO, ["t"])
    assert (acme.name, acme.form) == ("acme-eu", ReceiptForm.WEBHOOK)
    assert acme.secrets == ["new", "old"]


def test_no_repr_of_a_source_shows_its_secrets() -> None:
    assert "new" not in repr(SOURCE)
    assert "old" not in f"{SOURCE} {SOURCE.model_dump()} {SOURCE.model_dump_json()}"


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ("acme", "'acme' has no form"),
        ("acme=carrier-pigeon", "has no form"),
        ("Twilio", "no name of a provider"),
        ("twilio", "TOCSIN_RECEIPTS_TWILIO_SECRET: Field required"),
        ("webhook=webhook,webhook", "named twice"),
        ("broken=webhook", "TOCSIN_RECEIPTS_BROKEN_SECRET: Value error, what follows"),
    ],
)
def test_what_is_wrong_with_a_source_is_named(
    monkeypatch: pytest.MonkeyPatch, sources: str, words: str
) -> None:
    monkeypatch.setenv("TOCSIN_RECEIPTS_WEBHOOK_SECRET", "w")
    monkeypatch.setenv("TOCSIN_RECEIPTS_BROKEN_SECRET", "whsec_hidden!")

    with pytest.raises(ValueError, match=r".+") as caught:
        read_sources(sources)

    assert words in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_id_of_a_webhook_that_is_no_text_tells_receipts_apart_still() -> None:
    ids = {receipt_id("acme", word) for word in ("\udcff", "\udcfe", "\udcff", "a")}

    assert len(ids) == 3
