from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from contracts import subjects
from contracts.channels import LANES, Channel, Lane, Priority
from contracts.lifecycle import Status

lanes = st.sampled_from(LANES)


def matches(pattern: str, subject: str) -> bool:
    """Match as the bus does: ``*`` is one token, ``>`` is the rest."""
    wanted, given_ = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, given_ = wanted[:-1], given_[: len(wanted) - 1]
    return len(wanted) == len(given_) and all(
        w in {"*", g} for w, g in zip(wanted, given_, strict=True)
    )


def test_there_is_a_lane_for_each_channel_and_priority() -> None:
    assert set(LANES) == {Lane(c, p) for c in Channel for p in Priority}
    assert len(LANES) == 9


def test_priorities_are_in_order_of_urgency() -> None:
    assert list(Priority) == [Priority.HIGH, Priority.NORMAL, Priority.LOW]


@given(lanes)
def test_a_lane_is_read_back_from_its_subject(lane: Lane) -> None:
    assert subjects.lane_of(subjects.notify(lane)) == lane


@pytest.mark.parametrize(
    "subject",
    ["", "notify", "notify.sms", "notify.fax.high", "notify.sms.high.x", "dlq.sms.low"],
)
def test_other_subjects_are_no_lane(subject: str) -> None:
    with pytest.raises(ValueError):
        subjects.lane_of(subject)


@given(
    lanes, st.sampled_from(Status), st.uuids(), st.sampled_from(["default", "a-b_1"])
)
def test_a_status_subject_is_found_by_whoever_may_listen(
    lane: Lane, status: Status, id_: UUID, tenant: str
) -> None:
    subject = subjects.status(tenant, lane.channel, status, id_)

    assert matches(subjects.STATUS_ALL, subject)
    assert matches(subjects.status_of_notification(id_), subject)
    assert matches(subjects.status_of_notification(id_, tenant), subject)
    assert not matches(subjects.status_of_notification(id_, "other"), subject)


@given(lanes)
def test_each_subject_falls_in_one_stream(lane: Lane) -> None:
    subject_of_stream = {
        subjects.NOTIFY_ALL: subjects.notify(lane),
        subjects.DLQ_ALL: subjects.dead_letter(lane),
        subjects.MESH_STATE_ALL: subjects.mesh_state("gateway", "a-1"),
    }
    for pattern in subject_of_stream:
        caught = [s for s in subject_of_stream.values() if matches(pattern, s)]
        assert caught == [subject_of_stream[pattern]]
