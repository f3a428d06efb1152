import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from contracts.problems import ProblemType
from gateway.errors import Refusal
from gateway.requests import NotificationRequest, decode_batch, decode_single


def refusal(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        decode_single(body)
    return caught.value


def test_unknown_fields_are_ignored_and_null_is_absent() -> None:
    body = b'{"channel":null,"content":"x","callback_url":"y","unknown":{}}'

    assert decode_single(body) == NotificationRequest(content="x")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"content":7}', "/content"),
        (b'{"max_attempts":"3"}', "/max_attempts"),
        (b'{"max_attempts":true}', "/max_attempts"),
        (b'{"max_attempts":"2"}', "/max_attempts"),
        (b'{"metadata":"x"}', "/metadata"),
        (b'{"template_variables":[]}', "/template_variables"),
        (b'{"scheduled_at":1}', "/scheduled_at"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(body: bytes, pointer: str) -> None:
    refused = refusal(body)

    assert refused.problem == ProblemType.MALFORMED_BODY
    assert [error.pointer for error in refused.errors] == [pointer]
    assert "`" not in refused.detail


def test_a_member_of_a_batch_that_is_of_the_wrong_type_is_named() -> None:
    with pytest.raises(Refusal) as caught:
        decode_batch(b'{"notifications":[{},{"content":7}]}')
    assert caught.value.errors[0].pointer == "/notifications/1/content"
    with pytest.raises(Refusal) as caught:
        decode_batch(b'{"notifications":[{},7]}')
    assert caught.value.errors[0].pointer == "/notifications/1"


def test_a_nul_character_is_found_where_it_stands() -> None:
    refused = refusal(rb'{"metadata":{"a~b":[{"c/d":"x\u0000"}]}}')

    assert [error.pointer for error in refused.errors] == ["/metadata/a~0b/0/c~1d"]


def test_text_that_looks_like_an_escaped_nul_is_none() -> None:
    assert decode_single(rb'{"content":"\\u0000"}').content == r"\u0000"


@pytest.mark.parametrize("size", [1, 1000])
def test_a_batch_has_up_to_a_thousand_members(size: int) -> None:
    assert (
        len(decode_batch(json.dumps({"notifications": [{}] * size}).encode())) == size
    )


@pytest.mark.parametrize(
    "body", [b"{}", b'{"notifications":null}', b'{"notifications":[]}']
)
def test_an_empty_batch_is_of_the_wrong_size(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        decode_batch(body)
    assert caught.value.problem == ProblemType.INVALID_BATCH_SIZE


def refusal_of(decode: Callable[[bytes], Any], body: bytes) -> ProblemType | None:
    try:
        decode(body)
    except Refusal as refused:
        return refused.problem
    return None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.binary() | _json.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    for decode in (decode_single, decode_batch):
        assert refusal_of(decode, body) in {
            None,
            ProblemType.MALFORMED_BODY,
            ProblemType.INVALID_BATCH_SIZE,
        }


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(NotificationRequest.__struct_fields__, _json)
    )
)
def test_any_value_of_any_field_is_read_or_refused(fields: dict[str, Any]) -> None:
    body = json.dumps(fields).encode()
    assert refusal_of(decode_single, body) in {None, ProblemType.MALFORMED_BODY}
