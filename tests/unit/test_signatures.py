"""Signatures of Standard Webhooks as a receiver checks them."""

import pytest
from hypothesis import given, strategies as st

from contracts.signatures import (
    TOLERANCE_SECONDS,
    SignatureRefused,
    check_signature,
    signature_headers,
    signing_key,
)

NOW = 1_614_265_330
KEY = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
#: The example of the Standard Webhooks specification's reference libraries.
EXAMPLE = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'

keys = st.binary(min_size=1, max_size=64)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


def test_the_example_of_the_specification_is_taken() -> None:
    assert check_signature([KEY], EXAMPLE, BODY, NOW) == EXAMPLE["webhook-id"]


@pytest.mark.parametrize("age", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_five_minutes_either_way_are_taken(age: int) -> None:
    assert check_signature([KEY], EXAMPLE, BODY, NOW + age)


@pytest.mark.parametrize("age", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1])
def test_what_is_older_or_of_the_future_is_refused(age: int) -> None:
    with pytest.raises(SignatureRefused, match="too far from now"):
        check_signature([KEY], EXAMPLE, BODY, NOW + age)


@pytest.mark.parametrize("missing", EXAMPLE)
def test_a_request_without_one_of_the_headers_is_refused(missing: str) -> None:
    headers = {name: value for name, value in EXAMPLE.items() if name != missing}

    with pytest.raises(SignatureRefused):
        check_signature([KEY], headers, BODY, NOW)


@pytest.mark.parametrize("moment", ["", "soon", "-1", "1e9", "٣", "9" * 40, f"{NOW}.5"])
def test_a_timestamp_that_is_no_number_is_refused(moment: str) -> None:
    with pytest.raises(SignatureRefused, match="no time in seconds"):
        check_signature([KEY], EXAMPLE | {"webhook-timestamp": moment}, BODY, NOW)


@given(keys, keys, ids, st.binary(max_size=200))
def test_either_key_of_a_rotation_is_taken(
    old: bytes, new: bytes, id_: str, body: bytes
) -> None:
    for signed_with in ([old], [new], [new, old]):
        headers = signature_headers(signed_with, id_, body, NOW)

        assert check_signature([new, old], headers, body, NOW) == id_


@given(
    keys,
    ids,
    st.binary(min_size=1, max_size=200),
    st.sampled_from(["key", "id", "time", "body", "signature"]),
    st.integers(1, 255),
    st.data(),
)
def test_any_change_is_found_out(
    key: bytes, id_: str, body: bytes, what: str, flip: int, data: st.DataObject
) -> None:
    headers = signature_headers([key], id_, body, NOW)
    match what:
        case "key":
            other = data.draw(keys.filter(lambda other: _is_other_key(other, key)))
            key = other
        case "id":
            headers["webhook-id"] += "x"
        case "time":
            headers["webhook-timestamp"] = str(NOW + 1)
        case "body":
            place = data.draw(st.integers(0, len(body) - 1))
            body = body[:place] + bytes([body[place] ^ flip]) + body[place + 1 :]
        case "signature":
            given_ = headers["webhook-signature"]
            place = data.draw(st.integers(3, len(given_) - 3))
            other_letter = "A" if given_[place] != "A" else "B"
            headers["webhook-signature"] = (
                given_[:place] + other_letter + given_[place + 1 :]
            )

    with pytest.raises(SignatureRefused, match="not right"):
        check_signature([key], headers, body, NOW)


def _is_other_key(one: bytes, other: bytes) -> bool:
    """HMAC fills keys up with zeros, so that some different ones are the same."""
    return one.rstrip(b"\0") != other.rstrip(b"\0")


@given(st.dictionaries(st.sampled_from(sorted(EXAMPLE)), st.text(max_size=80)))
def test_no_nonsense_is_taken_and_none_raises_anything_else(
    headers: dict[str, str],
) -> None:
    with pytest.raises(SignatureRefused):
        check_signature([KEY], headers, BODY, NOW)
