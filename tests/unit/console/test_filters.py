import pytest
from hypothesis import given, strategies as st

from console.filters import Filter, FilterUnclear

Row = dict[str, str]
FIELDS = {
    "channel": lambda row: row["channel"],
    "class": lambda row: row["class"],
    "id": lambda row: row["id"],
}
ROWS: list[Row] = [
    {"channel": "sms", "class": "permanent", "id": "a1"},
    {"channel": "sms", "class": "transient", "id": "b2"},
    {"channel": "email", "class": "permanent", "id": "c3"},
]


def found(text: str) -> list[str]:
    chosen = Filter(text, FIELDS)
    return [row["id"] for row in ROWS if chosen.matches(row)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ["a1", "b2", "c3"]),
        ("channel:sms", ["a1", "b2"]),
        ("channel:sms class:permanent", ["a1"]),
        ("!channel:sms", ["c3"]),
        ("perm", ["a1", "c3"]),
        ("!perm", ["b2"]),
        ("CHANNEL:SMS", ["a1", "b2"]),
        ("ch:em", ["c3"]),
        ("channel:=sm", []),
        ("channel:=sms", ["a1", "b2"]),
        ("id:nothing", []),
    ],
)
def test_every_term_must_hold(text, ids):
    assert found(text) == ids


@pytest.mark.parametrize("text", ["!", "channel:", "!channel:", "channel:=", " "])
def test_a_term_that_is_still_being_typed_hides_nothing(text):
    assert len(found(text)) == len(ROWS)
    assert not Filter(text, FIELDS)


@pytest.mark.parametrize("text", ["colour:red", "c:sms", ":sms"])
def test_an_unknown_field_is_refused_with_the_ones_there_are(text):
    with pytest.raises(FilterUnclear, match="channel, class, id"):
        Filter(text, FIELDS)


def test_quotes_keep_words_together():
    fields = {"words": lambda row: row}

    assert Filter('words:"not a mobile"', fields).matches("21614 not a mobile number")
    with pytest.raises(FilterUnclear, match="quote"):
        Filter('words:"not', fields)


@given(st.text())
def test_any_text_is_a_filter_or_refused(text):
    try:
        chosen = Filter(text, FIELDS)
    except FilterUnclear:
        return
    assert all(isinstance(chosen.matches(row), bool) for row in ROWS)
