"""What is done with a message whose notification was not claimed."""

from typing import Any

import pytest

from contracts.ids import new_id
from contracts.lifecycle import FINAL, Status
from dispatcher.metrics import UNCLAIMED
from dispatcher.store import Sighting
from dispatcher.unclaimed import Action, Verdict, verdict


def seen(status: Status = Status.QUEUED, **facts: Any) -> Sighting:
    defaults: dict[str, Any] = {
        "is_final": status in FINAL,
        "on_bus": status not in FINAL,
        "expired": False,
        "exhausted": False,
        "suspect": False,
        "lease_seconds": None,
        "wait_seconds": None,
    }
    return Sighting(id=new_id(), status=status, **(defaults | facts))


@pytest.mark.parametrize(
    ("sighting", "expected"),
    [
        (None, Verdict("unknown", Action.TERMINATE)),
        (seen(Status.DELIVERED), Verdict("final", Action.ACK)),
        (seen(Status.CANCELLED), Verdict("final", Action.ACK)),
        (seen(Status.FAILED, exhausted=True), Verdict("final", Action.ACK)),
        (seen(Status.PENDING, on_bus=False), Verdict("parked", Action.ACK)),
        (
            seen(Status.RETRYING, on_bus=False, wait_seconds=400.0),
            Verdict("parked", Action.ACK),
        ),
        (
            seen(Status.PROCESSING, lease_seconds=9.5),
            Verdict("leased", Action.PUT_BACK, 9.5),
        ),
        (
            seen(Status.PROCESSING, lease_seconds=9.5, expired=True, exhausted=True),
            Verdict("leased", Action.PUT_BACK, 9.5),
        ),
        (
            seen(Status.PROCESSING, lease_seconds=-1.0, exhausted=True),
            Verdict("exhausted", Action.FAIL),
        ),
        (seen(Status.QUEUED, expired=True), Verdict("expired", Action.FAIL)),
        (
            seen(Status.RETRYING, wait_seconds=12.0),
            Verdict("early", Action.PUT_BACK, 12.0),
        ),
        (
            seen(Status.RETRYING, wait_seconds=12.0, expired=True),
            Verdict("expired", Action.FAIL),
        ),
        (
            seen(Status.PROCESSING, lease_seconds=-0.1),
            Verdict("raced", Action.PUT_BACK, 0.2),
        ),
        (
            seen(Status.PROCESSING, lease_seconds=-0.1, suspect=True),
            Verdict("suspect", Action.PUT_BACK, 0.5),
        ),
        (
            seen(Status.RETRYING, wait_seconds=12.0, suspect=True),
            Verdict("early", Action.PUT_BACK, 12.0),
        ),
        (seen(Status.QUEUED), Verdict("raced", Action.PUT_BACK, 0.2)),
    ],
)
def test_an_unclaimed_message_is_answered_for_what_its_row_says(
    sighting: Sighting | None, expected: Verdict
) -> None:
    assert verdict(sighting) == expected
    assert expected.reason in UNCLAIMED


@pytest.mark.parametrize(("wait", "delay"), [(400.0, 30.0), (0.001, 0.2)])
def test_a_message_is_put_back_for_a_bounded_time(wait: float, delay: float) -> None:
    sighting = seen(Status.RETRYING, wait_seconds=wait)

    assert verdict(sighting).delay_seconds == delay
