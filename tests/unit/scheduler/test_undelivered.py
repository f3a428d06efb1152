from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts import lifecycle
from contracts.lifecycle import Status
from scheduler.dead_letters import again_seconds
from scheduler.rows import Standing
from scheduler.stream import Stored
from scheduler.undelivered import Case, Verdict, judge

ID = UUID("0199aa00-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def standing(status: Status, **overrides: object) -> Standing:
    values = {
        "id": ID,
        "sequence": 3,
        "status": status,
        "attempts": 1,
        "max_attempts": 5,
        "lost_leases": 0,
        "on_bus": True,
        "lease_seconds": None,
        "untouched_seconds": 0.0,
    }
    return Standing(**{**values, **overrides})  # type: ignore[arg-type]


@pytest.mark.parametrize("status", sorted(lifecycle.FINAL))
def test_a_message_of_a_finished_notification_is_dropped(status: Status):
    assert judge(standing(status, on_bus=False)) == Verdict.DROP


def test_a_message_of_an_unknown_or_parked_notification_is_dropped():
    assert judge(None) == Verdict.DROP
    assert judge(standing(Status.RETRYING, on_bus=False)) == Verdict.DROP


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.QUEUED, Status.RETRYING])
def test_a_notification_is_poison_once_it_has_lost_too_many_dispatchers(
    status: Status,
):
    assert judge(standing(status, lost_leases=4, lease_seconds=-0.1)) == Verdict.REPLACE
    assert judge(standing(status, lost_leases=5, lease_seconds=-0.1)) == Verdict.POISON


def test_a_notification_with_a_living_lease_is_left_alone():
    assert (
        judge(standing(Status.PROCESSING, lost_leases=5, lease_seconds=0.1))
        == Verdict.LEAVE
    )


@pytest.mark.parametrize("status", sorted(lifecycle.CLAIMABLE))
def test_a_claimable_notification_is_replaced_while_it_has_attempts_left(
    status: Status,
):
    assert judge(standing(status, attempts=4)) == Verdict.REPLACE
    assert judge(standing(status, attempts=5)) == Verdict.POISON


def test_a_leased_message_is_looked_at_again_when_the_lease_is_over():
    message = Stored(1, NOW, ID)
    leased = standing(Status.PROCESSING, lease_seconds=8.0)

    assert again_seconds(Case(message, leased, Verdict.LEAVE)) == 9.0
    assert again_seconds(Case(message, leased, Verdict.POISON)) == 1.0
