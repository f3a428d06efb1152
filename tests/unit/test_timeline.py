from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contracts.channels import Channel, Priority
from contracts.ids import lowest_id_at
from contracts.lifecycle import Status
from contracts.receipts import Receipt, ReceiptKind
from ops import timeline
from ops.client import Notification, Trace, TraceEntry

BEGAN = datetime(2026, 11, 27, 12, 0, 0, 120_000, tzinfo=UTC)
ID = lowest_id_at(BEGAN)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def trace(*entries: tuple[str, float, dict[str, Any]]) -> Trace:
    return Trace(
        notification_id=ID,
        entries=[
            TraceEntry(event=event, created_at=at(seconds), details=details)
            for event, seconds, details in entries
        ],
    )


def notification(status: Status, attempts: int, updated: float) -> Notification:
    return Notification(
        id=ID,
        channel=Channel.EMAIL,
        priority=Priority.NORMAL,
        status=status,
        attempts=attempts,
        max_attempts=5,
        created_at=BEGAN,
        updated_at=at(updated),
    )


def shown(notification: Notification, trace: Trace, now: float = 100) -> list[str]:
    return list(timeline.text(notification, trace, at(now)))


def test_a_retried_notification_shows_where_its_time_went() -> None:
    happened = trace(
        ("created", 0, {}),
        ("queued", 0.011, {}),
        ("processing", 0.884, {"attempt": 1, "dispatcher": "dispatcher-1"}),
        (
            "retrying",
            1.068,
            {
                "attempt": 1,
                "outcome": "throttled",
                "provider": "webhook",
                "code": "429",
                "words": "try later",
                "duration_ms": 184,
                "retry_at": "2026-11-27T12:01:05.300000Z",
            },
        ),
        ("processing", 66.19, {"attempt": 2, "dispatcher": "dispatcher-1"}),
        (
            "delivered",
            66.402,
            {
                "attempt": 2,
                "outcome": "delivered",
                "provider": "webhook",
                "duration_ms": 212,
            },
        ),
    )

    bar = "█" * 20
    gap = " " * 20
    rows = [
        "12:00:00.120  created",
        "12:00:00.131  queued         +11 ms",
        f"12:00:01.004  processing    +873 ms  {gap}  attempt 1, by dispatcher-1",
        f"12:00:01.188  retrying      +184 ms  {gap}  attempt 1, webhook, throttled,",
        f"12:01:06.310  processing  +1 m 05 s  {bar}  waited to try again; attempt 2,",
        f"12:01:06.522  delivered     +212 ms  {gap}  attempt 2, webhook, delivered,",
    ]
    heading, day, *lines = shown(notification(Status.DELIVERED, 2, 66.402), happened)
    assert heading == f"{ID}  email/normal  DELIVERED in 1 m 06 s, 2 attempts"
    assert day == " 2026-11-27"
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f" {row}")
    assert lines[3].endswith('throttled, "429 try later", 184 ms, again at 12:01:05')
    assert lines[4].endswith("attempt 2, by dispatcher-1")


def test_what_is_not_over_shows_what_it_waits_for() -> None:
    happened = trace(("created", 0, {}), ("queued", 0.01, {}))

    lines = shown(notification(Status.QUEUED, 0, 0.01), happened, now=90.01)

    assert lines[0] == f"{ID}  email/normal  QUEUED for 1 m 30 s, 0 attempts"
    assert lines[-1] == " now                       +1 m 30 s  waiting for a dispatcher"


def test_receipts_are_told_with_the_provider_s_own_time() -> None:
    told = {"at": "2026-11-27T12:00:03Z", "provider": "acme", "message_id": "m-1"}
    happened = trace(
        ("created", 0, {}),
        ("delivered", 1, {}),
        ("confirmed", 2, told | {"id": str(ID)}),
        ("bounced", 5, told | {"code": "550 5.1.1"}),
    )
    receipt = Receipt(
        kind=ReceiptKind.BOUNCED, at=at(4), provider="acme", id=UUID(int=1)
    )
    delivered = msgspec.structs.replace(
        notification(Status.DELIVERED, 1, 1), receipt=receipt
    )

    heading, *_, confirmed, bounced = shown(delivered, happened)

    assert heading.endswith("DELIVERED in 1.00 s, 1 attempt, then BOUNCED")
    assert confirmed.startswith(" 12:00:02.120  confirmed     +1.00 s")
    assert confirmed.endswith(
        "waited for a receipt; acme, m-1, at 12:00:03 by its clock"
    )
    assert bounced.endswith('acme, "550 5.1.1", m-1, at 12:00:03 by its clock')


def test_a_receipt_before_the_outcome_does_not_end_the_wait_for_it() -> None:
    happened = trace(("created", 0, {}), ("processing", 1, {}), ("confirmed", 2, {}))

    lines = shown(notification(Status.PROCESSING, 1, 1), happened, now=4)

    assert lines[-1].split() == [
        "now",
        "+3.00",
        "s",
        *["waiting", "for", "the", "provider"],
    ]


def test_a_new_day_is_told() -> None:
    happened = trace(
        ("created", 0, {}), ("pending", 0.01, {}), ("queued", 86_400 * 2, {})
    )

    lines = shown(notification(Status.QUEUED, 0, 86_400 * 2), happened, now=86_401 * 2)

    assert [line for line in lines if line.startswith(" 2026")] == [
        " 2026-11-27",
        " 2026-11-29",
    ]
    assert "+48 h 00 m" in lines[-2]
    assert "waited for its time" in lines[-2]


def test_details_of_a_later_version_are_shown_too() -> None:
    happened = trace(("created", 0, {}), ("queued", 1, {"zone": "eu"}))

    assert "zone=eu" in shown(notification(Status.QUEUED, 0, 1), happened)[3]


def test_a_trace_without_entries_is_a_heading() -> None:
    assert len(shown(notification(Status.QUEUED, 0, 0), trace())) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0114, "11 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (59.996, "1 m 00 s"),
        (119.7, "2 m 00 s"),
        (3_599.9, "1 h 00 m"),
        (7_260, "2 h 01 m"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert timeline.duration(seconds) == text
