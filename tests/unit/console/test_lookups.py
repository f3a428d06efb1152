from uuid import UUID

import pytest

from console.lookups import changes_of, heard_trace, in_words, read_sought
from console.model.feed import line_of
from console.operator import Sought
from contracts.lifecycle import Status
from contracts.outcomes import FailureClass
from contracts.oversight import recipient_hash
from tests.unit.console.world import NOON, change, notification_id

ID = "019ac4c8-5d00-7000-8000-000000000007"


@pytest.mark.parametrize(
    ("typed", "sought"),
    [
        (ID, Sought(id=UUID(ID))),
        (f"  {ID.upper()} ", Sought(id=UUID(ID))),
        ("0cbf019479241f66", Sought(recipient_hash="0cbf019479241f66")),
        ("0CBF019479241F66", Sought(recipient_hash="0cbf019479241f66")),
        ("order-8841", Sought(idempotency_key="order-8841")),
        ("key:0cbf019479241f66", Sought(idempotency_key="0cbf019479241f66")),
        ("tenant:order", Sought(idempotency_key="tenant:order")),
        ("hash:ABC", Sought(recipient_hash="abc")),
        ("+15555550100", Sought(recipient_hash=recipient_hash("+15555550100"))),
        ("a@example.com", Sought(recipient_hash=recipient_hash("a@example.com"))),
        ("to:token-1", Sought(recipient_hash=recipient_hash("token-1"))),
        ("  ", None),
    ],
)
def test_what_is_typed_says_what_is_sought(typed: str, sought: Sought | None):
    assert read_sought(typed) == sought


def test_a_recipient_is_never_named():
    sought = read_sought("+15555550100")

    assert sought is not None
    assert "5555550100" not in in_words(sought)


def test_the_feed_tells_what_it_heard_of_one_in_order():
    mine, retried = change(NOON, 7, sequence=3), Status.RETRYING
    before = change(
        NOON - 1,
        7,
        sequence=2,
        status=retried,
        failure_class=FailureClass.THROTTLED,
        provider="acme",
    )
    lines = [line_of(1, mine), line_of(2, change(NOON, 8)), line_of(3, before)]
    trace = heard_trace(notification_id(7), changes_of(notification_id(7), lines))

    assert [entry.event for entry in trace.entries] == ["retrying", "delivered"]
    assert trace.entries[0].details == {
        "attempt": 1,
        "provider": "acme",
        "outcome": "throttled",
    }
